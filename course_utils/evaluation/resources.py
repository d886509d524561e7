"""What a language model costs, reckoned: to train it once, and to serve it every day.

Pure functions of a model's and a chip's numbers; `reporting.widgets` lets a reader move them. All are estimates of the
kind that is made before a purchase: within a factor of two, if the utilisation is honest.

Units: FLOPs (multiplications and additions), bytes, seconds unless a name says days, kWh, US dollars.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chip:
    """One accelerator as its maker describes it.

    name, year: of its announcement.
    flops: a second, dense matrix products in `number`, the shortest format in which one trains on it as a rule.
    number: that format.
    memory: bytes. bandwidth: bytes a second between memory and chip. watts: at most, of the chip alone.
    source: the maker's data sheet.
    """

    name: str
    year: int
    flops: float
    number: str
    memory: float
    bandwidth: float
    watts: float
    source: str


# Peak rates as the data sheets give them, without sparsity, which doubles the printed number and no model's speed
CHIPS = {
    chip.name: chip
    for chip in (
        Chip("V100", 2017, 125e12, "fp16", 32e9, 0.9e12, 300, "NVIDIA V100 data sheet, SXM2"),
        Chip("T4", 2018, 65e12, "fp16", 16e9, 0.32e12, 70, "NVIDIA T4 data sheet"),
        Chip("A100", 2020, 312e12, "bf16", 80e9, 2.039e12, 400, "NVIDIA A100 data sheet, SXM 80 GB"),
        Chip("H100", 2022, 989e12, "bf16", 80e9, 3.35e12, 700, "NVIDIA H100 data sheet, SXM"),
        Chip("H200", 2023, 989e12, "bf16", 141e9, 4.8e12, 700, "NVIDIA H200 data sheet, SXM"),
        Chip("B200", 2024, 2250e12, "bf16", 192e9, 8e12, 1000, "NVIDIA Blackwell architecture brief, HGX B200"),
    )
}


@dataclass(frozen=True)
class Model:
    """One model with what its cost hangs on.

    parameters: all weights. tokens: that it was trained on.
    layers, key_value_heads, head_width: of its cache. window: tokens that a local layer keeps, of which there are
    `local_layers`. source: where the numbers stand.
    """

    name: str
    parameters: float
    tokens: float
    layers: int
    key_value_heads: int
    head_width: int
    source: str
    local_layers: int = 0
    window: int = 0


MODELS = {
    model.name: model
    for model in (
        Model("Gemma 3 270M", 268e6, 6e12, 18, 1, 256, "its config.json; tokens: Google's model card", 15, 512),
        Model("GPT-2", 1.542e9, 10e9, 48, 25, 64, "Radford et al. 2019; tokens: 40 GB of text, about 10 G a pass"),
        Model("GPT-3", 175e9, 300e9, 96, 96, 128, "Brown et al. 2020, table 2.1"),
        Model("Llama 3 8B", 8.03e9, 15e12, 32, 8, 128, "Llama 3 model card; Dubey et al. 2024, table 3"),
        Model("Llama 3 405B", 405e9, 15.6e12, 126, 8, 128, "Dubey et al. 2024, table 3"),
    )
}


def training_flops(parameters, tokens):
    """FLOPs to train: two for each weight and token forward, four backward (Kaplan et al. 2020)."""
    _positive(parameters=parameters, tokens=tokens)
    # C = 6 · N · D
    return 6 * parameters * tokens


def training_bytes(parameters, *, bytes_a_weight=16):
    """Memory before any activation: in mixed precision with Adam 2 + 2 for weights and gradients, 12 for the fp32 copy
    and two moments (Rajbhandari et al. 2020)."""
    _positive(parameters=parameters)
    return parameters * bytes_a_weight


def training_days(flops, chip, chips, *, utilisation=0.4):
    """Days for so many FLOPs.

    Args:
        chip: a Chip. chips: how many.
        utilisation: share of the peak that is reached, above 0 and at most 1; Llama 3 reports 0.38 to 0.43.
    """
    _positive(flops=flops, chips=chips, utilisation=utilisation)
    if utilisation > 1:
        raise ValueError(f"Expected a utilisation of at most 1, got {utilisation:g}. Is it a percentage?")
    return flops / (chip.flops * chips * utilisation) / 86_400


def energy_kwh(days, chip, chips, *, overhead=1.2):
    """What the chips draw at full power; overhead: cooling and conversion of the building, its PUE."""
    _positive(days=days, chips=chips, overhead=overhead)
    return days * 24 * chip.watts * chips * overhead / 1000


def money(days, chips, *, hour):
    """Rent at `hour` dollars a chip and hour."""
    _positive(days=days, chips=chips, hour=hour)
    return days * 24 * chips * hour


def cache_bytes(model, tokens, *, bytes_a_number=2):
    """Keys and values of one user after so many tokens."""
    _positive(tokens=tokens)
    kept = (model.layers - model.local_layers) * tokens + model.local_layers * min(tokens, model.window)
    # 2 (keys and values) · K · d numbers a token and layer
    return 2 * kept * model.key_value_heads * model.head_width * bytes_a_number


def decode_step(model, chip, users, tokens, *, chips=1, bytes_a_weight=2, utilisation=0.4):
    """Seconds in which each of so many users gets one token: the longer of reading and of computing.

    Every step reads all weights once, whoever asks, and the cache of each user; it computes 2 FLOPs a weight and user.

    Args:
        users: who are answered together. tokens: that each has in the cache.
        chips: among which weights and caches are divided, at no cost here.
        utilisation: share of the peak FLOPs that is reached.
    """
    _positive(users=users, tokens=tokens, chips=chips, bytes_a_weight=bytes_a_weight, utilisation=utilisation)
    read = model.parameters * bytes_a_weight + users * cache_bytes(model, tokens)
    return max(read / (chip.bandwidth * chips), 2 * model.parameters * users / (chip.flops * chips * utilisation))


def most_users(model, chip, tokens, *, chips=1, bytes_a_weight=2):
    """How many users' caches fit beside the weights; 0 where the weights alone do not fit."""
    _positive(tokens=tokens, chips=chips, bytes_a_weight=bytes_a_weight)
    left = chip.memory * chips - model.parameters * bytes_a_weight
    return max(0, int(left // cache_bytes(model, tokens)))


def answers(model, chip, users, tokens, *, chips=1, answer=200, count=1e6, hour=2.0, bytes_a_weight=2):
    """{"tokens_a_second", "per_user", "hours", "dollars", "kwh"} of so many answers, users served side by side.

    Args:
        answer: tokens of one. count: answers. hour: dollars a chip and hour.
    """
    _positive(answer=answer, count=count, hour=hour)
    step = decode_step(model, chip, users, tokens, chips=chips, bytes_a_weight=bytes_a_weight)
    hours = count * answer * step / users / 3600
    return {
        "tokens_a_second": users / step, "per_user": 1 / step, "hours": hours,
        "dollars": money(hours / 24, chips, hour=hour), "kwh": energy_kwh(hours / 24, chip, chips),
    }  # fmt: skip


def _positive(**numbers):
    for name, number in numbers.items():
        if not number > 0:
            raise ValueError(f"Expected {name} above 0, got {number!r}.")
