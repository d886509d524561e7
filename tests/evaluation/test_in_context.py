"""The experiment of notebook 05 on a tiny model: no leak, no changed weight, each number where it belongs."""

import pytest
import torch

from course_utils.data import prompts
from course_utils.evaluation import classification, in_context

pytestmark = pytest.mark.usefixtures("one_thread")

TEMPLATE = prompts.Template("{text} is", (" bad", " good"), end="\n")
NOUNS = ["the film", "a film", "the movie", "a movie", "the world", "a world", "hello", "yes", "no", "was", "great"]
POOL = [prompts.Example(f"{noun} was {n}", n % 2) for n, noun in enumerate(NOUNS * 2)]
QUESTIONS = in_context.Questions(("hello world", "the great movie", "fine"), (1, 1, 0))
UNLABELLED = [f"fine and fine again {noun}" for noun in NOUNS]


@pytest.fixture
def judge(tiny_model, tiny_tokenizer):
    return in_context.Judge(tiny_model, tiny_tokenizer, TEMPLATE)


class Lean:
    """A judge whose score is a text's length, plus 10 for every example in the prompt."""

    def __init__(self):
        self.prompts = []

    def scores(self, examples, texts):
        self.prompts.append((tuple(examples), len(texts)))
        return torch.tensor([float(len(text)) + 10 * len(examples) for text in texts])


def curve(judge, **how):
    how = {"shots": (0, 2, 16), "draws": 3, "seed": 0} | how
    return in_context.few_shot_curve(judge, POOL, QUESTIONS, UNLABELLED, **how)


def test_clear_cases_leave_out_doubt_and_length():
    rows = [{"text": "one two", "mean": mean} for mean in (-1.0, -0.9, 0.0, 0.99, 1.0, 4.0)]
    assert [row["mean"] for row in in_context.clear_cases(rows)] == [-1.0, 1.0, 4.0]
    assert [row["mean"] for row in in_context.clear_cases(rows, least=2)] == [4.0]
    assert in_context.clear_cases(rows, words=1) == []
    assert len(in_context.clear_cases(rows, words=2)) == 3


def test_balanced_rows_keep_their_order_and_are_refused_when_a_label_is_short():
    rows = [{"text": str(n), "mean": mean} for n, mean in enumerate((2.0, 3.0, -1.0, 1.0, -2.0, -3.0))]
    assert [row["text"] for row in in_context.balanced(rows, 4)] == ["0", "1", "2", "4"]
    for count in (3, 8):
        with pytest.raises(ValueError, match=f"at most 6 .* got {count}"):
            in_context.balanced(rows, count)


def test_rows_become_questions_and_examples():
    rows = [{"text": "a", "mean": -2.0}, {"text": "b", "mean": 1.5}]
    assert in_context.as_questions(rows) == in_context.Questions(("a", "b"), (0, 1))
    assert in_context.as_examples(rows) == [prompts.Example("a", 0), prompts.Example("b", 1)]


@pytest.mark.parametrize(("texts", "labels"), [((), ()), (("a",), ()), (("a",), (1, 0))])
def test_questions_have_a_label_each(texts, labels):
    with pytest.raises(ValueError, match=f"got {len(texts)} reviews, {len(labels)} labels"):
        in_context.Questions(texts, labels)


@pytest.mark.parametrize("shots", [0, 1, 12])
def test_scores_are_the_log_odds_of_the_whole_text(judge, shots):
    examples = POOL[:shots]
    scores = judge.scores(examples, QUESTIONS.texts)
    bad, good = prompts.word_tokens(judge.tokenizer, TEMPLATE)
    for text, score in zip(QUESTIONS.texts, scores.tolist(), strict=True):
        whole = "".join(TEMPLATE.example(e.text, e.label) for e in examples) + TEMPLATE.question.format(text=text)
        with torch.inference_mode():
            logits = judge.model(torch.tensor([judge.tokenizer(whole).input_ids])).logits[0, -1]
        assert score == pytest.approx((logits[good] - logits[bad]).item(), abs=1e-4)


def test_turned_words_turn_the_scores(judge):
    turned = in_context.Judge(judge.model, judge.tokenizer, TEMPLATE.with_words(" good", " bad"))
    torch.testing.assert_close(turned.scores([], QUESTIONS.texts), -judge.scores([], QUESTIONS.texts))


def test_a_curve_has_a_row_for_each_draw():
    found = curve(Lean())
    assert {k: tuple(rows.shape) for k, rows in found.scores.items()} == {0: (1, 3), 2: (3, 3), 16: (3, 3)}
    assert found.labels == QUESTIONS.labels
    lengths = [float(len(text)) for text in QUESTIONS.texts]
    assert found.scores[2].tolist() == [[length + 20 for length in lengths]] * 3


