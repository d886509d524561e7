"""Reviews: the files are read as they are, malformed ones are refused, panels are disjoint people."""

import itertools
import os
import statistics
import subprocess
import sys

import datasets
import numpy as np
import pytest

from course_utils import assets
from course_utils.data import reviews

FOLDER = "hutto_ICWSM_2014"


@pytest.fixture(scope="module")
def rows():
    return reviews.load("all", "all")


def pair(folder, texts=b"1\t0.5\tFine.\r\n2\t-1\tDull.", ratings=b"1\t0.5\t0.5\t[0, 1]\r\n2\t-1\t0\t[-1, -1]"):
    (folder / "tweets_GroundTruth.txt").write_bytes(texts)
    (folder / "tweets_anonDataRatings.txt").write_bytes(ratings)
    return reviews.read("tweets", folder)


def test_every_row_arrives_with_its_columns(rows):
    counts = {domain: len(reviews.load(domain, "all")) for domain in reviews.FILES}
    assert counts == {"movies": 10605, "products": 3708, "tweets": 4200, "news": 5190}
    assert rows.features == reviews.FEATURES and len(set(rows["id"])) == len(rows) == 23703
    raters = [len(ratings) for ratings in rows["ratings"]]
    assert (min(raters), max(raters)) == (15, 99)
    documents = {domain: len(set(reviews.load(domain, "all")["document"])) for domain in reviews.FILES}
    assert documents == {"movies": 10605, "products": 300, "tweets": 4200, "news": 498}


def test_means_are_those_of_the_ratings(rows):
    assert max(abs(row["mean"] - statistics.fmean(row["ratings"])) for row in rows) < 1e-12


def test_published_tweet_means_are_wrong_so_they_are_not_used(rows):
    lines = (assets.path("reviews") / FOLDER / "tweets_GroundTruth.txt").read_text("utf-8").splitlines()
    published = {f"tweets-{line.split(chr(9))[0]}": float(line.split("\t")[1]) for line in lines}
    ours = {row["id"]: row["mean"] for row in rows if row["domain"] == "tweets"}
    assert sum(abs(ours[key] - published[key]) > 1e-3 for key in ours) == 199


def test_texts_are_clean(rows):
    for text in rows["text"]:
        assert text == " ".join(text.split()) and "''" not in text and "&amp;" not in text and "&lt;" not in text
        assert "&#38;" not in text and "Ã" not in text and "\ufeff" not in text
    assert any("The Château" in text for text in rows["text"]), "the file is UTF-8, not Latin-1"
    assert any("at & t's" in text for text in rows["text"]), "entities are escaped twice in places"


def test_the_first_rows_are_a_fair_sample_although_the_file_is_sorted():
    first = reviews.load("movies", "train")["mean"][:400]
    assert 0.42 < np.mean(np.array(first) > 0) < 0.58


def test_splits_partition(rows):
    parts = [set(reviews.load("all", split)["id"]) for split in reviews.SPLITS]
    assert sum(map(len, parts)) == len(rows) and set.union(*parts) == set(rows["id"])


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"no domain 'books'. Choose from: movies, products, tweets, news, all"):
        reviews.load("books")
    with pytest.raises(ValueError, match=r"no split 'dev'. Choose from: train"):
        reviews.load(split="dev")


def test_the_ten_are_short_varied_and_nowhere_else(rows):
    ten = reviews.ten()
    assert ten["id"] == list(reviews.TEN) and ten["nickname"] == list(reviews.TEN.values())
    assert len(set(ten["nickname"])) == 10 and all(name.isalpha() for name in ten["nickname"])
    assert all(len(text.split()) <= 25 for text in ten["text"]) and set(ten["domain"]) == {"movies"}
    assert {row["id"] for row in rows if row["split"] == "ten"} == set(ten["id"])
    assert min(ten["mean"]) < -3.5 and max(ten["mean"]) > 3 and sum(abs(mean) < 0.5 for mean in ten["mean"]) >= 3
    spread = [statistics.pstdev(ratings) for ratings in ten["ratings"]]
    assert min(spread) < 0.4 and max(spread) > 2.5


