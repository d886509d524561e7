"""What `python -m course_utils assets …` prints, and its exit status."""

import pytest

from course_utils import assets, downloads
from course_utils.commands.assets import main
from course_utils.files import AssetError
from course_utils.models import base


@pytest.fixture
def empty_home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_list_shows_package_size_licence_and_remedy(empty_home, capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "base-model: missing; python -m course_utils assets fetch base-model" in out
    assert "from vaderSentiment 3.3.2\n" in out and "licence: MIT (C.J. Hutto)" in out
    assert "needed by 01, 02, 03, 04; 40.6 MB to download, 40.6 on disk" in out


def test_list_says_what_is_here(capsys):
    assert main(["list"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.endswith(": here")] == [
        "base-model: here",
        "chat-model: here",
        "reviews: here",
        "instructions: here",
        "corpus: here",
        "exams: here",
        "small-talk: here",
    ]


def test_an_error_is_one_message_without_traceback(empty_home, capsys):
    assert main(["verify"]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("assets verify: The asset 'base-model' (238 MB) is not complete in ")
    assert "Traceback" not in printed.err and printed.out == ""


def test_fetch_offline_says_so(empty_home, capsys, monkeypatch):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    assert main(["fetch", "reviews"]) == 1
    assert "assets fetch: COURSE_OFFLINE is set" in capsys.readouterr().err


def test_fetch_of_all_also_converts_the_model(monkeypatch, capsys):
    done = []
    monkeypatch.setattr(downloads, "fetch", lambda asset, folder, report: done.append(asset.name))
    monkeypatch.setattr(base, "is_prepared", lambda model: False)
    monkeypatch.setattr(base, "prepare", lambda report, brought: done.append("converted"))
    assert main(["fetch"]) == 0
    assert done == [*assets.ASSETS, "converted", "converted"]
    done.clear()
    assert main(["fetch", "reviews"]) == 0
    assert done == ["reviews"]


def test_fetch_when_all_is_here_is_quick_and_offline(capsys):
    assert main(["fetch"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "base-model: here and whole, 253 MB",
        "chat-model: here and whole, 98 MB",
        "reviews: here and whole, 6 MB",
        "instructions: here and whole, 4 MB",
        "corpus: here and whole, 41 MB",
        "exams: here and whole, 46 MB",
        "small-talk: here and whole, 0 MB",
        "base-model: converted copy is here",
        "chat-model: converted copy is here",
    ]


def test_verify_covers_the_converted_copy(capsys, monkeypatch):
    assert main(["verify", "base-model"]) == 0
    assert "base-model: the converted copy is as it was written" in capsys.readouterr().out

    def changed(model):
        raise AssetError("model.safetensors has changed.")

    monkeypatch.setattr(base, "verify", changed)
    assert main(["verify", "base-model"]) == 1
    assert main(["verify", "reviews"]) == 0


def test_export_prepares_before_it_copies(monkeypatch, tmp_path):
    done = []
    monkeypatch.setattr(base, "prepare", lambda report, brought: done.append("prepare"))
    monkeypatch.setattr(base, "verify", lambda model: done.append("verify"))
    monkeypatch.setattr(assets, "export", lambda folder, report: done.append(folder))
    assert main(["export", str(tmp_path)]) == 0
    assert done == ["prepare", "verify", "prepare", "verify", str(tmp_path)]


def test_an_interrupt_is_no_traceback(monkeypatch, capsys):
    def interrupted(names, report):
        raise KeyboardInterrupt

    monkeypatch.setattr(assets, "fetch", interrupted)
    assert main(["fetch"]) == 130
    assert "it goes on where it was" in capsys.readouterr().err


def test_no_action_and_unknown_actions_are_refused(capsys):
    for words in ([], ["fetsh"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 2
