"""lint sees errors and form, and repairs both."""

import pytest

from course_utils.commands import lint


@pytest.mark.parametrize("text, status", [("x = 1\n", 0), ("import os\n", 1), ("x=1\n", 1)])
def test_lint_sees_errors_and_form(text, status, tmp_path, monkeypatch):
    (tmp_path / "code.py").write_text(text)
    monkeypatch.setattr(lint, "ROOT", tmp_path)
    assert lint.main([]) == status
    assert lint.main(["--fix"]) == 0
    assert lint.main([]) == 0