def test_well_formed_files_are_read(tmp_path):
    first, second = pair(tmp_path, ratings=b"\xef\xbb\xbf2\t9\t0\t[-1, -2]\r\n1\t9\t0\t[0, 1]\r\n")
    assert first == {"id": "tweets-1", "domain": "tweets", "document": "tweets-1", "text": "Fine."} | {
        "mean": 0.5,
        "ratings": [0, 1],
    }
    assert (second["mean"], second["text"]) == (-1.5, "Dull.")


@pytest.mark.parametrize(
    "broken, message",
    [
        ({"texts": b"1\tFine."}, r"GroundTruth.txt, line 1: found 2 fields, expected 3 between tabs"),
        ({"texts": b"1\t0\tFine.\r\n1\t0\tDull."}, "line 2: found the id '1', expected an id that no earlier row has"),
        ({"texts": b"1\t0\tFine.\r\n\t0\tDull."}, "line 2: found the id ''"),
        ({"texts": b"1\t0\tFine.\r\n2\t0\t "}, "line 2: found an empty text"),
        ({"texts": b"1\t0\tFine.\r\n3\t0\tDull."}, "2 ids are in only one of the two, the first '2'"),
        ({"texts": b"1\t0\tCh\xe2teau\r\n2\t0\tDull."}, "byte 6 is not UTF-8"),
        ({"ratings": b"1\t0\t0\t[0, 5]"}, r"anonDataRatings.txt, line 1: found the ratings '\[0, 5\]'"),
        ({"ratings": b"1\t0\t0\t[0, 1.5]"}, "expected whole numbers from -4 to 4"),
        ({"ratings": b"1\t0\t0\t[]"}, "found the ratings"),
        ({"ratings": b"1\t0\t0\t[0, 1"}, "found the ratings"),
        ({"ratings": b"1\t0\t0\t3"}, "found the ratings"),
        ({"ratings": b"1\t0\t0\t[true]"}, "found the ratings"),
    ],
)
def test_malformed_files_are_refused_with_place_and_remedy(tmp_path, broken, message):
    with pytest.raises(ValueError, match=message) as error:
        pair(tmp_path, **broken)
    assert "assets verify reviews" in str(error.value)


@pytest.mark.parametrize("parts", [1, 2, 3, 15])
def test_panels_are_disjoint_and_cover(rows, parts):
    some = rows.select(range(0, len(rows), 7))
    panels = reviews.panel_parts(some, parts)
    for given, *divided in zip(some["ratings"], *panels, strict=True):
        assert sorted(given) == sorted(itertools.chain(*divided))
        assert max(map(len, divided)) - min(map(len, divided)) <= 1


def test_panels_divide_positions_and_not_values():
    rows = {"id": ["news-1_1", "movies-7"], "ratings": [list(range(20)), list(range(15))]}
    for first, second in zip(*reviews.panel_parts(rows), strict=True):
        assert not set(first) & set(second) and len(first) - len(second) in (0, 1)


def test_panels_depend_on_id_and_seed_alone():
    rows = {"id": [f"tweets-{k}" for k in range(50)], "ratings": [list(range(20))] * 50}
    forward, _ = reviews.panel_parts(rows)
    backward, _ = reviews.panel_parts({name: column[::-1] for name, column in rows.items()})
    other, _ = reviews.panel_parts(rows, seed=1)
    assert forward == backward[::-1] and forward[0] == [17, 15, 12, 14, 6, 1, 3, 9, 5, 0]
    assert sum(map(list.__eq__, forward, other)) == 0 and len({tuple(panel) for panel in forward}) == 50


def test_a_movie_rater_stays_in_one_panel_for_all_thirty_rows():
    rows = {"id": [f"movies-{k}" for k in (1, 30, 31, 60)], "ratings": [list(range(20))] * 4}
    first, same, other, other_too = reviews.panel_parts(rows)[0]
    assert first == same and other == other_too and first != other


