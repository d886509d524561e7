"""The chunked loss against the plain one: equal for every dtype and chunk size, in value and in both gradients."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from course_utils.models import logprobs

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 2e-2}


def example(dtype=torch.float32, *, shape=(3, 11), width=16, words=97, seed=0, trainable=True):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(*shape, width, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(words, width, generator=generator, dtype=torch.float64).to(dtype).requires_grad_(trainable)
    targets = torch.randint(words, shape, generator=generator)
    targets[torch.rand(shape, generator=generator) < 0.4] = logprobs.IGNORE
    targets.view(-1)[0] = 5  # one always counts
    return hidden, weight, targets


def plain_loss(hidden, weight, targets):
    return F.cross_entropy((hidden @ weight.T).flatten(0, -2).double(), targets.flatten())


def relative(actual, expected):
    return ((actual.double() - expected.double()).norm() / expected.double().norm()).item()


@pytest.mark.parametrize("trainable", [False, True], ids=["frozen head", "trained head"])
@pytest.mark.parametrize("chunk_size", [1, 3, 7, 64])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_the_mean_equals_plain_cross_entropy(dtype, chunk_size, trainable):
    hidden, weight, targets = example(dtype, trainable=trainable)
    loss = logprobs.linear_cross_entropy(hidden, weight, targets, chunk_size=chunk_size)
    leaves = (hidden, weight) if trainable else (hidden,)
    grads = torch.autograd.grad(loss * 3, leaves)
    exact = [leaf.detach().double().requires_grad_() for leaf in (hidden, weight)]
    expected = plain_loss(*exact, targets)
    assert abs(loss.item() / expected.item() - 1) <= TOLERANCE[dtype]
    for grad, reference in zip(grads, torch.autograd.grad(expected * 3, exact), strict=False):
        assert relative(grad, reference) <= TOLERANCE[dtype]


@pytest.mark.parametrize("trainable", [False, True], ids=["frozen head", "trained head"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_token_logprobs_equal_a_plain_log_softmax(dtype, trainable):
    hidden, weight, tokens = example(dtype, trainable=trainable)
    upstream = torch.randn(tokens.shape, generator=torch.Generator().manual_seed(3))
    actual = logprobs.token_logprobs(hidden, weight, tokens, temperature=0.7, chunk_size=4)
    leaves = (hidden, weight) if trainable else (hidden,)
    grads = torch.autograd.grad((actual * upstream).sum(), leaves)
    exact = [leaf.detach().double().requires_grad_() for leaf in (hidden, weight)]
    counted = tokens != logprobs.IGNORE
    full = ((exact[0] @ exact[1].T) / 0.7).log_softmax(-1)
    expected = full.gather(-1, tokens.clamp(min=0)[..., None]).squeeze(-1) * counted
    assert relative(actual, expected) <= TOLERANCE[dtype]
    assert (actual[~counted] == 0).all()
    references = torch.autograd.grad((expected * upstream).sum(), exact)
    for grad, reference in zip(grads, references, strict=False):
        assert relative(grad, reference) <= TOLERANCE[dtype]


@pytest.mark.parametrize("chunk_size", [2, 5])
def test_gradcheck_in_double(chunk_size):
    hidden, weight, targets = example(torch.float64, shape=(2, 3), width=4, words=7)
    inputs = (hidden, weight)
    assert torch.autograd.gradcheck(
        lambda h, w: logprobs.linear_cross_entropy(h, w, targets, chunk_size=chunk_size), inputs
    )
    assert torch.autograd.gradcheck(
        lambda h, w: logprobs.token_logprobs(h, w, targets, temperature=1.3, chunk_size=chunk_size), inputs
    )
    labels = torch.tensor([1, 4, 6])
    assert torch.autograd.gradcheck(lambda h, w: logprobs.label_logprobs(h[0], w, labels, chunk_size=2), inputs)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(2, 300), st.integers(1, 50), st.integers(0, 99))
def test_any_chunk_size_gives_the_same_loss_and_gradient(count, words, chunk_size, seed):
    hidden, weight, targets = example(shape=(count,), words=max(words, 6), seed=seed)
    results = []
    for size in (chunk_size, 10_000):
        loss = logprobs.linear_cross_entropy(hidden, weight, targets, chunk_size=size)
        results.append((loss, *torch.autograd.grad(loss, (hidden, weight))))
    for chunked, whole in zip(*results, strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("trainable", [False, True], ids=["frozen head", "trained head"])
def test_fp16_autocast_on_fp32_weights(trainable):
    hidden, weight, targets = example(trainable=trainable, words=5_000, width=32)
    with torch.autocast("cpu", torch.float16):
        loss = logprobs.linear_cross_entropy(hidden, weight, targets, chunk_size=4)
        each = logprobs.token_logprobs(hidden, weight, targets, temperature=1.0, chunk_size=4)
    assert loss.dtype == each.dtype == torch.float32
    scale = 65_536.0  # GradScaler's first scale must not overflow, nor may 1/N underflow
    leaves = (hidden, weight) if trainable else (hidden,)
    grads = torch.autograd.grad(loss * scale, leaves)
    exact = [leaf.detach().double().requires_grad_() for leaf in (hidden, weight)]
    expected = plain_loss(*exact, targets)
    assert abs(loss.item() / expected.item() - 1) <= 1e-3
    for grad, reference in zip(grads, torch.autograd.grad(expected * scale, exact), strict=False):
        assert grad.dtype == torch.float32
        assert relative(grad, reference) <= 1e-2


def test_far_logits_stay_exact():
    hidden, weight = torch.eye(2), torch.tensor([[200.0, 0.0], [0.0, 0.0], [-200.0, 0.0]])
    actual = logprobs.token_logprobs(hidden[:1].expand(3, 2), weight, torch.arange(3), temperature=1.0, chunk_size=2)
    torch.testing.assert_close(actual, torch.tensor([0.0, -200.0, -400.0]))


def test_what_does_not_count_is_neither_computed_nor_differentiated():
    hidden, weight, targets = example()
    counted = targets != logprobs.IGNORE
    poisoned = torch.where(counted[..., None], hidden.detach(), torch.nan).requires_grad_()
    loss = logprobs.linear_cross_entropy(poisoned, weight, targets, chunk_size=4)
    (grad,) = torch.autograd.grad(loss, poisoned)
    assert loss.isfinite()
    assert (grad[~counted] == 0).all()
    assert grad[counted].abs().sum() > 0


def test_no_gradient_is_prepared_in_evaluation(monkeypatch):
    asked, attend = [], logprobs._attend
    monkeypatch.setattr(logprobs, "_attend", lambda *given: asked.append(given[-1]) or attend(*given))
    hidden, weight, targets = example()
    with torch.no_grad():
        loss = logprobs.linear_cross_entropy(hidden, weight, targets, chunk_size=4)
        each = logprobs.token_logprobs(hidden, weight, targets, temperature=1.0, chunk_size=4)
    assert asked and not any(asked)
    assert not loss.requires_grad and not each.requires_grad
    counted = targets != logprobs.IGNORE
    torch.testing.assert_close(loss, -each[counted].mean())


@pytest.mark.parametrize("slice_words", [1, 10, 64])
def test_any_slice_of_the_vocabulary_gives_the_same(slice_words, monkeypatch):
    hidden, weight, tokens = example(torch.float64, trainable=False)
    results = []
    for words in (slice_words, 1 << 20):
        monkeypatch.setitem(logprobs.BLOCK_WORDS, "cpu", words)
        each = logprobs.token_logprobs(30 * hidden, weight, tokens, temperature=0.7, chunk_size=5)
        results.append((each, *torch.autograd.grad(each.sum(), hidden)))
    for sliced, whole in zip(*results, strict=True):
        torch.testing.assert_close(sliced, whole, rtol=1e-10, atol=1e-10)


def test_a_head_that_learns_has_no_more_logits_at_once_than_its_own_bound(monkeypatch):
    asked, chunks = [], logprobs._chunks
    monkeypatch.setattr(logprobs, "_chunks", lambda *given: asked.append(given[-1]) or chunks(*given))
    hidden, weight, targets = example()
    logprobs.linear_cross_entropy(hidden, weight, targets, chunk_size=10_000).backward()
    logprobs.token_logprobs(hidden, weight, targets, chunk_size=10_000).sum().backward()
    assert asked == [logprobs.WHOLE_CHUNK] * 2


def test_a_retained_graph_gives_the_same_gradient_again():
    hidden, weight, targets = example()
    loss = logprobs.linear_cross_entropy(hidden, weight, targets, chunk_size=4)
    first = torch.autograd.grad(loss, (hidden, weight), retain_graph=True)
    for grad, again in zip(first, torch.autograd.grad(loss, (hidden, weight)), strict=True):
        assert torch.equal(grad, again)


def test_label_logprobs_equal_the_full_softmax():
    hidden, weight, _ = example(shape=(6,))
    labels = torch.tensor([3, 90, 41])
    actual = logprobs.label_logprobs(hidden, weight, labels, chunk_size=4)
    torch.testing.assert_close(actual, (hidden @ weight.T).log_softmax(-1)[:, labels], rtol=1e-5, atol=1e-5)


def test_targets_are_the_next_token_where_it_counts():
    input_ids = torch.tensor([[2, 10, 11, 12, 1, 0]])
    mask = torch.tensor([[False, False, False, True, True, False]])  # the answer 12 and its end token 1
    assert logprobs.next_token_targets(input_ids, mask).tolist() == [[-100, -100, 12, 1, -100, -100]]


MISTAKES = {
    "None of the 33 targets counts": lambda h, w, t: (h, w, torch.full_like(t, logprobs.IGNORE), 4),
    "untransposed": lambda h, w, t: (h, w.T, t, 4),
    "same positions": lambda h, w, t: (h[:, :-1], w, t, 4),
    "chunk_size ≥ 1": lambda h, w, t: (h, w, t, 0),
    "int64": lambda h, w, t: (h, w, t.int(), 4),
    "one dtype": lambda h, w, t: (h.bfloat16(), w, t, 4),
    "from 97 to 97, but the head knows 0 to 96": lambda h, w, t: (h, w, t * 0 + 97, 4),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_explained(message):
    hidden, weight, targets, chunk_size = MISTAKES[message](*example())
    with pytest.raises(ValueError, match=message):
        logprobs.linear_cross_entropy(hidden, weight, targets, chunk_size=chunk_size)


def test_helpers_explain_mistakes():
    hidden, weight, targets = example()
    with pytest.raises(ValueError, match="temperature > 0, got 0"):
        logprobs.token_logprobs(hidden, weight, targets, temperature=0, chunk_size=4)
    with pytest.raises(ValueError, match=r"mask\.bool"):
        logprobs.next_token_targets(targets, targets)
    with pytest.raises(ValueError, match=r"Expected hidden \(N, D\)"):
        logprobs.label_logprobs(hidden, weight, torch.tensor([1, 2]))


PEAK = """
import sys, torch
from course_utils.models.logprobs import linear_cross_entropy, token_logprobs
case, trained = sys.argv[1], sys.argv[2] == "trained"
dtype = torch.bfloat16 if case == "bfloat16" else torch.float32
def peak_mb():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
weight = torch.zeros(262_144, 8).to(dtype).add_(0.01).requires_grad_(trained)
hidden = torch.ones(2_048, 8, dtype=dtype).requires_grad_()
targets = torch.arange(2_048)
def step(count):
    with torch.autocast("cpu", torch.float16, enabled=case == "fp16 autocast"):
        loss = linear_cross_entropy(hidden[:count], weight, targets[:count], chunk_size=256)
        each = token_logprobs(hidden[:count], weight, targets[:count], temperature=1.0, chunk_size=256)
    (loss + each.mean()).backward()
step(1)
before = peak_mb()
step(2_048)
print(peak_mb() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
@pytest.mark.parametrize("case", ["bfloat16"])
def test_memory_at_the_real_vocabulary_is_a_few_chunks(case):
    """Width 8 keeps it quick: the logits grow with the vocabulary, and only a slice of them may exist."""
    run = subprocess.run([sys.executable, "-c", PEAK, case, "frozen"], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 60  # a full bf16 matrix alone is 1,024 MiB
