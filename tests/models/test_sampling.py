"""The sampler writes what an argmax over the whole text would, whatever stands beside a row in its batch."""

import pytest
import torch
from helpers import attention_models

from course_utils.models import sampling

pytestmark = pytest.mark.usefixtures("one_thread")

BATCH = attention_models.token_lists([3, 30, 1, 7, 12])  # one longer than the window of 16


@pytest.fixture(scope="module", params=["gemma", "gpt2"])
def model(request):
    """A model with a sliding window, and one with absolute positions."""
    return attention_models.model(request.param)


def most_probable(model, prompt, continuation):
    """What an argmax over the whole text, read without cache, takes after each beginning of prompt + continuation."""
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *continuation]]), use_cache=False).logits[0]
    return tuple(logits[len(prompt) - 1 : -1].argmax(-1).tolist())


def greedy(model, prompts, tokens=12, **how):
    return sampling.sample(model, prompts, max_new_tokens=tokens, temperature=0, **how)


def test_greedy_equals_an_argmax_over_the_whole_text_without_cache(model):
    (row,) = greedy(model, BATCH[:1], 40)  # past the end of the sliding window
    assert not row.stopped and len(row.tokens) == 40
    assert row.tokens == most_probable(model, BATCH[0], row.tokens)


def test_greedy_past_the_window_of_the_converted_model(tiny_model):
    (row,) = greedy(tiny_model, [[2, 288]], 70)
    assert len(row.tokens) > tiny_model.config.sliding_window
    assert row.tokens == most_probable(tiny_model, [2, 288], row.tokens)


def test_a_batch_of_different_lengths_equals_one_by_one(model):
    rows = greedy(model, BATCH)
    expected = [most_probable(model, prompt, row.tokens) for prompt, row in zip(BATCH, rows, strict=True)]
    assert [row.tokens for row in rows] == expected
    assert rows == [greedy(model, [prompt])[0] for prompt in BATCH]


@pytest.mark.parametrize("known", [False, True], ids=["found", "given"])
@pytest.mark.parametrize(("shared", "tokens"), [(11, 3), (11, 30), (8, 3)], ids=["worth it", "long", "not worth it"])
def test_a_beginning_that_all_prompts_share_is_read_once_and_changes_nothing(model, monkeypatch, shared, tokens, known):
    (beginning,), read, read_prefix = attention_models.token_lists([shared]), [], sampling.read_prefix
    rest = [[row + 4, *range(7, 7 + row % 2)] for row in range(8)]
    whole = [beginning + row for row in rest]
    monkeypatch.setattr(
        sampling, "read_prefix", lambda model, tokens: read.append(tokens) or read_prefix(model, tokens)
    )
    given = {"beginning": read_prefix(model, beginning)} if known else {}
    rows = greedy(model, rest if known else whole, tokens, **given)
    assert [row.tokens for row in rows] == [
        most_probable(model, prompt, row.tokens) for prompt, row in zip(whole, rows, strict=True)
    ]
    inside = shared + 2 + tokens <= (getattr(model.config, "sliding_window", None) or 99)
    assert read == ([beginning] if inside and not known and 7 * shared >= sampling.SHARED_TOKENS else [])


def test_equal_prompts_keep_a_token_each(model):
    (prompt,) = attention_models.token_lists([30])
    rows = greedy(model, [prompt] * 4, 5)
    assert rows == greedy(model, [prompt], 5) * 4


@pytest.mark.parametrize("tokens", [sampling.PACK_TOKENS, sampling.PACK_TOKENS - 1])
def test_matrices_are_packed_where_many_tokens_are_written(tiny_model, monkeypatch, tokens):
    packed, prepacked = [], sampling.prepacked
    monkeypatch.setattr(sampling, "prepacked", lambda model, rows: packed.append(rows) or prepacked(model, rows))
    greedy(tiny_model, [[2, 5], [2, 6]], tokens)
    assert packed == ([2] if tokens == sampling.PACK_TOKENS else [])


