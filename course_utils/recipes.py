"""Every size in the course, one row per notebook and tier. A notebook holds no size of its own.

`minutes` and `memory_gb` are for the whole notebook on that tier, memory on a GPU that of the GPU. `measured` is True
where they come from a run: cpu on two cores (bf16), gpu-80gb on an H200 that several notebooks shared. The others are
estimates until somebody commits a measured one.
"""

from dataclasses import dataclass

from course_utils.recipe_kinds import DataProcessing, LanguageModels, Pretraining, Recipe, Scaling

TIERS = ("cpu", "gpu-16gb", "gpu-24gb", "gpu-80gb")
# Tokens a second that the machines read on which the minutes were measured (cpu) or for which they were estimated
READING_SPEED = {"cpu": 1000.0, "gpu-16gb": 15_000.0, "gpu-24gb": 40_000.0, "gpu-80gb": 150_000.0}


@dataclass(frozen=True)
class Start(Recipe):
    """00 Start here: a first look at the model."""

    continuation_tokens: int
    reviews: int  # held-out reviews whose next tokens are guessed
    probe_tokens: int  # read to estimate this machine's speed


@dataclass(frozen=True)
class InContext(Recipe):
    """05 In-context learning: how many reviews are judged behind how many draws of examples."""

    shots: tuple[int, ...]
    questions: int  # held-out reviews for the claim
    draws: int  # draws of examples for each number of shots
    unlabelled: int  # reviews whose labels nobody looks at, for calibration
    probe_questions: int  # reviews for the experiments that are observed
    probe_draws: int
    flipped: tuple[float, ...]  # shares of turned labels
    written_shots: tuple[int, ...]  # examples shown before the model writes
    written: int  # questions it answers in writing

    def __post_init__(self):
        super().__post_init__()
        if self.questions < 200 or self.draws < 6:
            raise ValueError(
                f"The claim needs at least 200 questions and 6 draws, got {self.questions} and {self.draws}."
            )


@dataclass(frozen=True)
class FineTuning(Recipe):
    """07 Supervised fine-tuning: what is trained, and on how many held-out instructions it is judged."""

    steps: int
    batch_size: int
    learning_rate: float  # of LoRA
    answer_tokens: int  # longest answer that is learned
    one_line: bool  # whether answers of several lines are left out
    film_sentences: int  # review sentences written to an instruction, beside the instruction rows
    prompts: int  # held-out instructions
    new_tokens: int  # an answer that has not ended by then is cut off
    scored_tokens: int  # of each reference answer
    break_steps: int  # of the runs that go wrong on purpose

    def __post_init__(self):
        super().__post_init__()
        if self.prompts < 100 or self.new_tokens < 128:
            raise ValueError(
                f"The claim needs at least 100 prompts and 128 tokens, got {self.prompts} and {self.new_tokens}."
            )


@dataclass(frozen=True)
class RewardModeling(Recipe):
    """08 Reward modeling: what is trained, and on how many held-out pairs it is judged."""

    steps: int
    batch_size: int  # rated texts, of which all pairs are learned from
    learning_rate: float  # of LoRA
    min_gap: float  # training pairs whose means are closer are left out
    test_pairs: int  # held-out pairs; about half of them are of the same sign
    domain_pairs: int  # of each of the other domains
    break_steps: int  # of the run that goes wrong on purpose
    break_pairs: int  # on which it is looked at

    def __post_init__(self):
        super().__post_init__()
        if self.test_pairs < 600:
            raise ValueError(
                f"The claim needs at least 600 test pairs, of which half are of the same sign; got {self.test_pairs}."
            )

    @property
    def texts(self):
        """How many texts are learned from, each once."""
        return self.steps * self.batch_size


@dataclass(frozen=True)
class PPO(Recipe):
    """09 PPO and RLHF: how long the policy learns from a proxy made of few pairs, and on how much it is judged."""

    steps: int  # rollouts, each with its updates
    batch_size: int  # answers a rollout
    learning_rate: float  # of LoRA
    answer_tokens: int  # an answer is cut off after so many
    epochs: int  # passes over each rollout
    kl_coef: float  # what a nat of KL costs, in units of reward
    proxy_pairs: int  # human-ordered pairs that the proxy learns from
    proxy_steps: int
    proxy_batch: int  # pairs
    proxy_rate: float  # learning rate of the proxy
    test_openings: int  # held-out openings
    samples_each: int  # paired answers to each of them
    own_steps: int  # of the run on the reader's own reward, and of the one that goes wrong on purpose
    own_rate: float  # its learning rate
    kl_samples: int  # of the answers to each opening the KL is read
    break_kl: float  # nats an answer at which the run that goes wrong stops itself
    live_steps: int  # of the reader's own run; the recorded ones take `steps`
    live_openings: int  # on which the reader's own run is judged

    def __post_init__(self):
        super().__post_init__()
        if self.proxy_pairs > 256:
            raise ValueError(
                f"The proxy has at most 256 pairs, got {self.proxy_pairs}: with more there is less to exploit."
            )
        if self.samples < 256:
            raise ValueError(
                f"The claim needs at least 256 paired samples, got {self.test_openings} openings × {self.samples_each}."
            )
        if self.live_steps > self.steps or self.live_openings > self.test_openings:
            raise ValueError(
                f"The reader's run is at most the recorded one, got {self.live_steps} of {self.steps} steps and "
                f"{self.live_openings} of {self.test_openings} openings."
            )

    @property
    def samples(self):
        """How many pairs of answers the judge compares."""
        return self.test_openings * self.samples_each


