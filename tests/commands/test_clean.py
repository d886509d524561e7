"""clean removes what can be made again and nothing else."""

from course_utils.commands import clean


def test_clean_removes_what_can_be_made_again_and_nothing_else(tmp_path, monkeypatch, capsys):
    made = [
        ".venv/bin",
        "build",
        "dist",
        "x.egg-info",
        ".ruff_cache",
        "tests/__pycache__",
        "course_utils/a/__pycache__",
    ]
    kept = ["results", "notebooks/runs", "course_utils/build", ".git", "own/__pycache__"]
    for name in made + kept:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").touch()
    monkeypatch.setattr(clean, "ROOT", tmp_path)
    assert clean.main([]) == 0
    assert not [name for name in made if (tmp_path / name).exists()]
    assert [name for name in kept if (tmp_path / name / "file").exists()] == kept
    assert "removed .venv" in capsys.readouterr().out
