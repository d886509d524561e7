"""The five methods through peft, whose models are what the course trains; weights can be copied from and to ours.

With the same weights both give the same logits and gradients (fp32: to 1e-5; a test keeps it so). Methods go by the
names of `engine.recipe`: "lora", "ia3", "prompt", "p-tuning" and "prefix".
"""

import json
import warnings
from pathlib import Path

import torch

from course_utils.adapters import ia3, layers, lora, p_tuning, prefix_tuning, prompt_tuning, switching, weights
from course_utils.models import model_folder, virtual_tokens
from course_utils.models.packing import use_row_attention

METHODS = ("lora", "ia3", "prompt", "p-tuning", "prefix")
BASE_FILE = "base.json"
OURS = {
    "lora": lora.inject,
    "ia3": ia3.inject,
    "prompt": prompt_tuning.inject,
    "p-tuning": p_tuning.inject,
    "prefix": prefix_tuning.inject,
}


def attach(model, method, **sizes):
    """The model inside peft's adapter of this method, with every other weight frozen.

    Args:
        model: a causal language model of transformers; its layers are changed in place, as peft does.
        method: one of METHODS.
        sizes: as for the `inject` of the method's own module, so that both take the same words.

    Returns:
        A peft model that `training.next_token.NextTokenLoss` and `training.graded.GradedLoss` train.

    Raises:
        ValueError: an unknown method or layer, a rank above a layer's width, or a prefix with activation checkpointing.
    """
    if method not in METHODS:
        raise ValueError(f"There is no method {method!r}. Choose from: {', '.join(METHODS)}.")
    sizes, start = dict(sizes), None
    text_ids = sizes.pop("text_ids", None) if method in ("prompt", "p-tuning") else None
    anchors = sizes.pop("anchors", None) if method == "p-tuning" else None
    if anchors:
        sizes["tokens"] = p_tuning.learned_places(anchors)
    if method == "prompt" or text_ids is not None:
        start = prompt_tuning.start(model, sizes.get("tokens", 20), text_ids)
    if method == "prefix" and sizes.get("prompt_ids") is not None:
        start = prefix_tuning.flat(prefix_tuning.of_prompt(model, sizes.pop("prompt_ids")))
        sizes["tokens"] = len(start)
    config = _CONFIGS[method](model, **sizes)
    use_row_attention(model)
    adapted = switching.wrap(model, config)
    if start is not None and method == "p-tuning":
        p_tuning.start_at(adapted.prompt_encoder["default"], start)
    elif start is not None:
        adapted.prompt_encoder["default"].embedding.weight.data = start.float()
    if anchors:  # peft has none: its encoder goes inside ours, and it counts the fixed words as virtual tokens
        adapted.prompt_encoder["default"] = p_tuning.anchored(model, adapted.prompt_encoder["default"], anchors)
        adapted.peft_config["default"].num_virtual_tokens = len(anchors)
    return adapted


def _lora(model, *, rank=8, alpha=16, targets=lora.TARGETS):
    from peft import LoraConfig

    for name, linear in layers.chosen(model, targets).items():
        lora.check_rank(name, linear, rank)
    return LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets), task_type="CAUSAL_LM")


def _ia3(model, *, targets=ia3.TARGETS, on_input=ia3.ON_INPUT):
    from peft import IA3Config

    layers.chosen(model, targets)
    return IA3Config(target_modules=list(targets), feedforward_modules=list(on_input), task_type="CAUSAL_LM")


def _prompt(model, *, tokens=20):
    from peft import PromptTuningConfig

    return PromptTuningConfig(num_virtual_tokens=tokens, task_type="CAUSAL_LM")


def _p_tuning(model, *, tokens=20, hidden=None, kind="mlp"):
    from peft import PromptEncoderConfig

    hidden = hidden or model.config.get_text_config().hidden_size
    return PromptEncoderConfig(
        num_virtual_tokens=tokens,
        encoder_hidden_size=hidden,
        encoder_reparameterization_type=kind.upper(),
        encoder_dropout=0.0,
        task_type="CAUSAL_LM",
    )


def _prefix(model, *, tokens=20, hidden=None):
    from peft import PrefixTuningConfig

    if getattr(model.base_model, "gradient_checkpointing", False):
        raise ValueError(virtual_tokens.CHECKPOINTING)
    config = model.config.get_text_config()
    return PrefixTuningConfig(
        num_virtual_tokens=tokens,
        prefix_projection=hidden is not None,
        encoder_hidden_size=hidden,
        # written out because peft before 0.20 takes the width of a query head for it, which is another here
        token_dim=config.num_key_value_heads * config.head_dim,
        num_attention_heads=config.num_key_value_heads,
        num_layers=config.num_hidden_layers,
        task_type="CAUSAL_LM",
    )


