"""P-tuning by hand (Liu et al. 2021): prompt tuning whose vectors come out of a small network.

    p = MLP(e)                      e (k, D) and the network are trained together
    p = MLP(LSTM(e))                the paper's choice; each vector sees its neighbours

The network only shapes the way to p. After training p is a constant: `drop_encoder` keeps it and deletes the network.
Deviation from the paper, as in peft: every virtual token stands before the input, none inside a template. `anchors`
puts fixed words of a template among them. Deviation from both: p can start as a text, see `start_at`.
"""

import torch

from course_utils.adapters import prompt_tuning


class PromptEncoder(torch.nn.Module):
    """k learned vectors through a network. Parts are named as in peft, so that weights can be copied."""

    def __init__(self, tokens, width, *, hidden=None, kind="mlp", layers=2):
        super().__init__()
        if kind not in ("mlp", "lstm"):
            raise ValueError(f"There is no encoder {kind!r}. Choose 'mlp' or 'lstm'.")
        hidden = hidden or width
        linear, relu = torch.nn.Linear, torch.nn.ReLU
        self.embedding = torch.nn.Embedding(tokens, width)
        if kind == "lstm":
            self.lstm_head = torch.nn.LSTM(width, hidden, layers, bidirectional=True, batch_first=True)
            self.mlp_head = torch.nn.Sequential(linear(2 * hidden, 2 * hidden), relu(), linear(2 * hidden, width))
        else:
            self.mlp_head = torch.nn.Sequential(
                linear(width, hidden), relu(), linear(hidden, hidden), relu(), linear(hidden, width)
            )

    def forward(self):
        """(k, D)."""
        vectors = self.embedding.weight
        if hasattr(self, "lstm_head"):
            vectors = self.lstm_head(vectors[None])[0][0]
        return self.mlp_head(vectors)


class Anchored(torch.nn.Module):
    """Learned vectors with the fixed embeddings of a template's words among them; around our encoder or peft's."""

    def __init__(self, encoder, words, places):
        super().__init__()
        self.encoder = encoder
        self.register_buffer("words", words.detach().float().clone(), persistent=False)
        self.places = torch.tensor(places)  # for each position, True where a fixed word stands

    @property
    def embedding(self):
        """The encoder's own, which peft asks for its device."""
        return self.encoder.embedding

    def forward(self, *indices):
        """(k + anchors, D); behind a one where peft gives the k indices as (1, k)."""
        learned = self.encoder(*indices)
        vectors = learned.new_empty(*learned.shape[:-2], len(self.places), learned.shape[-1])
        vectors[..., self.places, :] = self.words.to(learned.dtype)
        vectors[..., ~self.places, :] = learned
        return vectors


def anchored(model, encoder, anchors):
    """An encoder of ours or peft's with the fixed words of a template among its vectors, see `inject`."""
    ids = torch.tensor([word for word in anchors if word is not None], device=model.device)
    return Anchored(encoder, model.get_input_embeddings()(ids), [word is not None for word in anchors])


def learned_places(anchors):
    """k of a template: how many places of it are None.

    Raises:
        ValueError: nothing to learn, or no fixed word.
    """
    learned = list(anchors).count(None)
    if not 0 < learned < len(anchors):
        raise ValueError(
            f"Expected a template with both learned vectors and fixed words, got {anchors}. Write None where a learned "
            "vector stands and a token id where a fixed word stands, or leave anchors out."
        )
    return learned


def inject(model, *, tokens=20, hidden=None, kind="mlp", layers=2, anchors=None, text_ids=None):
    """Freeze a model and put k vectors out of a trained network before every row that it reads, in place.

    Args:
        model: a causal language model of transformers.
        tokens: k.
        hidden: the network's width; D when None.
        kind: "mlp" (three linear layers) or "lstm" (two layers in both directions, then an MLP).
        layers: of the LSTM.
        anchors: a template as a list, with None where a learned vector stands and a token id where a fixed word stands;
            its None count as `tokens`.
        text_ids: token ids that the vectors start as, repeated or cut to k; None for the network's own random start.

    Returns:
        The model; `model.virtual_tokens` is the PromptEncoder, inside an Anchored where there are anchors.

    Raises:
        ValueError: an unknown kind, or a template without a None or without a word.
    """
    learned = learned_places(anchors) if anchors else tokens
    encoder = PromptEncoder(
        learned, model.config.get_text_config().hidden_size, hidden=hidden, kind=kind, layers=layers
    )
    if text_ids is not None:
        start_at(encoder, prompt_tuning.start(model, learned, text_ids))
    if anchors:
        encoder = anchored(model, encoder, anchors)
    return prompt_tuning.attach(model, encoder)


@torch.no_grad()
def start_at(encoder, vectors):
    """Let an encoder, ours or peft's, put out these vectors at first: W = (H⁺ P)ᵀ in its last layer, b = 0.

    A network's own start is no text, and short: a tenth of a word's length in Gemma 3 270M.

    Args:
        encoder: its embedding (k, D), `mlp_head` and, where there is one, `lstm_head`.
        vectors: P (k, D); exact where the last layer reads at least k numbers.
    """
    inner = encoder.embedding.weight
    if hasattr(encoder, "lstm_head"):
        inner = encoder.lstm_head(inner[None])[0][0]
    *before, last = encoder.mlp_head
    for layer in before:
        inner = layer(inner)
    last.weight.copy_((torch.linalg.pinv(inner.float()) @ vectors.float()).T)
    last.bias.zero_()


@torch.no_grad()
def drop_encoder(model):
    """Replace the network by what it puts out: a plain soft prompt, and the same logits."""
    model.virtual_tokens = prompt_tuning.SoftPrompt(model.virtual_tokens()).to(model.device)
    return model


remove = prompt_tuning.remove