def test_left_padding_changes_no_logit(model, monkeypatch):
    seen, logits_of = [], sampling._logits
    monkeypatch.setattr(sampling, "_logits", lambda *given: seen.append(logits_of(*given)) or seen[-1])
    rows = greedy(model, BATCH, 5)
    for place, (prompt, row) in enumerate(zip(BATCH, rows, strict=True)):
        with torch.inference_mode():
            logits = model(torch.tensor([[*prompt, *row.tokens]]), use_cache=False).logits[0, len(prompt) - 1 : -1]
        torch.testing.assert_close(torch.stack(seen)[:, place], logits, atol=1e-4, rtol=1e-4)


def test_finished_rows_leave_the_batch_and_the_others_go_on(model, monkeypatch):
    free = greedy(model, BATCH)
    stop = free[1].tokens[2]
    widths, step = [], sampling._step
    monkeypatch.setattr(sampling, "_step", lambda *given: widths.append(len(given[1])) or step(*given))
    ended = greedy(model, BATCH, stop_tokens=[stop])
    for before, after in zip(free, ended, strict=True):
        if stop in before.tokens:
            assert after == sampling.Sample(before.tokens[: before.tokens.index(stop) + 1], True)
        else:
            assert after == before
    stopped = [len(row.tokens) for row in ended if row.stopped]
    assert stopped and len(stopped) < len(BATCH), "the test needs rows that stop and rows that go on"
    assert widths == [sum(len(row.tokens) > at for row in ended) for at in range(12)]


def test_nothing_is_computed_after_the_last_row_stopped(model, monkeypatch):
    first = greedy(model, BATCH[:1], 1)[0].tokens[0]
    calls, step = [], sampling._step
    monkeypatch.setattr(sampling, "_step", lambda *given: calls.append(1) or step(*given))
    assert greedy(model, BATCH[:1] * 2, 50, stop_tokens=[first, 5]) == [sampling.Sample((first,), True)] * 2
    assert len(calls) == 1


def test_the_same_seed_gives_the_same_text(model):
    def write(seed):
        return sampling.sample(model, BATCH, max_new_tokens=8, temperature=1.5, seed=seed)

    assert write(1) == write(1)
    assert write(1) != write(2)
    torch.manual_seed(5)
    global_state = torch.get_rng_state()
    write(3)
    assert torch.equal(torch.get_rng_state(), global_state), "a sampler must not use up the run's random numbers"


def test_frequencies_are_those_of_the_softmax_at_the_temperature(model):
    prompt, temperature = BATCH[0], 2.0
    expected = torch.softmax(sampling.next_token_logits(model, prompt) / temperature, -1)
    rows = sampling.sample(model, [prompt] * 2000, max_new_tokens=1, temperature=temperature, seed=0)
    counted = torch.bincount(torch.tensor([row.tokens[0] for row in rows]), minlength=len(expected)) / 2000
    error = (expected * (1 - expected) / 2000).sqrt()
    assert expected.max() < 0.9, "the test needs a distribution with some spread"
    assert ((counted - expected).abs() <= 5 * error + 2 / 2000).all()


@pytest.mark.parametrize("words", [3, 512, 1300])
def test_a_draw_inverts_the_distribution_function(words):
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.softmax(torch.randn(1, words, generator=generator) * 2, -1).expand(20_000, -1)
    drawn = sampling.draw(probabilities, torch.rand(2, 20_000, 1, generator=generator, dtype=torch.float64))
    counted = torch.bincount(drawn, minlength=words) / 20_000
    error = (probabilities[0] * (1 - probabilities[0]) / 20_000).sqrt()
    assert len(counted) == words and ((counted - probabilities[0]).abs() <= 5 * error + 2 / 20_000).all()


