import pytest
import small_gemma as small
import torch

from course_utils.adapters import library
from course_utils.evaluation import forgetting

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


def test_an_answer_counts_when_greedy_decoding_would_write_it(tiny_model, tiny_tokenizer):
    pairs = [("good", "yes"), ("bad", "no"), ("film", "")]
    prompt = tiny_tokenizer("good => yes\nbad => no\nfilm =>").input_ids
    written = tiny_model.generate(
        torch.tensor([prompt]), max_new_tokens=12, do_sample=False, attention_mask=torch.ones(1, len(prompt))
    )[0, len(prompt) :]
    right = forgetting.answers_in_context(tiny_model, tiny_tokenizer, pairs, shots=2)

    class Says:
        """The tokenizer, whose answer is what the model writes."""

        def __call__(self, text, **options):
            made = tiny_tokenizer(text, **options)
            return type("Made", (), {"input_ids": made.input_ids if "=>" in text else written.tolist()})

    assert forgetting.answers_in_context(tiny_model, Says(), pairs, shots=2) == [True] and right == [False]


def test_without_a_question_there_is_no_answer(tiny_model, tiny_tokenizer):
    with pytest.raises(ValueError, match="more than 8 pairs"):
        forgetting.answers_in_context(tiny_model, tiny_tokenizer, [("a", "b")] * 8)