def test_calibration_is_behind_the_same_examples_and_only_where_asked():
    judge = Lean()
    found = curve(judge, calibrate=(0, 2))
    assert {k: tuple(thresholds.shape) for k, thresholds in found.thresholds.items()} == {0: (1,), 2: (3,)}
    median = classification.calibrated_threshold(torch.tensor([float(len(text)) for text in UNLABELLED])).item()
    assert found.thresholds[0].tolist() == [median] and found.thresholds[2].tolist() == [median + 20] * 3
    asked = {len(examples): count for examples, count in judge.prompts}
    assert asked == {0: 3 + len(UNLABELLED), 2: 3 + len(UNLABELLED), 16: 3}
    with pytest.raises(KeyError):
        found.correct(16, calibrated=True)


def test_accuracy_raw_and_calibrated():
    found = in_context.Curve((1, 0), {2: torch.tensor([[3.0, 1.0], [9.0, 7.0]])}, {2: torch.tensor([2.0, 8.0])})
    assert found.correct(2).tolist() == [[1, 0], [1, 0]] and found.accuracy(2) == 0.5
    assert found.correct(2, calibrated=True).tolist() == [[1, 1], [1, 1]]
    assert found.accuracy(2, calibrated=True) == 1.0


def test_examples_are_balanced_and_follow_the_seed_and_the_draw():
    first, again, other = Lean(), Lean(), Lean()
    curve(first), curve(again), curve(other, seed=1)
    assert first.prompts == again.prompts != other.prompts
    assert len({examples for examples, _ in first.prompts}) == 7
    assert all(2 * sum(e.label for e in examples) == len(examples) for examples, _ in first.prompts)


def test_progress_sees_every_run():
    seen = []
    curve(Lean(), progress=lambda runs: seen.extend(runs) or runs)
    assert seen == [(0, 0), (2, 0), (2, 1), (2, 2), (16, 0), (16, 1), (16, 2)]


@pytest.mark.parametrize("leak", ["questions", "unlabelled"])
def test_an_example_that_is_also_asked_is_refused(leak):
    shown = prompts.Example(QUESTIONS.texts[1] if leak == "questions" else UNLABELLED[0], 1)
    with pytest.raises(ValueError, match=f"1 of the questions may also be drawn.*{shown.text}"):
        in_context.few_shot_curve(Lean(), [*POOL, shown], QUESTIONS, UNLABELLED, shots=(0,), draws=1, seed=0)


def test_accuracies_have_a_row_for_each_list_of_examples():
    found = in_context.accuracies(Lean(), {"two": [POOL[:1], POOL[:2]], "none": [[]]}, QUESTIONS)
    assert {name: rows.tolist() for name, rows in found.items()} == {"two": [[1, 1, 0]] * 2, "none": [[1, 1, 0]]}


def test_judging_changes_no_weight(judge):
    before = in_context.weights_hash(judge.model)
    curve(judge, shots=(0, 4))
    assert in_context.weights_hash(judge.model) == before


def test_one_bit_of_any_weight_changes_the_hash(tiny_model):
    before = in_context.weights_hash(tiny_model)
    for tensor in [*tiny_model.parameters(), *tiny_model.buffers()]:
        bits = tensor.detach().reshape(-1).view(torch.uint8)
        bits[-1] ^= 1
        assert in_context.weights_hash(tiny_model) != before
        bits[-1] ^= 1
        assert in_context.weights_hash(tiny_model) == before


def test_the_hash_sees_name_shape_and_type_but_not_layout():
    class Holder(torch.nn.Module):
        def __init__(self, tensor, name="weight"):
            super().__init__()
            self.register_buffer(name, tensor)

    tensor = torch.arange(6.0).reshape(2, 3)
    base = in_context.weights_hash(Holder(tensor))
    assert len(base) == 64 and base == in_context.weights_hash(Holder(tensor.T.contiguous().T))
    changed = [Holder(tensor.reshape(3, 2)), Holder(tensor, "bias"), Holder(tensor.view(torch.int32))]
    assert len({base, *map(in_context.weights_hash, changed)}) == 4
    assert in_context.weights_hash(Holder(torch.tensor(3))) != in_context.weights_hash(Holder(torch.tensor(4)))


def test_accuracies_are_calibrated_on_texts_behind_the_same_examples():
    judge = Lean()
    found = in_context.accuracies(judge, {"one": [POOL[:1]]}, QUESTIONS, unlabelled=UNLABELLED)["one"]
    assert judge.prompts == [(tuple(POOL[:1]), len(QUESTIONS.texts) + len(UNLABELLED))]
    assert found.tolist() == [[0.0, 0.0, 1.0]], "all three are shorter than the unlabelled texts, hence negative"