def test_a_word_without_probability_is_never_drawn():
    probabilities = torch.zeros(4, 2000)
    probabilities[:, [700, 1999]] = torch.tensor([0.25, 0.75])
    corners = torch.tensor([0.0, 0.2499999, 0.25, 1 - 2**-53], dtype=torch.float64)[:, None]
    for inside in (0.0, 1 - 2**-53):
        drawn = sampling.draw(probabilities, torch.stack([corners, torch.full_like(corners, inside)]))
        assert drawn.tolist() == [700, 700, 1999, 1999]


def test_a_low_temperature_nears_greedy(model):
    cold = sampling.sample(model, BATCH, max_new_tokens=6, temperature=1e-4)
    assert cold == greedy(model, BATCH, 6)


def test_next_token_logits_are_those_of_the_model(model):
    with torch.inference_mode():
        expected = model(torch.tensor([BATCH[3]])).logits[0, -1]
    torch.testing.assert_close(sampling.next_token_logits(model, BATCH[3]), expected.float())


def test_top_next_is_sorted_and_readable(tiny_model, tiny_tokenizer):
    best = sampling.top_next(tiny_model, tiny_tokenizer, "the film is", k=5)
    probabilities = torch.softmax(sampling.next_token_logits(tiny_model, tiny_tokenizer("the film is").input_ids), -1)
    order = probabilities.argsort(descending=True)[:5].tolist()
    assert [token for token, _ in best] == [tiny_tokenizer.decode([i]) for i in order]
    assert [p for _, p in best] == pytest.approx(probabilities[order].tolist())


def test_continue_text_is_the_sample_as_text_without_its_end(tiny_model, tiny_tokenizer, monkeypatch):
    prompt = tiny_tokenizer("the film is").input_ids
    (row,) = sampling.sample(tiny_model, [prompt], max_new_tokens=7, temperature=0.7, seed=3)
    how = {"max_new_tokens": 7, "temperature": 0.7, "seed": 3}
    text = sampling.continue_text(tiny_model, tiny_tokenizer, "the film is", **how)
    assert text == tiny_tokenizer.decode(row.tokens, skip_special_tokens=True)
    end = sampling.Sample((*row.tokens[:2], tiny_tokenizer.eos_token_id), True)
    asked = {}
    monkeypatch.setattr(sampling, "sample", lambda *given, **options: asked.update(options) or [end])
    said = sampling.continue_text(tiny_model, tiny_tokenizer, "the film is")
    assert said == tiny_tokenizer.decode(row.tokens[:2])
    assert list(asked["stop_tokens"]) == [tiny_tokenizer.eos_token_id]


@pytest.mark.parametrize(
    ("prompts", "how", "says"),
    [
        ([], {}, "got 0 prompts"),
        ([[2], [], [2], []], {}, r"got 4 prompts, empty rows \[1, 3\]"),
        ([[2]], {"max_new_tokens": 0}, "max_new_tokens is 0; expected a whole number of at least 1"),
        ([[2]], {"temperature": -0.5}, "0 \\(greedy\\) or more, got -0.5"),
    ],
)
def test_what_cannot_be_continued_is_refused(tiny_model, prompts, how, says):
    with pytest.raises(ValueError, match=says):
        sampling.sample(tiny_model, prompts, **{"max_new_tokens": 3} | how)


def test_no_token_is_no_beginning(tiny_model):
    with pytest.raises(ValueError, match="at least one token, such as <bos>"):
        sampling.next_token_logits(tiny_model, [])


# What reshapes a distribution


def rows_of_logits(model):
    """(N, V) logits as a model gives them, and as noise does."""
    torch.manual_seed(0)
    with torch.inference_mode():
        real = model(torch.tensor([BATCH[1]]), use_cache=False).logits[0]
    return [real, torch.randn(6, 50) * 3]


@pytest.mark.parametrize("value", [0.0, 0.3, 0.7, 0.95, 1.0])
def test_top_p_and_min_p_are_those_of_transformers(model, value):
    from transformers import MinPLogitsWarper, TopPLogitsWarper

    for logits in rows_of_logits(model):
        for ours, theirs in ((sampling.top_p, TopPLogitsWarper), (sampling.min_p, MinPLogitsWarper)):
            torch.testing.assert_close(ours(logits, value), theirs(value)(None, logits), atol=1e-5, rtol=0)


