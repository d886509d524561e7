import pytest
import torch
from helpers import two_layer_gemma as small

from course_utils.adapters import library
from course_utils.evaluation import forgetting, writing
from course_utils.models.packing import use_row_attention

TEXTS = [[2, 30, 40, 50], [2, 99, 7, 8]]


def test_divergence_by_the_formula():
    base, other = small.build().eval(), library.attach(small.build(), "lora", rank=2).eval()
    assert forgetting.divergence(base, other, TEXTS) == pytest.approx(0, abs=1e-6)
    for name, weight in other.named_parameters():
        if "lora_B" in name:
            weight.data += 0.1
    ids = torch.tensor(TEXTS)
    logps = [model(input_ids=ids).logits.log_softmax(-1) for model in (base, other)]
    expected = torch.nn.functional.kl_div(logps[1], logps[0], log_target=True, reduction="sum") / 8
    assert expected > 1e-3
    for chunk in (3, 64):
        assert forgetting.divergence(base, other, TEXTS, chunk=chunk) == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("rows_apart", [True, False])
def test_ends_by_the_models_own_logits(rows_apart):
    model = small.build().eval()
    if not rows_apart:
        use_row_attention(model)
    rows, starts = [[2, 30, 40, 50, 60], [2, 30, 99], [2, 30, 40, 50, 7, 8, 9]], [3, 1, 4]
    logps, right = forgetting.ends(model, rows, starts, chunk=2)
    for row, start, logp in zip(rows, starts, logps, strict=True):
        said = model(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)
        expected = sum(said[place - 1, row[place]] for place in range(start, len(row)))
        assert logp.item() == pytest.approx(expected.item(), rel=1e-4)
    assert not right.any()
    greedy = list(rows[0])
    for place in (3, 4):
        greedy[place] = model(input_ids=torch.tensor([greedy[:place]])).logits[0, -1].argmax().item()
    almost = [*greedy[:4], (greedy[4] + 1) % 200]
    assert forgetting.ends(model, [greedy, almost], [3, 3])[1].tolist() == [True, False]


def test_an_answer_is_right_exactly_when_greedy_writing_gives_it(tiny_model, tiny_tokenizer):
    pairs = [("good", "bad"), ("great", "fine")] * 4 + [("film", "movie"), ("yes", "no")]
    first = writing.exact_match(tiny_model, tiny_tokenizer, pairs, shots=8, questions=2, new_tokens=3)
    assert not any(first.right)
    logps, right = forgetting.answers(tiny_model, tiny_tokenizer, pairs)
    assert logps.shape == (2,) and (logps < -1).all() and right.tolist() == [False, False]
    with pytest.raises(ValueError, match=r"more than 8 pairs, .* got 8"):
        forgetting.answers(tiny_model, tiny_tokenizer, pairs[:8])


def test_an_answer_ends_with_its_line(tiny_model, tiny_tokenizer, monkeypatch):
    seen = []
    monkeypatch.setattr(forgetting, "ends", lambda model, rows, starts: seen.append((rows, starts)))
    forgetting.answers(tiny_model, tiny_tokenizer, [("good", "bad")] * 9)
    ((row,), (start,)), whole = seen[0], "good => bad\n" * 9
    assert tiny_tokenizer.decode(row[start:]).strip(" ") == "bad\n"
    assert tiny_tokenizer.decode(row, skip_special_tokens=True).strip() == whole.strip()
    assert row[0] == tiny_tokenizer.bos_token_id