@dataclass(frozen=True)
class Adapter(Recipe):
    """10 to 14: one adapter method learns to grade reviews, and on how many held-out ones it is judged."""

    steps: int
    batch_size: int
    learning_rate: float
    test: int  # held-out reviews that are graded
    unlabelled: int  # reviews whose ratings nobody looks at, for calibration
    probe_steps: int  # of the short runs: another task, another start, a run that goes wrong
    probe_test: int  # held-out reviews on which these are judged

    def __post_init__(self):
        super().__post_init__()
        if self.test < 100 or self.unlabelled < 10:
            raise ValueError(
                f"The claim needs at least 100 test and 10 unlabelled reviews, got {self.test} and {self.unlabelled}."
            )

    @property
    def rows(self):
        """How many reviews are learned from, each once."""
        return self.steps * self.batch_size


def _adapter(learning_rate, minutes, memory_gb, measured):
    # cpu: 18 steps of 16, as the trials of the long comparison; gpu: about every training review once
    return {
        "cpu": Adapter(minutes, memory_gb, measured, 18, 16, learning_rate, 200, 60, 5, 60),
        "gpu-16gb": Adapter(2, 6, False, 220, 32, learning_rate, 1000, 300, 60, 400),
        "gpu-24gb": Adapter(2, 6, False, 220, 32, learning_rate, 2000, 300, 60, 400),
        "gpu-80gb": Adapter(2, 4, False, 220, 32, learning_rate, 2000, 300, 60, 400),
    }


@dataclass(frozen=True)
class Quantization(Recipe):
    """15 Quantization: how much text is read in each format, and how long each engine is timed."""

    documents: int  # web documents, each read from its first token
    length: int  # tokens of each
    few_documents: int  # for what is looked at in many formats: layer by layer, source by source
    calibration: int  # documents for GPTQ, none of them read for a loss
    group: int  # weights that share a scale in GPTQ
    block: int  # and in NF4, FP4 and the integers compared with them
    decoded: int  # tokens written for a speed


@dataclass(frozen=True)
class QLoRA(Recipe):
    """16 QLoRA: LoRA and QLoRA on the same rows, and how many items judge them."""

    steps: int
    batch_size: int
    learning_rate: float
    rank: int
    items: int  # paired test items of the graded rating
    memory_rows: int  # of the step whose memory is measured
    length: int  # tokens of these
    gradient_rows: int  # for the gradients held against a dequantized reference
    repair_ranks: tuple[int, ...]  # of the start from the rounding error


_SHOTS = (0, 1, 2, 4, 8, 16)
_FLIPPED = (0.0, 0.25, 0.5, 0.75, 1.0)
_WRITTEN = (0, 1, 2, 8)

