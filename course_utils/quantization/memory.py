"""The memory of a fine-tuning step, counted from a configuration: no weights needed, so 70 B is as easy as 270 M.

    weights      frozen ones in their format, adapters and trained ones in their own
    optimizer    AdamW keeps two numbers a trained weight
    gradients    one number a trained weight
    head_gradient  of a head that learns: there from the loss on, before all others, and counted apart from them
    activations  what a block keeps for its backward pass, times tokens, times blocks
    logits       a slice or a chunk of the head's output; never all of them, see models/logprobs

At the loss all activations are alive and hardly any gradient, at the first block of the backward pass its working
gradients too, at the update all gradients and no activation. The peak is the largest of the three. Activations are
those of the course's own training path (models/fused_forward, models/packing, layers), where a norm keeps its input,
a linear layer its input and a gated MLP its two halves; other code keeps more.
"""

import math
from dataclasses import dataclass
from numbers import Real

from course_utils.models.logprobs import BLOCK_WORDS, DEFAULT_CHUNK, WHOLE_CHUNK

METHODS = ("full", "lora", "qlora")
LINEAR_PARTS = ("q", "k", "v", "o", "gate", "up", "down")


@dataclass(frozen=True)
class Shape:
    """The sizes that a decoder's configuration gives; a gated MLP, no biases."""

    layers: int
    width: int  # D
    inner: int  # of the MLP
    heads: int
    key_heads: int
    head_width: int
    vocabulary: int
    tied: bool = False  # whether the head is the embedding
    norms: int = 2  # of width D in a block; Gemma 3 has 4
    head_norms: bool = False  # norms of queries and keys, which Gemma 3 has

    @classmethod
    def of(cls, config):
        """From a transformers configuration of Gemma 3, Llama or one built like them."""
        gemma = config.model_type.startswith("gemma3")
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return cls(
            config.num_hidden_layers,
            config.hidden_size,
            config.intermediate_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            width,
            config.vocab_size,
            bool(config.tie_word_embeddings),
            4 if gemma else 2,
            gemma,
        )

    @property
    def matrices(self):
        """{part: (O, I)} of one block's linear layers."""
        query, key = self.heads * self.head_width, self.key_heads * self.head_width
        sizes = [(query, self.width), (key, self.width), (key, self.width), (self.width, query)]
        sizes += [(self.inner, self.width), (self.inner, self.width), (self.width, self.inner)]
        return dict(zip(LINEAR_PARTS, sizes, strict=True))

    @property
    def linear(self):
        """Weights in the blocks' linear layers, which adapters sit on and quantization rounds."""
        return self.layers * sum(rows * columns for rows, columns in self.matrices.values())

    @property
    def embedding(self):
        """Weights of the embedding, and of the head where it is not tied."""
        return self.vocabulary * self.width * (1 if self.tied else 2)

    @property
    def parameters(self):
        """All weights."""
        in_block = self.norms * self.width + 2 * self.head_width * self.head_norms
        return self.linear + self.embedding + self.layers * in_block + self.width

    def adapter(self, rank):
        """Weights of LoRA on every linear layer of the blocks."""
        return self.layers * rank * sum(rows + columns for rows, columns in self.matrices.values())


# config.json of Hugging Face's meta-llama/Llama-3.2-1B, Llama-2-7b-hf, Llama-2-13b-hf and Llama-2-70b-hf; the first
# three sizes of Llama 2 also stand in table 1 and section 2.2 of Touvron et al. 2023
SHAPES = {
    "1 B": Shape(16, 2048, 8192, 32, 8, 64, 128_256, tied=True),
    "7 B": Shape(32, 4096, 11_008, 32, 32, 128, 32_000),
    "13 B": Shape(40, 5120, 13_824, 40, 40, 128, 32_000),
    "70 B": Shape(80, 8192, 28_672, 64, 8, 128, 32_000),
}


