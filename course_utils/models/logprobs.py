"""Log-probabilities and the next-token loss without a full logits matrix; every shift by one lives here.

With a vocabulary of 262,144 words one position's logits take 1 MiB of fp32, so a batch of 2,048 tokens needs 2 GiB,
and as much again for their gradient. Both functions below therefore look only at the positions that count, gather them
into one contiguous matrix, and let them attend to the words slice by slice, as flash attention lets queries attend to
keys (Dao et al. 2022): no more than a slice of logits exists, and the gradient is an attention's output.

    z = W h / T            logits of one position, (V,)
    log p(t) = z[t] − log Z,  Z = Σ exp z
    ∂ log p(t) / ∂h = (w[t] − Σ exp(z) w / Z) / T

A head that learns needs softmax − onehot of every word, so there a chunk of rows has its logits whole, which become
their gradient in place.

Shapes: B batch, T tokens, D width, V vocabulary, N positions that count. A target of −100 does not count.
Deviation from autograd's habit: the gradient is computed on the way forward, so nothing here has a second derivative.
"""

import torch

IGNORE = -100
DEFAULT_CHUNK = 512  # rows that are worked through at once
WHOLE_CHUNK = 256  # rows whose logits exist at once when the head learns; at Gemma's vocabulary 128 MiB of bf16
BLOCK_WORDS = {"cpu": 1 << 20, "gpu": 1 << 23}  # logits in one slice; 4 MiB of fp32 stay in a CPU's cache


def linear_cross_entropy(hidden, weight, targets, *, chunk_size=DEFAULT_CHUNK):
    """Mean cross-entropy of the head's prediction over the targets that count.

    Args:
        hidden: (..., D) last hidden states.
        weight: (V, D) the head; trained when it requires a gradient.
        targets: (...) int64, the word that each position should predict, already shifted; −100 does not count.
        chunk_size: positions that are worked through at the same time.

    Returns:
        A scalar in nats, fp32 (fp64 for fp64 input), differentiable once in hidden and weight.

    Raises:
        ValueError: shapes or dtypes do not fit, a target lies outside the vocabulary, or no target counts.
    """
    rows, words, _ = _counted(hidden, weight, targets, chunk_size)
    if not len(words):
        raise ValueError(
            f"None of the {targets.numel()} targets counts (all are {IGNORE}), so the loss has no mean. "
            "Were all answers truncated away, or is the mask inverted? It is True where a token counts."
        )
    train_rows, train_head = (torch.is_grad_enabled() and tensor.requires_grad for tensor in (hidden, weight))
    if train_head:
        return _MeanCrossEntropy.apply(rows, weight, words, min(chunk_size, WHOLE_CHUNK), train_rows)
    return -_TokenLogprobs.apply(rows, weight, words, 1.0, chunk_size, train_rows).mean()


def token_logprobs(hidden, weight, tokens, *, temperature=1.0, chunk_size=DEFAULT_CHUNK):
    """Log-probability of each given token under the head's softmax.

    Args:
        hidden: (..., D) last hidden states.
        weight: (V, D) the head.
        tokens: (...) int64, the token whose probability is asked at each position; −100 is not computed.
        temperature: divides the logits, as when sampling.
        chunk_size: positions that are worked through at the same time.

    Returns:
        (...) in nats, fp32 (fp64 for fp64 input), differentiable once in hidden and weight; 0 where the token is −100.

    Raises:
        ValueError: shapes or dtypes do not fit, a token lies outside the vocabulary, or temperature ≤ 0.
    """
    if not temperature > 0:
        raise ValueError(f"Expected a temperature > 0, got {temperature}. For greedy decoding take the argmax instead.")
    rows, words, positions = _counted(hidden, weight, tokens, chunk_size)
    train = torch.is_grad_enabled() and hidden.requires_grad
    logprobs = _TokenLogprobs.apply(rows, weight, words, temperature, chunk_size, train)
    return logprobs.new_zeros(tokens.numel()).index_copy(0, positions, logprobs).view(tokens.shape)


def label_logprobs(hidden, weight, labels, *, chunk_size=DEFAULT_CHUNK):
    """Log-probability of every label word at every position, over the whole vocabulary.

    Args:
        hidden: (N, D) the hidden state that predicts the label, one a row.
        weight: (V, D) the head.
        labels: (K,) int64, the label words, all different.

    Returns:
        (N, K) in nats, differentiable. `.log_softmax(-1)` of it is the distribution among the labels alone.
    """
    if hidden.dim() != 2:
        raise ValueError(f"Expected hidden (N, D), got {tuple(hidden.shape)}. Gather the predicting positions first.")
    # log p(k) = log p(first) + z[k] − z[first]: one pass over the vocabulary serves all labels
    first = token_logprobs(hidden, weight, labels[:1].expand(len(hidden)), chunk_size=chunk_size)
    logits = torch.nn.functional.linear(hidden.contiguous(), weight[labels]).to(first.dtype)
    return first[:, None] + logits - logits[:, :1]