_CONFIGS = {"lora": _lora, "ia3": _ia3, "prompt": _prompt, "p-tuning": _p_tuning, "prefix": _prefix}


# The same weights in both


@torch.no_grad()
def copy(source, target):
    """Copy an adapter's weights from ours to peft's or back, trained or loaded; both of one method and size.

    Raises:
        ValueError: the adapters are not of one method and size.
    """
    pairs = [{_common(name): weight for name, weight in weights.own(model).items()} for model in (source, target)]
    shapes = [{name: weight.numel() for name, weight in found.items()} for found in pairs]
    if shapes[0] != shapes[1]:
        odd = sorted(shapes[0].items() ^ shapes[1].items())
        raise ValueError(f"These adapters are of two kinds or sizes; the first difference is in {odd[0][0]}.")
    for name, weight in pairs[0].items():
        pairs[1][name].copy_(weight.view_as(pairs[1][name]))


def gradients(model):
    """{name that ours and peft's share: flat gradient} of the trained weights."""
    return {_common(name): weight.grad.flatten() for name, weight in weights.trained(model).items()}


def agreement(build, method, input_ids, mask, **sizes):
    """How far ours and peft's are apart with the same weights, drawn at random where training starts at nothing.

    Args:
        build: () -> a base model, twice the same.
        method: one of METHODS, with its sizes.
        input_ids, mask: (B, T) tokens and where they are real.

    Returns:
        (largest difference of logits, largest ‖g − g'‖ / ‖g'‖ of a trained tensor's gradients).
    """
    drawn = {}  # in our weights and in theirs; one model at a time is in memory
    ours, our_gradients = _answers(OURS[method](build(), **sizes), drawn, input_ids, mask)
    theirs, their_gradients = _answers(attach(build(), method, **sizes), drawn, input_ids, mask)
    apart = [(our_gradients[name] - theirs).norm() / theirs.norm() for name, theirs in their_gradients.items()]
    return (ours - theirs).abs().max().item(), max(apart).item()


def _answers(model, drawn, input_ids, mask):
    """(logits, gradients) with weights near their start; `drawn` keeps them for the second model."""
    generator = torch.Generator().manual_seed(0)
    input_ids, mask = input_ids.to(model.device), mask.to(model.device)
    for name, weight in weights.trained(model).items():
        noise = 0.02 * torch.randn(weight.shape, generator=generator).to(weight.device)
        weight.data = drawn.setdefault(_common(name), weight.detach() + noise).view_as(weight).clone()
    logits = model.eval()(input_ids=input_ids, attention_mask=mask.long()).logits[:, -mask.shape[1] :][mask]
    logits.log_softmax(-1)[:, : len(mask)].mean().backward()
    return logits.detach(), gradients(model)


def _common(name):
    """One name for a weight in ours and in peft's."""
    for theirs, ours in {
        "base_model.model.": "",
        "lora_A.default.weight": "update.A",
        "lora_B.default.weight": "update.B",
        "ia3_l.default": "rescale",
        "prompt_encoder.default.": "virtual_tokens.",
    }.items():
        name = name.replace(theirs, ours)
    return name


# On disk


def save(adapted, folder):
    """Write a peft model's adapter, as safetensors and JSON, with the identity of its base.

    A P-tuning encoder is left out: what it puts out is all that is needed.

    Returns:
        Bytes on disk.
    """
    folder = Path(folder)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
    (folder / BASE_FILE).write_text(json.dumps({"fingerprint": weights.fingerprint(adapted)}), encoding="utf-8")
    return sum(path.stat().st_size for path in folder.iterdir())


def load(model, folder):
    """Put a saved adapter onto its base.

    Returns:
        A peft model in the mode that the base was in.

    Raises:
        ValueError: the folder holds no adapter, a broken one, or one of another base.
    """
    folder = Path(folder)
    if not (folder / BASE_FILE).is_file():
        raise ValueError(f"{folder} holds no adapter of this course ({BASE_FILE} is missing). Write it with save().")
    saved = model_folder.adapter(folder, BASE_FILE).get("fingerprint")
    here = weights.fingerprint(model)
    if saved != here:
        raise ValueError(
            f"The adapter in {folder} was trained on another base (fingerprint {saved}, here {here}). An adapter "
            "is a change of one model's weights and means nothing to another. Load the base it was trained on; is "
            "COURSE_MODEL set?"
        )
    from peft import PeftModel

    was_training = model.training
    use_row_attention(model)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Found missing adapter keys")  # they would stay as they were drawn
            loaded = PeftModel.from_pretrained(model, folder)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # peft says what its parts stumble over, and not in which file
        raise ValueError(f"{folder} does not load as an adapter: {str(error).strip().splitlines()[0]}") from error
    return loaded.train(was_training).requires_grad_(False)
