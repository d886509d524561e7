"""Rivals of the transformer by hand, trained by the same loop: the decoder of 2017, experts, and a recurrent network.

    vanilla   Vaswani et al. 2017: x = LayerNorm(x + attention(x)); sinusoidal positions; max(0, x U + c) D + d
    experts   Gemma's parts, but CHOSEN of EXPERTS gated MLPs for each token, as its router says (Shazeer et al. 2017)
    lstm      Hochreiter and Schmidhuber 1997, layers one above the other; it reads a row from left to right

Each has what `training.pretrain` and `evaluation.pretraining` ask of a model: `config`, `embed_tokens`, which is the
head as well, and `hidden`. Documents of a row are kept apart by attention; an LSTM sees their boundary token alone.

Deviations: no dropout; vanilla's MLP is as wide as `mlp_width` says, not 4 D; norms and gates of experts as in
`transformer`; the balance loss is that of Switch (Fedus et al. 2021), E Σ f_e P_e, for two chosen.

Shapes: B rows, T tokens, D width, E experts, n = B · T.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.models.transformer import GatedMLP, RMSNorm, Transformer, attend, check_tokens, visible_keys
from course_utils.models.transformer_weights import initialise
from course_utils.training import pretrain

EXPERTS, CHOSEN, BALANCE = 4, 2, 0.01


class LayerNorm(nn.Module):
    """Numbers of mean 0 and variance 1, each then scaled and moved; the scale is held minus 1, as in RMSNorm."""

    def __init__(self, width):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return F.layer_norm(x, x.shape[-1:], 1 + self.weight, self.bias)


class VanillaBlock(nn.Module):
    """Attention with as many keys as queries, then an MLP with a ReLU; each is added, and the sum made normal."""

    def __init__(self, config):
        super().__init__()
        width, self.heads = config.width, config.heads
        self.qkv_proj, self.o_proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up_proj, self.down_proj = nn.Linear(width, config.mlp_width), nn.Linear(config.mlp_width, width)
        self.attention_norm, self.mlp_norm = LayerNorm(width), LayerNorm(width)

    def forward(self, x, visible):
        q, k, v = self.qkv_proj(x).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(2, 3)
        x = self.attention_norm(x + self.o_proj(attend(q, k, v, visible).transpose(1, 2).flatten(2)))
        return self.mlp_norm(x + self.down_proj(F.relu(self.up_proj(x))))


class Vanilla(nn.Module):
    """The decoder of 2017, without an encoder to look at."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(VanillaBlock(config) for _ in range(config.layers))

    @torch.no_grad()
    def begin(self):
        """Embeddings as long as positions are, as in 2017: spread 1/√D, times √D."""
        self.embed_tokens.weight.mul_(self.config.width**-0.5 / self.embed_tokens.weight.std())

    def hidden(self, tokens, documents=None):
        """(B, T, D) last hidden states of tokens (B, T)."""
        check_tokens(tokens, self.config, documents)
        places = torch.arange(tokens.shape[1], device=tokens.device)
        visible = None if documents is None else visible_keys(places, places, None, documents, documents)
        x = self.embed_tokens(tokens) * math.sqrt(self.config.width) + positions(places, self.config.width)
        for block in self.layers:
            x = block(x, visible)
        return x


def positions(places, width):
    """(T, D): sines and cosines of each place at speeds from one radian a token down to 1/10,000."""
    speeds = 10_000.0 ** -(torch.arange(0, width, 2, device=places.device) / width)
    angles = places[:, None] * speeds
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class Experts(nn.Module):
    """EXPERTS gated MLPs, of which each token is read by the CHOSEN that its router likes best.

    With one chosen the norm behind it would take the router's weight out again, and the router would never learn.
    """

    def __init__(self, config):
        super().__init__()
        self.router = nn.Linear(config.width, EXPERTS, bias=False)
        self.experts = nn.ModuleList(GatedMLP(config) for _ in range(EXPERTS))
        self.balance = 0.0

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1])
        liked = self.router(rows).softmax(-1)
        weights, chosen = liked.topk(CHOSEN, dim=-1)
        weights = weights / weights.sum(-1, keepdim=True)
        # E Σ f_e P_e, f_e its share of all choices: 1 when every expert is chosen as often
        often = torch.bincount(chosen.flatten(), minlength=EXPERTS) / chosen.numel()
        self.balance = EXPERTS * (often * liked.mean(0)).sum()
        answer = torch.zeros_like(rows)
        for number, expert in enumerate(self.experts):
            row, place = (chosen == number).nonzero(as_tuple=True)
            answer = answer.index_add(0, row, weights[row, place, None] * expert(rows[row]))
        return answer.view_as(x)


class MixtureOfExperts(Transformer):
    """Gemma's parts with `Experts` for the MLP of every block, each of them `mlp_width` wide."""

    def __init__(self, config):
        super().__init__(config)
        for block in self.layers:
            block.mlp = Experts(config)

    @property
    def balance(self):
        """What the loss adds of the last forward pass, so that no expert is left alone."""
        return BALANCE * sum(block.mlp.balance for block in self.layers) / len(self.layers)


class LSTM(nn.Module):
    """`layers` of recurrent cells; of the config it takes vocabulary, width, layers, context and epsilon."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
        self.cells = nn.LSTM(config.width, config.width, config.layers, batch_first=True)
        self.input_norm, self.norm = RMSNorm(config.width, config.epsilon), RMSNorm(config.width, config.epsilon)

    @torch.no_grad()
    def begin(self):
        """Forget gates begin open (Jozefowicz et al. 2015)."""
        width = self.config.width
        for layer in range(self.config.layers):
            getattr(self.cells, f"bias_ih_l{layer}")[width : 2 * width] = 1.0  # gates: input, forget, cell, output

    def hidden(self, tokens, documents=None):
        """(B, T, D) last hidden states of tokens (B, T); documents are told apart by their boundary alone."""
        check_tokens(tokens, self.config, documents)
        return self.norm(self.cells(self.input_norm(self.embed_tokens(tokens)))[0])


class RivalLoss(pretrain.PretrainLoss):
    """PretrainLoss, and what a mixture of experts adds to it; a model without experts adds nothing."""

    def forward(self, batch):
        """The loss of a batch as `token_stream.RowCollator` makes it."""
        return super().forward(batch) + getattr(self.model, "balance", 0.0)


KINDS = {"gemma": Transformer, "vanilla": Vanilla, "experts": MixtureOfExperts, "lstm": LSTM}


def build(kind, config, seed=0):
    """A model of one of KINDS with first weights.

    Raises:
        ValueError: an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"There is no model {kind!r} here. Choose from: {', '.join(KINDS)}.")
    model = initialise(KINDS[kind](config), seed)
    if hasattr(model, "begin"):
        model.begin()
    return model


def count(kind, config):
    """(all weights, those outside of the embedding, those that a token passes through) of a model of one of KINDS."""
    with torch.device("meta"):
        model = KINDS[kind](config)
    every = sum(weight.numel() for weight in model.parameters())
    idle = sum(w.numel() for name, w in model.named_parameters() if ".experts." in name) * (1 - CHOSEN / EXPERTS)
    return every, every - model.embed_tokens.weight.numel(), every - int(idle)