def test_temperature_and_top_k_are_those_of_transformers(model):
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper

    for logits in rows_of_logits(model):
        for t in (0.3, 1.7):
            theirs = TemperatureLogitsWarper(t)(None, logits)
            torch.testing.assert_close(sampling.with_temperature(logits, t), theirs, atol=1e-5, rtol=0)
        for k in (1, 7):
            torch.testing.assert_close(sampling.top_k(logits, k), TopKLogitsWarper(k)(None, logits), atol=1e-5, rtol=0)


def test_top_p_by_hand_keeps_the_word_that_crosses():
    logits = torch.tensor([[0.2, 0.5, 0.3]]).log()
    kept = {p: sampling.top_p(logits, p).isfinite().tolist() for p in (0.0, 0.4, 0.6, 0.9, 1.0)}
    one, two = [[False, True, False]], [[False, True, True]]
    assert kept == {0.0: one, 0.4: one, 0.6: two, 0.9: [[True] * 3], 1.0: [[True] * 3]}


def test_both_penalties_by_the_published_formula():
    logits = torch.tensor([[1.0, 2.0, 3.0, 0.5]])
    counts = sampling.counted([[2, 2, 0]], 4)
    assert counts.tolist() == [[1, 0, 2, 0]]
    shaped = sampling.penalized(logits, counts, frequency=0.5, presence=0.25)
    assert shaped.tolist() == [[1 - 0.5 - 0.25, 2.0, 3 - 1.0 - 0.25, 0.5]]  # who never stood keeps its logit
    assert torch.equal(sampling.penalized(logits, counts), logits)
    assert torch.equal(sampling.counted([[], [1]], 2), torch.tensor([[0, 0], [0, 1]]))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda z: sampling.top_p(z, 90), "between 0 and 1, got 90"),
        (lambda z: sampling.min_p(z, -1), "between 0 and 1"),
        (lambda z: sampling.top_k(z, 0), "k between 1 and the 3 words"),
        (lambda z: sampling.with_temperature(z, 0), "above 0, got 0"),
        (lambda z: sampling.penalized(z, z[:, :2]), r"got \(1, 2\) and \(1, 3\)"),
    ],
)
def test_settings_that_mean_nothing_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(torch.zeros(1, 3))


def test_what_is_drawn_has_the_reshaped_distribution(model):
    (shared,) = attention_models.token_lists([5])
    seen = []

    def reshape(logits, written):
        seen.append([len(row) for row in written])
        return sampling.top_k(logits, 4)

    draws = sampling.sample(model, [shared] * 2000, max_new_tokens=1, seed=3, reshape=reshape)
    wanted = sampling.top_k(sampling.next_token_logits(model, shared), 4).softmax(-1)
    share = torch.bincount(torch.tensor([row.tokens[0] for row in draws]), minlength=len(wanted)) / len(draws)
    error = (wanted * (1 - wanted) / len(draws)).sqrt()
    assert (share[wanted == 0] == 0).all() and ((share - wanted).abs() <= 4 * error + 1e-9).all()
    assert seen == [[0] * 2000]


def test_reshaping_sees_each_row_that_still_writes(model):
    lengths = []

    def reshape(logits, written):
        lengths.append([len(row) for row in written])
        forced = torch.full_like(logits, -torch.inf)
        forced[:, 5], forced[0, 6] = 0.0, 1.0  # the first row that is left ends
        return forced

    rows = greedy(model, BATCH[:3], 4, stop_tokens=[6], reshape=reshape)
    assert sorted(row.tokens for row in rows) == [(5, 5, 6), (5, 6), (6,)]
    assert lengths == [[0, 0, 0], [1, 1], [2]]
