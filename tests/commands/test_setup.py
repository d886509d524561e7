"""setup is the environment, then the assets, each in the Python that has what it takes."""

from course_utils.commands import setup
from course_utils.setup import environment, install


def test_setup_ends_with_the_assets(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(environment, "ensure", lambda extras: calls.append(extras))
    monkeypatch.setattr(environment, "fetch_missing_assets", lambda: calls.append("assets"))
    monkeypatch.setattr(install, "missing", lambda: calls.append("missing"))
    assert setup.main([]) == 0
    assert setup.main(["--bench"]) == 0
    assert setup.main(["--missing"]) == 0
    assert calls == [(), "assets", ("bench",), "assets", "missing"]


def test_setup_goes_on_in_the_new_environment(monkeypatch):
    monkeypatch.setattr(environment, "ensure", lambda extras: "/new/python")
    monkeypatch.setattr(environment, "hand_over", lambda python, argv: (python, argv))
    assert setup.main(["--bench"]) == ("/new/python", ["setup", "--bench"])
