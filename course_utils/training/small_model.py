"""A small language model from scratch, byte by byte: weights that no file format has rounded, unlike the base model's.

A Gemma 3 of four layers and 3.1 million weights. It reads bytes, so its vocabulary is 258 and not 262,144: all its
weights sit in the blocks, and it learns something within minutes. The loss is that of pre-training, every byte counts.
"""

from course_utils import runtime
from course_utils.data.instructions import TokenCollator
from course_utils.engine.recipe import TrainingRecipe
from course_utils.models.packing import use_row_attention
from course_utils.training.next_token import NextTokenLoss
from course_utils.training.sft import Job

BOS, PAD, VOCABULARY = 256, 257, 258
LENGTH = 256  # <bos> and 255 bytes
RECIPE = TrainingRecipe(
    method="full", steps=400, batch_size=16, learning_rate=3e-3, warmup_steps=40, max_length=LENGTH, save_every=200
)


def encode(texts):
    """Rows of LENGTH ids, <bos> first, from UTF-8 bytes; what is left over at a text's end is dropped."""
    rows, size = [], LENGTH - 1
    for data in (text.encode("utf-8") for text in texts):
        rows += [[BOS, *data[start : start + size]] for start in range(0, len(data) - size + 1, size)]
    return rows


def build():
    """The loss module around the model with random weights, in fp32."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    config = Gemma3TextConfig(
        vocab_size=VOCABULARY, hidden_size=256, intermediate_size=768, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=1, head_dim=64, query_pre_attn_scalar=64, sliding_window=LENGTH, pad_token_id=PAD,
        bos_token_id=BOS, eos_token_id=PAD,
    )  # fmt: skip
    model = Gemma3ForCausalLM(config).to(runtime.current().device)
    use_row_attention(model)
    return NextTokenLoss(model)


def job(texts, recipe=RECIPE):
    """The stage that trains it.

    Args:
        texts: a list of strings.
        recipe: a TrainingRecipe of method "full".

    Returns:
        A sft.Job, without a tokenizer.

    Raises:
        ValueError: no text has LENGTH − 1 bytes.
    """
    rows = [{"input_ids": row, "completion_mask": [True] * LENGTH} for row in encode(texts)]
    if not rows:
        raise ValueError(f"{len(texts)} texts, and none has {LENGTH - 1} bytes. Give longer ones.")
    return Job(recipe, build, rows, TokenCollator(PAD), None)
