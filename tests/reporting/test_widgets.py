"""Widgets are built, moved as a hand would, and show what their plain twins give."""

import ast
import inspect

import ipywidgets
import pytest
import torch

from course_utils.data import instructions, prompts
from course_utils.evaluation import in_context, scaling
from course_utils.models import sampling
from course_utils.reporting import rating, widgets

pytestmark = pytest.mark.usefixtures("one_thread")

# What ipywidgets 7.7.1, Colab's, takes: its traits, read from that release; nothing else may be used
COLAB = {
    "Text": {"value", "description", "continuous_update", "layout"},
    "Textarea": {"value", "description", "continuous_update", "layout"},
    "FloatSlider": {"value", "style", "min", "max", "step", "description", "layout"},
    "BoundedIntText": {"value", "min", "max", "step", "description", "style", "layout"},
    "BoundedFloatText": {"value", "min", "max", "step", "description", "style", "layout"},
    "Button": {"description", "layout"},
    "Dropdown": {"options", "value", "description", "layout"},
    "HTML": {"value", "layout"},
    "HBox": {"layout"},
    "VBox": {"layout"},
}
TEMPLATE = prompts.Template("{text} is", (" bad", " good"), end="\n")
EXAMPLES = [prompts.Example("the film", 1), prompts.Example("a movie", 0)]


@pytest.fixture
def judge(tiny_model, tiny_tokenizer):
    return in_context.Judge(tiny_model, tiny_tokenizer, TEMPLATE)


@pytest.fixture
def explorer(tiny_model, tiny_tokenizer):
    """The parts of an explorer: text, bars, button, temperature, what was written."""
    line, bars, (write, temperature), written = _parts(
        widgets.next_token_explorer(tiny_model, tiny_tokenizer, "the film is")
    )
    return line, bars, write, temperature, written


def _parts(box):
    return [_parts(child) if isinstance(child, ipywidgets.Box) else child for child in box.children]


def test_the_explorer_shows_its_twin_from_the_start(explorer, tiny_model, tiny_tokenizer):
    line, bars, *_, written = explorer
    assert line.value == "the film is" and written.value == ""
    assert bars.value == widgets.bars_html(sampling.top_next(tiny_model, tiny_tokenizer, "the film is"))


def test_another_text_moves_the_bars(explorer, tiny_model, tiny_tokenizer):
    line, bars, *_ = explorer
    before = bars.value
    line.value = "hello"
    assert bars.value != before
    assert bars.value == widgets.bars_html(sampling.top_next(tiny_model, tiny_tokenizer, "hello"))


def test_an_empty_line_still_has_a_next_token(explorer):
    line, bars, *_ = explorer
    line.value = ""
    assert bars.value.count("<tr>") == 10


def test_write_on_writes_what_its_twin_writes(explorer, tiny_model, tiny_tokenizer):
    line, _, write, temperature, written = explorer
    line.value, temperature.value = "a <movie>", 0.0
    write.click()
    more = sampling.continue_text(tiny_model, tiny_tokenizer, line.value, temperature=0.0, seed=0)
    assert written.value == f"<p style='max-width:720px'>a &lt;movie&gt;<b>{widgets.html.escape(more)}</b></p>"


def test_each_click_writes_another_story_unless_the_temperature_is_zero(explorer):
    _, _, write, temperature, written = explorer

    def stories(heat):
        temperature.value, told = heat, []
        for _ in range(3):
            write.click()
            told.append(written.value)
        return len(set(told))

    assert stories(2.0) == 3
    assert stories(0.0) == 1


def test_label_probabilities_are_the_judges(judge):
    found = widgets.label_probabilities(judge, EXAMPLES, "hello")
    odds = judge.scores(EXAMPLES, ["hello"])[0]
    assert list(found) == ["bad", "good"]
    assert found["good"] == pytest.approx(torch.sigmoid(odds).item()) and sum(found.values()) == pytest.approx(1)


@pytest.fixture
def editor(judge):
    """The parts of an editor: (text, label) of each example, the review, the bars."""
    *rows, question, bars = _parts(widgets.example_editor(judge, EXAMPLES, "hello"))
    return rows, question, bars


def as_shown(judge, examples, text):
    return widgets.bars_html(list(widgets.label_probabilities(judge, examples, text).items()))


def test_the_editor_shows_its_twin_from_the_start(editor, judge):
    rows, question, bars = editor
    assert [(line.value, label.value) for line, label in rows] == [("the film", "good"), ("a movie", "bad")]
    assert question.value == "hello" and bars.value == as_shown(judge, EXAMPLES, "hello")


