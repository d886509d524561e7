"""The reward model: a scalar head on the last token of a text, taught by pairs of which people preferred one.

    L = −E[log σ(r(prompt, better) − r(prompt, worse))]           Bradley and Terry 1952; InstructGPT 2022, eq. 1

The batch says which of its texts make a pair: every text one pair, or all pairs of a list (`data.rated_texts`).

Only differences are learned, so the scores' zero is arbitrary; `centre` puts it afterwards at the mean of some texts,
as Stiennon et al. (2020) do with people's demonstrations.

Deviations: LoRA instead of all weights; the head starts at zero, so the first loss is ln 2 exactly; answers are cut to
the number of tokens that will be sampled, since a model that has only read whole texts judges cut ones at random.
"""

import contextlib
from dataclasses import dataclass

import torch
from peft import PeftModel

from course_utils import recipes
from course_utils.adapters import switching
from course_utils.data import preference, rated_texts
from course_utils.data import rows as tables
from course_utils.data.answers import Turns
from course_utils.engine.checkpoint import fingerprint
from course_utils.engine.recipe import TrainingRecipe
from course_utils.models.base import load_base
from course_utils.models.fused_forward import fast_blocks
from course_utils.models.heads import ScalarHead, last_of_rows
from course_utils.models.packing import packed_hidden
from course_utils.tensors import check_rows
from course_utils.training import sft
from course_utils.training.objectives import bradley_terry_loss

RANK = 8
ANSWER_TOKENS = 28  # three words of opening and 24 sampled tokens
MAX_LENGTH = 64  # tokens of prompt and answer together
for_method, weights_dtype, precision = sft.for_method, sft.weights_dtype, sft.precision


class RewardModel(torch.nn.Module):
    """One number a text: how much people would like it, in logits of preference over an average text."""

    def __init__(self, model, adapter="default"):
        """
        Args:
            model: a causal language model, alone or inside a peft model.
            adapter: the peft adapter that belongs to this head; ignored without peft.
        """
        super().__init__()
        self.model, self.adapter = model, adapter
        self.head = ScalarHead(model.get_input_embeddings().embedding_dim).to(model.device)
        self.centre = 0.0

    def forward(self, input_ids, mask):
        """(B, T) tokens and their mask to (B,) scores, fp32."""
        input_ids, mask = input_ids.to(self.model.device), mask.to(self.model.device)
        hidden = packed_hidden(self.model, input_ids, mask)
        return self.head(last_of_rows(hidden, mask)) - self.centre

    def move_to(self, model, name="reward"):
        """The same reward model on another copy of its backbone, as a frozen adapter beside those that are there.

        Args:
            model: a PeftModel of the same base model.
            name: of the new adapter.
        """
        moved = RewardModel(switching.add(model, name, weights=switching.weights_of(self.model, self.adapter)), name)
        moved.head.load_state_dict(self.head.state_dict())
        moved.head.requires_grad_(False)
        moved.centre = self.centre
        return moved.eval()


class PairLoss(torch.nn.Module):
    """The Bradley-Terry loss of a batch of pairs, for `loop.train`."""

    def __init__(self, reward_model):
        super().__init__()
        self.reward_model = reward_model

    def while_training(self):
        """The context in which the loop trains: fused functions take the place of eager ones where they can."""
        return fast_blocks(self.reward_model.model)

    def count(self, batch):
        """How many pairs."""
        return len(batch["better"])

    def forward(self, batch):
        """The loss of a batch as a PairCollator or ListCollator makes it, in nats a pair; each text is read once."""
        scores = self.reward_model(batch["input_ids"], batch["mask"])
        if not self.count(batch):  # a small part of a list may hold no pair
            return 0.0 * scores.sum()
        return bradley_terry_loss(scores[batch["better"]], scores[batch["worse"]])