def next_token_targets(input_ids, mask):
    """What each position should predict: the next token where that token counts, else −100.

    Args:
        input_ids: (B, T) int64.
        mask: (B, T) bool, True at the tokens to learn (an answer with its end token), False at prompt and pads.

    Returns:
        (B, T) int64; position t holds input_ids[:, t + 1]. The last position predicts nothing.
    """
    if mask.dtype != torch.bool or mask.shape != input_ids.shape:
        raise ValueError(
            f"Expected a bool mask of shape {tuple(input_ids.shape)}, got {mask.dtype} {tuple(mask.shape)}. "
            "It is True where a token counts; write `mask.bool()` for zeros and ones."
        )
    targets = torch.full_like(input_ids, IGNORE)
    targets[:, :-1] = torch.where(mask[:, 1:], input_ids[:, 1:], IGNORE)
    return targets


class _MeanCrossEntropy(torch.autograd.Function):
    """−mean log p, for a head that learns. Its gradient is ready when the forward pass ends; backward hands it over."""

    @staticmethod
    def forward(ctx, rows, weight, words, chunk_size, train_rows):
        ctx.save_for_backward(rows, weight, words)
        ctx.how = (chunk_size, _matmul_dtype(rows, weight), train_rows)
        total, *ctx.ready = _sweep(rows, weight, words, *ctx.how)
        return -total / len(words)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        ready, ctx.ready = ctx.ready, None
        if ready is None:  # a second backward through a retained graph; keeping a copy would cost a head's memory
            _, *ready = _sweep(*ctx.saved_tensors, *ctx.how)
        scale = grad / len(ctx.saved_tensors[2])
        return *(None if slope is None else slope.mul_(scale) for slope in ready), None, None, None


def _sweep(rows, weight, words, chunk_size, dtype, train_rows):
    """(Σ log p, its negative's gradient in the rows or None, and in the weight), chunk by chunk."""
    head, total = weight.to(dtype), 0.0
    grad_rows, grad_weight = torch.empty_like(rows) if train_rows else None, torch.zeros_like(weight)
    for part, logits in _chunks(rows, head, chunk_size):
        total = total + _to_residual(logits, words[part]).sum()
        if train_rows:
            grad_rows[part] = logits @ head
        _add_weight_gradient(grad_weight, logits, rows[part].to(dtype))
    return total, grad_rows, grad_weight