_ROWS = {
    "00": {
        "cpu": Start(0.8, 2, True, 40, 100, 512),
        "gpu-16gb": Start(1, 3, False, 40, 400, 4096),
        "gpu-24gb": Start(1, 3, False, 40, 400, 4096),
        "gpu-80gb": Start(1.2, 1.1, True, 40, 400, 4096),
    },
    "01": {tier: LanguageModels(1.5, 4, False, 600_000, 2_500, 24, 512, 40, 2000) for tier in TIERS},
    "02": dict.fromkeys(TIERS, DataProcessing(1.5, 3, False, 300, 400, 60, 80, 120, 220, 2000, 60, 700, 60, 80, 60000)),
    "03": {
        "cpu": Pretraining(3, 1.5, False, 160, 4, 4, 9.6e-2, 256, 4096, 192, 6, 6, 2, 32, 512, 24, 768, 0.1),
        "gpu-16gb": Pretraining(2.5, 4, False, 1000, 32, 32, 3e-3, 256, 4096, 192, 6, 6, 2, 32, 512, 24, 768, 1.0),
        "gpu-24gb": Pretraining(2.5, 4, False, 1000, 32, 32, 3e-3, 256, 4096, 192, 6, 6, 2, 32, 512, 24, 768, 1.0),
        "gpu-80gb": Pretraining(2.5, 4, False, 2000, 32, 32, 3e-3, 256, 4096, 192, 6, 6, 2, 32, 512, 24, 768, 1.0),
    },
    "04": dict.fromkeys(TIERS, Scaling(2, 1.5, False, 2**20, 0.05)),
    "05": {
        # fewer shots, shares and draws than the recorded experiment `icl`, which the notebook shows beside them
        "cpu": InContext(2, 2.4, False, (0, 2, 16), 200, 6, 100, 48, 2, (0.0, 0.5, 1.0), _WRITTEN, 16),
        "gpu-16gb": InContext(5, 4, False, _SHOTS, 400, 8, 400, 200, 6, _FLIPPED, _WRITTEN, 32),
        "gpu-24gb": InContext(5, 4, False, _SHOTS, 800, 12, 400, 400, 8, _FLIPPED, _WRITTEN, 32),
        "gpu-80gb": InContext(5, 4, False, _SHOTS, 1500, 16, 400, 800, 12, _FLIPPED, _WRITTEN, 32),
    },
    "07": {
        "cpu": FineTuning(3.0, 4.6, True, 56, 8, 1e-3, 64, True, 32, 100, 128, 24, 12),
        # the sizes of cpu: with longer answers both sides are cut off at new_tokens, and sft-ends is undecided (H200)
        "gpu-16gb": FineTuning(3, 5, False, 56, 8, 1e-3, 64, True, 32, 100, 128, 24, 12),
        "gpu-24gb": FineTuning(2, 3, False, 56, 8, 1e-3, 64, True, 32, 100, 128, 24, 12),
        "gpu-80gb": FineTuning(1.7, 2.9, True, 56, 8, 1e-3, 64, True, 32, 100, 128, 24, 12),
    },
    "08": {
        "cpu": RewardModeling(3, 4, True, 36, 32, 2e-3, 0.3, 6400, 60, 6, 48),
        "gpu-16gb": RewardModeling(3, 10, False, 85, 64, 1e-3, 0.3, 6400, 200, 24, 400),
        "gpu-24gb": RewardModeling(3, 6, False, 85, 64, 1e-3, 0.3, 6400, 200, 24, 400),
        "gpu-80gb": RewardModeling(3, 6, False, 85, 64, 1e-3, 0.3, 6400, 200, 24, 400),
    },
    "09": {
        "cpu": PPO(4, 4.1, True, 14, 16, 1e-4, 24, 4, 0.05, 256, 32, 16, 1e-3, 32, 8, 5, 5e-4, 2, 10, 6, 16),
        "gpu-16gb": PPO(6, 6, False, 40, 32, 1e-4, 24, 4, 0.05, 256, 32, 16, 1e-3, 64, 8, 10, 5e-4, 4, 40, 40, 64),
        "gpu-24gb": PPO(6, 8, False, 40, 64, 1e-4, 24, 4, 0.05, 256, 32, 16, 1e-3, 64, 16, 10, 5e-4, 4, 40, 40, 64),
        "gpu-80gb": PPO(6, 8, False, 40, 64, 1e-4, 24, 4, 0.05, 256, 32, 16, 1e-3, 64, 16, 10, 5e-4, 4, 40, 40, 64),
    },
    "10": _adapter(1e-3, 2, 6.7, True),
    "11": _adapter(1e-2, 1.5, 5.4, True),
    "12": _adapter(3e-2, 1.5, 7, True),
    "13": _adapter(1e-3, 1.5, 6.8, True),
    "14": _adapter(1e-2, 1.5, 5.2, True),
    "15": {
        "cpu": Quantization(2, 3.9, True, 16, 128, 8, 20, 128, 64, 16),
        "gpu-16gb": Quantization(3, 6, False, 80, 256, 16, 64, 128, 64, 64),
        "gpu-24gb": Quantization(3, 6, False, 80, 256, 16, 64, 128, 64, 64),
        "gpu-80gb": Quantization(1.6, 2.8, True, 80, 256, 16, 64, 128, 64, 128),
    },
    "16": {
        "cpu": QLoRA(2, 5.6, True, 12, 16, 1e-3, 8, 200, 4, 128, 2, (1, 4, 16)),
        "gpu-16gb": QLoRA(3, 6, False, 96, 16, 5e-4, 8, 2000, 8, 128, 4, (1, 4, 16, 64)),
        "gpu-24gb": QLoRA(3, 6, False, 192, 16, 5e-4, 8, 2000, 8, 128, 4, (1, 4, 16, 64)),
        "gpu-80gb": QLoRA(3, 8, False, 192, 32, 5e-4, 8, 2000, 8, 128, 8, (1, 4, 16, 64)),
    },
}


def of(notebook, tier):
    """The row of a notebook.

    Args:
        notebook: its number, as "05", or its name, as "05_in_context_learning".
        tier: one of TIERS, as `runtime.start()` chose it.

    Raises:
        ValueError: no such row; the message lists what there is.
    """
    rows = _ROWS.get(str(notebook)[:2])
    if rows is None or tier not in rows:
        raise ValueError(f"No recipe for notebook {notebook!r} on tier {tier!r}; there are {sorted(_ROWS)} on {TIERS}.")
    return rows[tier]


def notebooks():
    """The numbers of the notebooks that have a recipe, in order."""
    return sorted(_ROWS)
