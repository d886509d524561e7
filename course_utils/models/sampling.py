"""Text out of a language model: the distribution over the next token, what reshapes it, and a sampler of both.

Shapes: B rows, P tokens of the longest prompt, V vocabulary; N rows of logits, of any number of leading dimensions.
"""

import contextlib
import itertools
from dataclasses import dataclass

import torch

from course_utils.data.rows import short, whole
from course_utils.models import static_cache
from course_utils.models.onednn_weights import prepacked
from course_utils.models.prefix import read_prefix

BLOCK = 512  # words of a vocabulary that are summed first when one is drawn
PACK_TOKENS = 8  # from here on packing all matrices costs less than it saves, for any number of rows
SHARED_TOKENS = 64  # a pass of its own costs as much as these in a common one


@dataclass(frozen=True)
class Sample:
    """What the sampler wrote behind one prompt."""

    tokens: tuple[int, ...]  # without the prompt; the stop token, when one came, is the last
    stopped: bool  # True when the row ended by a stop token, False when max_new_tokens cut it off


def next_token_logits(model, tokens):
    """Logits of the token that follows.

    Args:
        tokens: a prompt's token ids, <bos> first.

    Returns:
        (V,) float32 on the CPU.
    """
    if not tokens:
        raise ValueError("Expected at least one token, such as <bos>, to continue from; got none.")
    with torch.inference_mode():
        hidden = model.base_model(torch.tensor([tokens], device=model.device)).last_hidden_state[:, -1]
        return _logits(model, hidden)[0].cpu()


