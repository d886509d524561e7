"""Each diagram draws what it names: boxes that do not overlap, arrows between them, and a text for who sees none."""

import itertools

import matplotlib.pyplot as plt
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from course_utils.reporting import diagrams

each = pytest.mark.parametrize("name", diagrams.DIAGRAMS)


@pytest.fixture
def drawn(monkeypatch):
    figures = []
    monkeypatch.setattr(plt, "show", lambda: figures.append(plt.gcf().axes[0]))
    return figures


@each
def test_boxes_do_not_overlap(name):
    boxes = diagrams.DIAGRAMS[name].boxes.values()
    for (_, x, y, width, _), (_, other_x, other_y, other_width, _) in itertools.combinations(boxes, 2):
        assert abs(x - other_x) > (width + other_width) / 2 or abs(y - other_y) > diagrams.HEIGHT


@each
def test_arrows_join_boxes_and_both_kinds_of_weights_are_there(name):
    found = diagrams.DIAGRAMS[name]
    assert found.arrows and {end for pair in found.arrows for end in pair} <= set(found.boxes)
    assert {"trained", "frozen"} <= {kind for *_, kind in found.boxes.values()}
    assert len(found.alt.split()) > 15


@each
def test_every_text_stands_inside_its_box_and_no_axis_is_drawn(name, drawn):
    diagrams.show(name)
    (ax,) = drawn
    assert not ax.axison
    renderer = FigureCanvasAgg(ax.figure).get_renderer()
    boxes = [patch.get_window_extent(renderer) for patch in ax.patches if type(patch).__name__ == "FancyBboxPatch"]
    texts = [text.get_window_extent(renderer) for text in ax.texts if text.get_text()]
    assert len(boxes) == len(texts) == len(diagrams.DIAGRAMS[name].boxes)
    for text in texts:
        assert any(box.x0 <= text.x0 and text.x1 <= box.x1 and box.y0 <= text.y0 and text.y1 <= box.y1 for box in boxes)


def test_an_unknown_diagram_is_refused():
    with pytest.raises(ValueError, match="no diagram 'lorra'; expected one of lora"):
        diagrams.show("lorra")