class _TokenLogprobs(torch.autograd.Function):
    """log p per row. Each row's own ∂ log p / ∂h is kept from the forward pass; a trained head computes its logits."""

    @staticmethod
    def forward(ctx, rows, weight, words, temperature, chunk_size, train_rows):
        head = weight.to(_matmul_dtype(rows, weight))
        parts = max(1, -(-len(rows) // chunk_size))
        found = [
            _attend(part, head, word[:, None], temperature, train_rows)
            for part, word in zip(rows.tensor_split(parts), words.tensor_split(parts), strict=True)
        ]
        logprobs, slopes = zip(*found, strict=True)
        slopes = torch.cat(slopes) if train_rows else None
        ctx.save_for_backward(rows, weight, words, slopes)
        ctx.temperature, ctx.chunk_size, ctx.dtype = temperature, chunk_size, head.dtype
        return torch.cat(logprobs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        rows, weight, words, slopes = ctx.saved_tensors
        grad_rows = slopes * grad[:, None].to(slopes.dtype) if ctx.needs_input_grad[0] else None
        grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = torch.zeros_like(weight)
            for part, logits in _chunks(rows, weight.to(ctx.dtype), min(ctx.chunk_size, WHOLE_CHUNK)):
                _to_residual(logits, words[part], ctx.temperature)
                scaled = rows[part] * (-grad[part, None] / ctx.temperature).to(rows.dtype)
                _add_weight_gradient(grad_weight, logits, scaled.to(ctx.dtype))
        return grad_rows, grad_weight, None, None, None, None


def _attend(rows, head, words, temperature, train):
    """(log p (N,), ∂ log p / ∂h (N, D) or None) of some rows, words (N, 1), over slices of the vocabulary.

    Of the words so far:  m = max z,  Z = Σ exp(z − m),  E = Σ exp(z − m) w;  a new m rescales both sums.
    """
    inputs, accurate = rows.to(head.dtype), _accurate(head.dtype)
    top, total, own = (inputs.new_full((len(rows), 1), start, dtype=accurate) for start in (-torch.inf, 0.0, 0.0))
    mean = torch.zeros_like(inputs, dtype=accurate) if train else None
    size = min(len(head), max(1, _block(rows.device) // max(1, len(rows))))
    buffers = [torch.empty(len(rows) * size, dtype=dtype, device=rows.device) for dtype in (head.dtype, accurate)]
    for number, part in enumerate(head.split(size)):
        logits, scaled = (buffer[: len(rows) * len(part)].view(len(rows), -1) for buffer in buffers)
        scaled.copy_(torch.mm(inputs, part.t(), out=logits))
        if temperature != 1.0:
            scaled.div_(temperature)
        place = words - number * size
        here = (place >= 0) & (place < len(part))
        own = torch.where(here, scaled.gather(-1, place.clamp(0, len(part) - 1)), own)
        before, top = top, torch.maximum(top, scaled.amax(-1, keepdim=True))
        shrink = (before - top).exp_()
        total = total * shrink + scaled.sub_(top).exp_().sum(-1, keepdim=True)
        if train:
            mean.mul_(shrink).add_(logits.copy_(scaled) @ part)
    slopes = ((head[words[:, 0]] - mean / total) / temperature).to(rows.dtype) if train else None
    return (own - top - total.log()).squeeze(-1), slopes


def _chunks(rows, head, chunk_size):
    """Yield (slice, logits) over equal chunks of rows; the logits share one buffer, which the caller may overwrite."""
    if not len(rows):
        return
    size = -(-len(rows) // -(-len(rows) // chunk_size))
    buffer = torch.empty(size, len(head), dtype=head.dtype, device=head.device)
    for start in range(0, len(rows), size):
        inputs = rows[start : start + size].to(head.dtype)
        yield slice(start, start + size), torch.mm(inputs, head.t(), out=buffer[: len(inputs)])


def _to_residual(logits, words, temperature=1.0):
    """log p of each row's word, (N,); the logits become softmax − onehot, the gradient of −log p."""
    result = torch.empty(len(logits), dtype=_accurate(logits.dtype), device=logits.device)
    block = max(1, _block(logits.device) // logits.shape[1])
    # Two buffers for all blocks, and a copy instead of softmax(part, dtype=torch.float32): 13 times as fast on a CPU.
    buffers = result.new_empty(2, min(block, len(logits)), logits.shape[1])
    for part, word, target in zip(*(t.split(block) for t in (logits, words[:, None], result)), strict=True):
        scaled = buffers[0, : len(part)].copy_(part)
        if temperature != 1.0:
            scaled.div_(temperature)
        softmax = torch.softmax(scaled, -1, out=buffers[1, : len(part)])
        # log p(t) = z[t] − z_max + log p_max, exact because p_max ≥ 1/V
        z_max, p_max = scaled.amax(-1, keepdim=True), softmax.amax(-1, keepdim=True)
        target.copy_((scaled.gather(-1, word) - z_max + p_max.log()).squeeze(-1))
        part.copy_(softmax.scatter_add_(-1, word, torch.full_like(z_max, -1.0)))
    return result


def _add_weight_gradient(grad, residual, inputs):
    """grad += residualᵀ · inputs, by slices of the vocabulary, because a whole product is as large as the head."""
    for start in range(0, len(grad), 1 << 15):
        grad[start : start + (1 << 15)] += residual[:, start : start + (1 << 15)].t() @ inputs


def _block(device):
    return BLOCK_WORDS["cpu" if device.type == "cpu" else "gpu"]


def _accurate(dtype):
    """The dtype of a softmax: fp32, or fp64 where the input has it."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _matmul_dtype(rows, weight):
    """Autocast's dtype where it is on, else the one that hidden states and head share."""
    if torch.is_autocast_enabled(rows.device.type):
        return torch.get_autocast_dtype(rows.device.type)
    return weight.dtype


def _counted(hidden, weight, tokens, chunk_size):
    """Check everything and gather what counts: contiguous rows (N, D), their words (N,), their flat positions (N,)."""
    if hidden.shape[:-1] != tokens.shape or weight.dim() != 2 or hidden.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"Expected hidden (…, D), weight (V, D) and tokens (…), got {tuple(hidden.shape)}, {tuple(weight.shape)} "
            f"and {tuple(tokens.shape)}. Pass the head's weight untransposed, and hidden states of the same positions."
        )
    if tokens.dtype != torch.int64 or chunk_size < 1:
        raise ValueError(f"Expected int64 tokens and chunk_size ≥ 1, got {tokens.dtype} and {chunk_size}.")
    if hidden.dtype != weight.dtype and not torch.is_autocast_enabled(hidden.device.type):
        raise ValueError(
            f"Hidden states are {hidden.dtype}, the head is {weight.dtype}. "
            "Load the whole model in one dtype, or use autocast."
        )
    positions = (tokens.flatten() != IGNORE).nonzero().squeeze(1)
    words = tokens.flatten()[positions]
    if len(words) and (words.min() < 0 or words.max() >= len(weight)):
        raise ValueError(
            f"Token ids run from {words.min()} to {words.max()}, but the head knows 0 to {len(weight) - 1}. "
            "Is it another model's tokenizer, or was a token added without resizing the embedding?"
        )
    return hidden.reshape(-1, hidden.shape[-1])[positions], words, positions