def top_next(model, tokenizer, text, k=10):
    """The k most probable next tokens after a text: a list of (token as text, probability), best first."""
    tokens = tokenizer(text).input_ids
    probabilities = torch.softmax(next_token_logits(model, tokens), dim=-1)
    best = probabilities.topk(k)
    return [(tokenizer.decode([i]), p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]


def with_temperature(logits, temperature):
    """Logits whose softmax is flatter above 1 and steeper below: z / T.

    Args:
        logits: (N, V). temperature: above 0; greedy decoding is the argmax and needs none.
    """
    if not temperature > 0:
        raise ValueError(f"Expected a temperature above 0, got {temperature}. Without chance take the argmax.")
    return logits / temperature


def top_k(logits, k):
    """The k highest logits of each row, the others −∞; words that tie with the k-th stay."""
    if not 1 <= k <= logits.shape[-1]:
        raise ValueError(f"Expected k between 1 and the {logits.shape[-1]} words, got {k}.")
    return logits.masked_fill(logits < logits.topk(k, dim=-1).values[..., -1:], -torch.inf)


def top_p(logits, p):
    """The most probable words that together reach p, the one that crosses p included, the others −∞.

    So p = 0 leaves one word (Holtzman et al. 2020). transformers applies it behind the temperature, llama.cpp before:
    with both, equal settings are different distributions.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"Expected p between 0 and 1, got {p}.")
    if p == 1:  # rounded sums would leave out the last words
        return logits
    ordered, order = logits.sort(dim=-1, descending=True)
    probabilities = ordered.double().softmax(-1)
    before = probabilities.cumsum(-1) - probabilities  # what the words above it already have
    out = before >= p
    out[..., 0] = False
    return logits.masked_fill(torch.zeros_like(out).scatter(-1, order, out), -torch.inf)


def min_p(logits, p):
    """Words at least p times as probable as the most probable one; the others −∞ (Nguyen et al. 2024)."""
    if not 0 <= p <= 1:
        raise ValueError(f"Expected p between 0 and 1, got {p}.")
    probabilities = logits.softmax(-1)
    return logits.masked_fill(probabilities < p * probabilities.max(dim=-1, keepdim=True).values, -torch.inf)


def penalized(logits, counts, *, frequency=0.0, presence=0.0):
    """OpenAI's two penalties: z[w] − frequency · count(w) − presence · [count(w) > 0].

    They look at the token alone: a synonym, the same word with a capital, a common word that has not stood yet keep
    their logits. With a positive frequency penalty a word is pushed down by how often *this answer* has used it.

    Args:
        logits: (N, V).
        counts: (N, V), how often each token stands in what was generated so far; the prompt does not count.
        frequency, presence: 0 changes nothing; above 0 repeats become rarer, below 0 more frequent.
    """
    if counts.shape != logits.shape:
        raise ValueError(f"Expected one count a logit, got {tuple(counts.shape)} and {tuple(logits.shape)}.")
    return logits - frequency * counts - presence * (counts > 0)


def counted(written, words):
    """(B, V) how often each row has written each word.

    Args:
        written: B lists of token ids. words: V.
    """
    return torch.stack([torch.bincount(torch.tensor(row, dtype=torch.long), minlength=words) for row in written])


def sample(model, prompts, *, max_new_tokens, temperature=1.0, stop_tokens=(), seed=0, beginning=None, reshape=None):
    """Continue every prompt, one token at a time, each from softmax(logits / temperature).

    Args:
        model: a causal language model of transformers.
        prompts: B lists of token ids, none empty, <bos> first.
        max_new_tokens: rows that have not stopped by then are cut off.
        temperature: 0 takes the most probable token every time; 1 samples the model's own distribution.
        stop_tokens: ids that end a row.
        seed: of this call's own random numbers; the same seed, prompts and machine give the same text.
        beginning: a `prefix.Prefix` that all prompts share and that was read once; then <bos> stands there. Without it
            what the prompts share is read once here.
        reshape: (logits (B, V), what each row has written so far, B lists) → logits to draw from, before the
            temperature divides them; −∞ forbids a word. B falls as rows end.

    Returns:
        list of B Samples, in the order of the prompts.

    Raises:
        ValueError: an empty prompt, a negative temperature, or nothing to generate.
    """
    _check(prompts, max_new_tokens, temperature)
    beginning, prompts = _shared_beginning(model, prompts, max_new_tokens, beginning)
    with prepacked(model, len(prompts)) if max_new_tokens >= PACK_TOKENS else contextlib.nullcontext():
        return _write(model, prompts, max_new_tokens, temperature, stop_tokens, seed, beginning, reshape)


def _shared_beginning(model, prompts, max_new_tokens, beginning):
    """(prefix or None, the rest of each prompt): what all prompts begin with is read once, where that saves anything.

    Rows are padded behind it, and a sliding window counts places: where the window would matter, nothing is shared.
    """
    known = beginning.tokens if beginning else ()
    longest = len(known) + max(map(len, prompts)) + max_new_tokens
    window = getattr(model.config.get_text_config(), "sliding_window", None) or longest
    if longest > window:
        return None, [[*known, *prompt] for prompt in prompts]
    if beginning:
        return beginning, prompts
    alike = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*prompts, strict=False))
    shared = min(len(list(alike)), min(map(len, prompts)) - 1)
    if shared * (len(prompts) - 1) < SHARED_TOKENS:
        return None, prompts
    return read_prefix(model, prompts[0][:shared]), [prompt[shared:] for prompt in prompts]


def _write(model, prompts, max_new_tokens, temperature, stop_tokens, seed, beginning, reshape):
    """`sample` without its preparations; with a beginning, prompts are what follows it."""
    generator = torch.Generator(model.device).manual_seed(seed)
    stops = torch.tensor(sorted(stop_tokens), device=model.device)
    tokens, mask = (tensor.to(model.device) for tensor in _left_padded(prompts))
    shared = len(beginning.tokens) if beginning else 0
    cache = static_cache.reserve(model, len(prompts), shared + tokens.shape[1] + max_new_tokens, beginning)
    active = torch.arange(len(prompts))  # which prompt each remaining row belongs to
    written = [[] for _ in prompts]
    stopped = [False] * len(prompts)
    mask = torch.cat([mask.new_ones(len(prompts), shared), mask], dim=1)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
    for _ in range(max_new_tokens):
        logits = _step(model, tokens, mask, positions, cache)
        if reshape is not None:
            logits = reshape(logits, [written[prompt] for prompt in active.tolist()])
        tokens = _choose(logits, temperature, generator)
        ended = torch.isin(tokens, stops)
        for row, prompt in enumerate(active.tolist()):
            written[prompt].append(int(tokens[row]))
            stopped[prompt] = bool(ended[row])
        if ended.any():  # finished rows leave the batch
            kept = static_cache.without(ended)
            if len(kept) == 0:
                break
            tokens, mask, positions, active = tokens[kept], mask[kept], positions[kept], active[kept.cpu()]
            cache.batch_select_indices(kept)
        tokens, positions = tokens[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
    return [Sample(tuple(row), end) for row, end in zip(written, stopped, strict=True)]


def continue_text(model, tokenizer, text, *, max_new_tokens=40, temperature=1.0, seed=0):
    """One continuation of a text, as text, up to <eos>."""
    prompts = [tokenizer(text).input_ids]
    stops = [tokenizer.eos_token_id]
    result = sample(
        model, prompts, max_new_tokens=max_new_tokens, temperature=temperature, stop_tokens=stops, seed=seed
    )
    return tokenizer.decode(result[0].tokens, skip_special_tokens=True)


def _step(model, tokens, mask, positions, cache):
    """(B, V) logits of every row's next token."""
    with torch.inference_mode():
        output = model.base_model(
            tokens, attention_mask=mask, position_ids=positions, **static_cache.passed(model, cache)
        )
        return _logits(model, output.last_hidden_state[:, -1])


def _choose(logits, temperature, generator):
    """(B,) the next token of every row."""
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits if temperature == 1 else logits / temperature, dim=-1)
    return draw(probabilities, torch.rand(2, len(logits), 1, generator=generator, device=logits.device).double())