@dataclass(frozen=True)
class Setting:
    """How a step is taken; everything that moves its memory."""

    method: str = "lora"  # "full", "lora" or "qlora"
    rows: int = 8  # in memory at once, without pads
    length: int = 160  # tokens of a row
    rank: int = 16  # of LoRA, on every linear layer of the blocks
    base_bytes: float = 2  # a frozen weight: 2 in bf16, 4 in fp32
    bits: float = 4.127  # a quantized weight with its scales; NF4 with double quantization
    quantized_head: bool = False  # whether QLoRA rounds embedding and head too
    activation_bytes: int = 2  # a number between the layers
    optimizer_bytes: float = 8  # AdamW a trained weight: 8 in fp32, 2 with 8-bit moments
    optimizer_paged: bool = False  # moments wait in the CPU's memory, NVIDIA only
    checkpointing: bool = False  # keep only each block's input and compute the rest again
    chunk: int = DEFAULT_CHUNK  # positions that go through the head at one time
    device: str = "cpu"  # of the step; a GPU takes the softmax of larger slices

    def __post_init__(self):
        if self.method not in METHODS:
            raise ValueError(f"Expected a method of {METHODS}, got {self.method!r}.")
        for name in ("rows", "length", "rank", "base_bytes", "bits", "activation_bytes", "optimizer_bytes", "chunk"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not value > 0:
                raise ValueError(f"Setting({name}={getattr(self, name)!r}): expected a number above 0.")


@dataclass(frozen=True)
class Step:
    """Bytes of one step, part by part; `peak` is the most that is alive at one time."""

    weights: int
    gradients: int  # without the head's
    optimizer: int
    activations: int
    logits: int
    working: int = 0  # gradients of one block's activations, on their way back
    head_gradient: int = 0  # of a head that learns: there from the loss to the update

    @property
    def peak(self):
        """At the loss, at the first block of the backward pass or at the update, whichever needs more."""
        flowing = self.activations + max(self.logits, self.working)
        return self.weights + self.optimizer + self.head_gradient + max(flowing, self.gradients)

    @property
    def parts(self):
        """{part: bytes}, in the order of a bar chart."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def step(shape, setting):
    """The Step of a model's shape under a setting. Trained weights, gradients and adapters are float32."""
    full = setting.method == "full"
    trained = shape.parameters if full else shape.adapter(setting.rank)
    head_gradient = 4 * shape.vocabulary * shape.width if full else 0
    return Step(
        weights=math.ceil(4 * trained + (0 if full else frozen_bytes(shape, setting))),
        gradients=4 * trained - head_gradient,
        optimizer=0 if setting.optimizer_paged else math.ceil(setting.optimizer_bytes * trained),
        activations=activations(shape, setting),
        logits=logits(shape, setting),
        working=4 * (shape.inner + shape.width) * setting.rows * setting.length * setting.activation_bytes,
        head_gradient=head_gradient,
    )


def frozen_bytes(shape, setting):
    """Bytes of the frozen base: under QLoRA its linear layers, and its head when asked, in `bits` bits."""
    if setting.method != "qlora":
        return shape.parameters * setting.base_bytes
    rounded = shape.linear + (shape.embedding if setting.quantized_head else 0)
    return rounded * setting.bits / 8 + (shape.parameters - rounded) * setting.base_bytes


def activations(shape, setting):
    """Bytes kept between the passes: each block's, or with checkpointing each block's input and one block whole."""
    tokens, bytes_each = setting.rows * setting.length, setting.activation_bytes
    query, key = shape.heads * shape.head_width, shape.key_heads * shape.head_width
    # inputs of norms; of q, k, v and of gate, up; queries, keys and values; the attention's output; gate, up, product
    numbers = (shape.norms + 2) * shape.width + 2 * query + 2 * key + 3 * shape.inner
    if shape.head_norms:
        numbers += query + key
    if setting.method == "full":  # a norm whose weight learns also keeps its output
        numbers += shape.norms * shape.width + (query + key) * shape.head_norms
    else:
        numbers += len(LINEAR_PARTS) * setting.rank  # x Aᵀ
    numbers += shape.heads * setting.length  # the attention's weights, row by row
    block = tokens * numbers * bytes_each
    final = 3 * tokens * shape.width * bytes_each  # the last norm's input and output, and its gradient from the head
    if setting.checkpointing:
        return shape.layers * tokens * shape.width * bytes_each + block + final
    return shape.layers * block + final


def logits(shape, setting):
    """Bytes that the head's softmax works in.

    Under a frozen head a slice of logits and its float32 copy, and each position's sum over the words; under one that
    learns a chunk of logits, and two float32 buffers for the softmax of a slice of it.
    """
    positions = min(setting.chunk, setting.rows * setting.length)
    slice_words = BLOCK_WORDS["cpu" if setting.device == "cpu" else "gpu"]
    if setting.method == "full":
        chunk = min(positions, WHOLE_CHUNK) * shape.vocabulary
        return chunk * setting.activation_bytes + 2 * 4 * min(chunk, slice_words)
    each = setting.activation_bytes + 4
    return each * (min(positions * shape.vocabulary, slice_words) + positions * shape.width)


def saved_by_qlora(shape, setting=None):
    """The share of the 16-bit weights' bytes that QLoRA's format removes, 0 to 1."""
    setting = setting or Setting("qlora")
    return 1 - frozen_bytes(shape, setting) / (shape.parameters * setting.base_bytes)