@dataclass
class Scorer:
    """A reward model as a reward function: (prompts, texts) -> (B,) scores on the CPU, without gradients."""

    reward_model: RewardModel
    tokenizer: object
    answer_tokens: int = ANSWER_TOKENS  # longer answers are cut, as when it learned
    batch_size: int = 32  # texts read at once

    def __post_init__(self):
        self.turns = Turns.of(self.tokenizer)

    def __call__(self, prompts, texts):
        if len(prompts) != len(texts):
            raise ValueError(f"Expected one prompt for each of {len(texts)} texts, got {len(prompts)} prompts.")
        rows = [
            [*self.turns.prompt(prompt), *self.turns.answer(text, self.answer_tokens)]
            for prompt, text in zip(prompts, texts, strict=True)
        ]
        return self.score_tokens(rows)

    @torch.no_grad()
    def score_tokens(self, rows):
        """(B,) scores of whole texts given as lists of token ids; similar lengths read together, equal ones once."""
        check_rows(len(rows), "text", " to score")
        places = {}
        for place, row in enumerate(rows):
            places.setdefault(tuple(row), []).append(place)
        rows, model = sorted(places, key=len), self.reward_model.model
        scores = torch.zeros(sum(map(len, places.values())))
        with fast_blocks(model), self._own_adapter():
            for start in range(0, len(rows), self.batch_size):
                part = rows[start : start + self.batch_size]
                batch = preference.padded(part, self.tokenizer.pad_token_id)
                for row, score in zip(part, self.reward_model(**batch).tolist(), strict=True):
                    scores[places[row]] = score
        return scores

    def _own_adapter(self):
        model, adapter = self.reward_model.model, self.reward_model.adapter
        return switching.using(model, adapter) if isinstance(model, PeftModel) else contextlib.nullcontext()

    def pairs(self, rows):
        """(chosen, rejected): (N,) scores of encoded pairs."""
        scores = self.score_tokens([row["chosen_ids"] for row in rows] + [row["rejected_ids"] for row in rows])
        return scores.chunk(2)

    def centre(self, prompts, texts):
        """Move the zero to the mean score of these texts; differences stay. Returns the self-same Scorer."""
        self.reward_model.centre += self(prompts, texts).mean().item()
        return self

    @property
    def identity(self):
        """What a run that learns from these scores must agree in when it is resumed."""
        model = self.reward_model
        adapted = isinstance(model.model, PeftModel)
        weights = switching.weights_of(model.model, model.adapter) if adapted else model.model.state_dict()
        parts = [part for key in sorted(weights) for part in (key, weights[key])]
        return fingerprint(*parts, *model.head.state_dict().values(), model.centre, self.answer_tokens)


def recipe_of(tier, *, seed=0, steps=None, batch_size=None):
    """The TrainingRecipe of notebook 08 on a tier, for LoRA; steps and batch_size in place of the tier's own."""
    size = recipes.of("08", tier)
    steps = steps or size.steps
    return TrainingRecipe(
        steps=steps, batch_size=batch_size or size.batch_size, learning_rate=size.learning_rate, max_length=MAX_LENGTH,
        warmup_steps=steps // 10, save_every=20, pool=4, seed=seed,
    )  # fmt: skip


def training_texts(size, *, seed=0):
    """What the gold judge learns from: its own snippets, rated by its half of each panel.

    Args:
        size: a recipes.RewardModeling.
        seed: of the draw.

    Returns:
        Dataset as `rated_texts.load` gives it.
    """
    return rated_texts.load(
        preference.rated_rows("gold"), size.steps * size.batch_size, part=preference.PARTS["gold"], seed=seed
    )


def job(tier, *, rows=None, recipe=None):
    """The reward-model stage of a tier.

    Args:
        tier: one of runtime.TIERS.
        rows: pairs with columns prompt, chosen, rejected, or rated texts with columns prompt, text, mean; by default
            the gold judge's.
        recipe: a TrainingRecipe instead of the tier's; method "lora" or "full".

    Returns:
        An sft.Job, whose module's `reward_model` is what was trained.
    """
    recipe = recipe or recipe_of(tier)
    size = recipes.of("08", tier)
    rows = training_texts(size, seed=recipe.seed) if rows is None else rows
    check_rows(len(rows), "pair or rated text", " to learn from")
    model, tokenizer = load_base(dtype=weights_dtype(recipe), trainable=recipe.method == "full")
    limits = {"answer_tokens": ANSWER_TOKENS, "max_length": recipe.max_length}
    if "chosen" in tables.listed(rows)[0]:
        encoded = preference.encode(rows, tokenizer, drop_equal=True, **limits)
        collate = preference.PairCollator(tokenizer.pad_token_id)
    else:
        encoded = rated_texts.encode(rows, tokenizer, **limits)
        collate = rated_texts.ListCollator(tokenizer.pad_token_id, size.min_gap)

    def build():
        return PairLoss(RewardModel(sft.with_adapter(model, recipe, rank=RANK)))

    return sft.Job(recipe, build, encoded, collate, tokenizer)
