"""Pre-training: the loop that fine-tunes everywhere else, with every weight new and every token counted.

The model is the transformer by hand, `models/transformer`, from `transformer_weights.initialise`. Its data are rows of
`text.token_stream`; its loss is the mean cross-entropy of the next token. Before the first step this is about ln V,
what a guess among V tokens costs.

Two ways to go wrong are here as well, for looking at: attention across the border of two documents
(`job(across=True)`), and a mask that lets a token see what it shall predict (`SeesAhead`).
"""

from dataclasses import replace

import torch

from course_utils import recipes, runtime
from course_utils.engine.recipe import TrainingRecipe
from course_utils.models import transformer, transformer_weights
from course_utils.models.fused_forward import fast_blocks
from course_utils.models.logprobs import linear_cross_entropy, next_token_targets
from course_utils.tensors import moved
from course_utils.text import token_stream
from course_utils.training import sft

WEIGHT_DECAY, BETAS = 0.1, (0.9, 0.95)
CONTEXT = 1024  # the most tokens of a text that the model may be asked about; it is trained on shorter rows


class PretrainLoss(torch.nn.Module):
    """Mean cross-entropy, in nats, of every next token of a row."""

    def __init__(self, model):
        """model: a transformer.Transformer."""
        super().__init__()
        self.model = model

    def while_training(self):
        """The context in which the loop trains: norms and gates in fewer passes over memory."""
        return fast_blocks(self.model)

    def count(self, batch):
        """How many tokens are predicted; a row's first token is predicted by nothing."""
        return batch["input_ids"][:, 1:].numel()

    def forward(self, batch):
        """The loss of a batch as `token_stream.RowCollator` makes it."""
        head = self.model.embed_tokens.weight
        batch = moved(batch, head.device)
        tokens = batch["input_ids"]
        hidden = self.model.hidden(tokens, batch.get("documents"))
        return linear_cross_entropy(hidden, head, next_token_targets(tokens, torch.ones_like(tokens, dtype=torch.bool)))


class SeesAhead(transformer.Transformer):
    """A transformer with a wrong mask: each token sees all of its row, the one that it shall predict among them."""

    def _view(self, window, start, count, documents, seen):
        angles, _ = super()._view(window, start, count, documents, seen)
        keys = count if seen is None else seen.shape[1]
        return angles, torch.ones(count, keys, dtype=torch.bool, device=angles[0].device)


def recipe_of(tier, *, seed=0, steps=None):
    """The TrainingRecipe of notebook 03 on a tier; steps in place of the tier's own."""
    size = recipes.of("03", tier)
    steps = steps or size.steps
    return TrainingRecipe(
        method="full", steps=steps, batch_size=size.batch_size, learning_rate=size.learning_rate,
        micro_batch=size.micro_batch, max_length=size.length, warmup_steps=steps // 10, weight_decay=WEIGHT_DECAY,
        betas=BETAS, save_every=20, seed=seed,
    )  # fmt: skip


def config_of(size):
    """The TransformerConfig of a recipes.Pretraining."""
    return transformer.TransformerConfig(
        vocabulary=size.vocabulary, width=size.width, layers=size.layers, heads=size.heads,
        key_value_heads=size.key_value_heads, head_width=size.head_width, mlp_width=size.mlp_width, window=size.length,
        context=CONTEXT,
    )  # fmt: skip


def build(config, *, seed=0, device="cpu", kind=transformer.Transformer):
    """A loss module around a model with first weights.

    Args:
        config: a TransformerConfig.
        seed: of the weights.
        device: where the model lives.
        kind: Transformer, or SeesAhead.
    """
    return PretrainLoss(transformer_weights.initialise(kind(config), seed).to(device))


def job(tier, *, stream=None, recipe=None, rows=None, across=False, kind=transformer.Transformer):
    """The pre-training of a tier.

    Args:
        tier: one of runtime.TIERS.
        stream: a token_stream.Stream; that of the corpus by default.
        recipe: a TrainingRecipe of method "full" instead of the tier's.
        rows: how many of the stream's rows are read; None for all.
        across: whether attention crosses the borders of documents.
        kind: the model's class, Transformer or SeesAhead.

    Returns:
        A sft.Job; its tokenizer is the stream.
    """
    recipe, size = recipe or recipe_of(tier), recipes.of("03", tier)
    for_method(recipe, "full")
    stream = stream or corpus_stream(tier)
    config = replace(config_of(size), vocabulary=stream.vocabulary)
    cut = token_stream.Rows(stream, recipe.max_length, rows)
    collate = token_stream.RowCollator(stream.boundary, across)
    device = runtime.current().device
    return sft.Job(recipe, lambda: build(config, seed=recipe.seed, device=device, kind=kind), cut, collate, stream)


def corpus_stream(tier, *, share=None, say=print):
    """The corpus' training documents as tokens of the tier's vocabulary; made once, kept among the runs.

    Args:
        share: of the documents; by default the tier's, which is enough for the live run.
    """
    size = recipes.of("03", tier)
    return token_stream.prepare(runtime.current().runs / "tokens", size.vocabulary, share=share or size.share, say=say)


def for_method(recipe, method):
    """The recipe, when all weights are trained.

    Raises:
        ValueError: an adapter; there are no weights yet that it could change a little.
    """
    if method != "full" or recipe.method != "full":
        raise ValueError("Pre-training trains every weight: there is no base yet that an adapter could change.")
    return recipe


precision = sft.precision  # full training keeps fp32 weights, under bf16 autocast where the machine has it