def test_thirty_movie_rows_have_the_same_raters_and_the_next_thirty_do_not(rows):
    # What the division of people rests on: the deviation at one position of the list carries over to the next row.
    movies = sorted((row for row in rows if row["domain"] == "movies"), key=lambda row: int(row["id"][7:]))
    apart = [np.array(row["ratings"]) - row["mean"] for row in movies]
    inside, across = [], []
    for k, (left, right) in enumerate(itertools.pairwise(apart)):
        size = min(len(left), len(right))
        (across if k % reviews.BATCH == reviews.BATCH - 1 else inside).append((left[:size], right[:size]))
    correlations = [np.corrcoef(*np.concatenate(pairs, axis=1))[0, 1] for pairs in (inside, across)]
    assert correlations[0] > 0.3 and abs(correlations[1]) < 0.05


def test_the_order_of_ratings_is_not_random_so_panels_shuffle():
    products = reviews.load("products", "all")
    whole = np.array(products["ratings"])
    shuffled = np.array(reviews.panel_parts(products, parts=1)[0])

    def with_rest(table):
        return [np.corrcoef(table[:, k], table.sum(1) - table[:, k])[0, 1] for k in range(20)]

    assert with_rest(whole)[-1] > 0.96 and max(with_rest(shuffled)) < 0.92


def test_halves_of_the_panel_agree():
    movies = reviews.load("movies", "test")
    one, two = map(reviews.panel_mean, reviews.panel_parts(movies))
    assert 0.95 < np.corrcoef(one, two)[0, 1] < 0.999


@pytest.mark.parametrize("wrong", ["column", "row", "list"])
def test_panels_refuse_what_has_no_ids(wrong):
    rows = reviews.load("movies", "validation")
    with pytest.raises(ValueError, match="pass the dataset itself"):
        reviews.panel_parts({"column": rows["ratings"], "row": rows[0], "list": [[1, 2]]}[wrong])


@pytest.mark.parametrize("parts", [0, 3])
def test_panels_refuse_too_few_ratings(parts):
    with pytest.raises(ValueError, match=f"Cannot divide into {parts} parts"):
        reviews.panel_parts({"id": ["a"], "ratings": [[1, 2]]}, parts=parts)


def test_loading_needs_no_torch_writes_nothing_and_does_not_depend_on_the_hash_seed(tmp_path):
    program = (
        "import sys; from course_utils.data import reviews; rows = reviews.load('movies', 'validation');"
        "print('torch' in sys.modules, rows['id'][:3], reviews.panel_parts(rows)[0][0])"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path), "PYTHONHASHSEED": "7"}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    here = reviews.load("movies", "validation")
    assert ended.stdout.strip() == f"False {here['id'][:3]} {reviews.panel_parts(here)[0][0]}" and not ended.stderr
    assert not list(tmp_path.rglob("*.arrow"))


def test_the_hub_twin_follows_our_splits_and_leaves_out_the_ten(monkeypatch, rows):
    ours = [reviews.load("movies", split)[0] for split in ("train", "test")]
    texts = [row["text"].lower() for row in (*ours, reviews.ten()[0])] + ["nobody here ever wrote these eight words"]
    twins = [{"id": f"h-{k}", "domain": "movies", "document": f"h-{k}", "text": t} for k, t in enumerate(texts)]
    monkeypatch.setattr(reviews.hub, "fetch", lambda name: [t | {"mean": 2.0, "ratings": [2]} for t in twins])
    found = reviews.load_hub(split="all")
    placed = dict(zip(found["id"], found["split"], strict=True))
    assert (placed["h-0"], placed["h-1"]) == ("train", "test") and placed.keys() == {"h-0", "h-1", "h-3"}
    assert found.features == reviews.FEATURES
    datasets.concatenate_datasets([rows, found])
    assert set(reviews.load_hub(split="test")["id"]) == {key for key, split in placed.items() if split == "test"}


def test_the_hub_twin_refuses_unknown_names():
    with pytest.raises(ValueError, match=r"no source 'imdb'. Choose from: rotten_tomatoes, sst5"):
        reviews.load_hub("imdb")
    with pytest.raises(ValueError, match="no split 'ten'"):
        reviews.load_hub(split="ten")