def draw(probabilities, uniform):
    """One word a row, by inverting the distribution function twice: of blocks of words, then inside the block.

    Four passes over a vocabulary of 262,144 become one; `torch.multinomial` also draws a number for every word.

    Args:
        probabilities: (B, V), of any sum.
        uniform: (2, B, 1) float64 in [0, 1), independent.

    Returns:
        (B,) int64.
    """
    missing = -probabilities.shape[1] % BLOCK  # of the last block
    padded = torch.nn.functional.pad(probabilities, (0, missing)) if missing else probabilities
    blocks = padded.unflatten(1, (-1, BLOCK))
    block = _invert(blocks.sum(dim=-1), uniform[0])
    inside = _invert(blocks[torch.arange(len(blocks), device=blocks.device), block[:, 0]], uniform[1])
    return (block * BLOCK + inside)[:, 0]


def _invert(mass, uniform):
    """(B, 1) the first place whose cumulated mass exceeds uniform · total, so never one without mass."""
    cumulated = mass.double().cumsum(dim=1)
    return torch.searchsorted(cumulated, uniform * cumulated[:, -1:], right=True).clamp(max=mass.shape[1] - 1)


def _logits(model, hidden):
    """(B, D) → (B, V) float32. Contiguous: a strided slice times a frozen bf16 head is hundreds of times slower."""
    return model.get_output_embeddings()(hidden.contiguous()).float()


def _left_padded(prompts):
    """(B, P) tokens and mask with every prompt's last token in the last column, where the next one is predicted."""
    longest = max(map(len, prompts))
    tokens = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.zeros(len(prompts), longest, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = True
    return tokens, mask


def _check(prompts, max_new_tokens, temperature):
    if isinstance(prompts, str) or not hasattr(prompts, "__len__") or any(not hasattr(p, "__len__") for p in prompts):
        raise ValueError(f"Expected prompts as lists of token ids, one list a row, got {short(prompts)}.")
    texts = [row for row, prompt in enumerate(prompts) if isinstance(prompt, str)]
    if texts:
        raise ValueError(f"Prompt {texts[0]} is a text; expected token ids: tokenizer(text).input_ids.")
    empty = [row for row, prompt in enumerate(prompts) if not prompt]
    if not prompts or empty:
        raise ValueError(
            f"Expected prompts of at least one token (<bos>), got {len(prompts)} prompts, empty rows {empty[:5]}."
        )
    whole("max_new_tokens", max_new_tokens, 1)
    if isinstance(temperature, str | None) or not 0 <= temperature < float("inf"):
        raise ValueError(f"Expected a temperature of 0 (greedy) or more, got {temperature}.")