def test_each_part_of_the_editor_moves_the_bars(editor, judge):
    rows, question, bars = editor
    (first_line, first_label), _ = rows
    seen = [bars.value]
    first_label.value = "bad"
    seen.append(bars.value)
    assert seen[-1] == as_shown(judge, [prompts.Example("the film", 0), EXAMPLES[1]], "hello")
    question.value = "a great world"
    seen.append(bars.value)
    first_line.value = "no film"
    seen.append(bars.value)
    assert seen[-1] == as_shown(judge, [prompts.Example("no film", 0), EXAMPLES[1]], "a great world")
    assert len(set(seen)) == 4


def test_an_emptied_line_takes_its_example_out(editor, judge):
    rows, _, bars = editor
    rows[0][0].value = "  "
    assert bars.value == as_shown(judge, EXAMPLES[1:], "hello")
    rows[1][0].value = ""
    assert bars.value == as_shown(judge, [], "hello")


def test_bars_are_scaled_to_the_widest_and_escaped():
    drawn = widgets.bars_html([(" <b>", 0.5), ("\n", 0.25)])
    assert "␣&lt;b&gt;" in drawn and "<b>" not in drawn and "↵" in drawn
    assert "width:360px" in drawn and "width:180px" in drawn
    assert "50.0%" in drawn and "25.0%" in drawn


def test_only_what_colabs_widgets_have_is_used():
    calls = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(widgets)))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("ipywidgets.")
    ]
    assert calls
    for call in calls:
        assert {keyword.arg for keyword in call.keywords} <= COLAB[call.func.attr], ast.unparse(call)


def test_the_mask_follows_what_is_written(tiny_tokenizer):
    asked, said, shown = _parts(widgets.mask_viewer(tiny_tokenizer, "is the film good", "yes"))
    before = shown.value
    said.value = "no <b>"
    messages = instructions.dialogue({"prompt": "is the film good", "answer": "no <b>"})
    ids, mask = instructions.encode_dialogue(messages, tiny_tokenizer)
    assert shown.value == widgets.mask_html(tiny_tokenizer, ids, mask) != before
    assert shown.value.count("color:white") == sum(mask) and shown.value.count("<span") == len(ids)
    asked.value = "hello"
    assert shown.value.count("<span") < len(ids) and "<b>" not in shown.value


PAIRS = [
    {"chosen": f"good <{n}>", "rejected": f"bad {n}", "chosen_id": f"c{n}", "rejected_id": f"r{n}"} for n in range(3)
]


def test_pairs_are_rated_one_after_another_and_the_result_is_told_at_the_end():
    mine = rating.Rating(PAIRS)
    shown, buttons = _parts(widgets.pair_rater(mine))
    for number in range(3):
        assert shown.value == widgets.pair_html(*mine.sides(number), left=3 - number) and "&lt;" in shown.value
        buttons["AB".index("B")].click()
        assert mine.choices == dict.fromkeys(range(number + 1), "B")
    assert f"Done: {int(mine.right.sum())} of 3 as the panel chose" in shown.value
    buttons[0].click()
    assert mine.choices == dict.fromkeys(range(3), "B")


def test_the_last_word_may_be_another():
    mine = rating.Rating(PAIRS)
    for number in range(3):
        mine.choose(number, "A")
    shown, _ = _parts(widgets.pair_rater(mine, told="{right} of {all} for ours"))
    assert f"Done: {int(mine.right.sum())} of 3 for ours." in shown.value


def test_calculators_say_the_same_as_their_functions():
    from course_utils.evaluation import resources

    box = widgets.training_calculator()
    assert "3.79e+25" in box.children[-1].value
    box.children[2].value = 8_000  # half the chips, twice the days
    flops = resources.training_flops(405e9, 15.6e12)
    assert f"{resources.training_days(flops, resources.CHIPS['H100'], 8_000):,.1f}" in box.children[-1].value
    served = widgets.serving_calculator("GPT-3")
    assert "<b>7</b>" in served.children[-1].value, "350 GB of weights and 151 GB of caches on chips of 80 GB"
    assert f"{resources.cache_bytes(resources.MODELS['GPT-3'], 2000) / 1e6:,.1f} MB" in served.children[-1].value


def test_a_budget_of_compute_is_split_by_each_law_and_as_it_was():
    laws = {"Hoffmann 2022": scaling.CHINCHILLA, "Besiroglu 2024": scaling.CORRECTED}
    budget, shown = _parts(widgets.budget_calculator(laws, power=21.0))
    assert shown.value == widgets.budget_html(laws, 21.0) and "Besiroglu 2024" in shown.value
    assert "Llama 3 8B, 10^23.9 FLOPs in fact" in shown.value and "1,868.0 a weight" in shown.value
    budget.value = 24.0
    assert shown.value == widgets.budget_html(laws, 24.0) != widgets.budget_html(laws, 21.0)
