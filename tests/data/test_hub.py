"""The hub's columns become ours; nothing here reaches for the network."""

import datasets
import pytest

from course_utils.data import hub


def rotten(labels=(0, 1)):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    texts = ["it 's dull , really .", "a treat"]
    return datasets.Dataset.from_dict({"text": texts[: len(labels)], "label": labels}, features=features)


def test_rotten_tomatoes():
    first, second = hub.rows_of(rotten(), "rotten_tomatoes", "train")
    assert first["text"] == "it's dull, really." and (first["mean"], first["ratings"]) == (-2.0, [-2])
    assert second["ratings"] == [2] and second["id"] == second["document"] == "rotten_tomatoes-train-1"
    assert second["domain"] == "movies"


def test_sst5():
    columns = {"text": ["a"] * 5, "label": [0, 1, 2, 3, 4], "label_text": ["very negative"] * 5}
    rows = hub.rows_of(datasets.Dataset.from_dict(columns), "sst5", "validation")
    assert [row["ratings"] for row in rows] == [[-3], [-2], [0], [2], [3]]


@pytest.mark.parametrize(
    "tokens, text",
    [
        ("does n't `` work '' -lrb- at all -rrb- , they 've said", "doesn't \" work \" (at all), they've said"),
        ("don't  touch", "don't touch"),
        ("the '60s , now", "the '60s, now"),
    ],
)
def test_tokens_are_joined(tokens, text):
    assert hub.joined(tokens) == text


def test_a_changed_set_is_refused():
    with pytest.raises(ValueError, match=r"expected also \['text'\]"):
        hub.rows_of(rotten().rename_column("text", "sentence"), "rotten_tomatoes", "train")
    with pytest.raises(ValueError, match=r"has the labels \[-1\], expected 0 to 1"):
        hub.rows_of(rotten([0, -1]), "rotten_tomatoes", "test")


def test_fetching_reads_every_split_and_restores_progress_bars(monkeypatch):
    seen = []

    def load_dataset(repo):
        seen.append((repo, datasets.are_progress_bars_disabled()))
        return {"train": rotten(), "test": rotten()}

    monkeypatch.setattr(hub.datasets, "load_dataset", load_dataset)
    datasets.enable_progress_bars()
    rows = hub.fetch("rotten_tomatoes")
    assert len({row["id"] for row in rows}) == 4
    assert seen == [("cornell-movie-review-data/rotten_tomatoes", True)]
    assert not datasets.are_progress_bars_disabled()


def test_no_network_is_said_plainly(monkeypatch):
    def load_dataset(repo):
        raise ConnectionError("no route")

    monkeypatch.setattr(hub.datasets, "load_dataset", load_dataset)
    with pytest.raises(RuntimeError, match=r"could not be had from the hub: no route\nCheck the network"):
        hub.fetch("sst5")
