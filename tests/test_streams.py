"""What is printed survives a redirect under any code page; what another program prints is read as it was meant."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from course_utils import streams

ROOT = Path(__file__).resolve().parents[1]
SIGNS = "≈0.94 → × − │ ▁▂ 한글"
# each command's help, and two that print much, through the one door in one process
EVERY_COMMAND = """
import runpy, sys
from course_utils import __main__ as door
for words in [[], ["no-such-command"], ["assets", "list"], *([name, "--help"] for name in door.available())]:
    sys.argv = ["course_utils", *words]
    print("==", *words)
    try:
        runpy.run_module("course_utils", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        print("ends with", end.code)
"""
SPEAKS = f"print({SIGNS!a})"
SAY = f"""
import subprocess, sys
from course_utils import streams
streams.settle()
print({SIGNS!a})
print({SIGNS!a}, file=sys.stderr)
sys.stdout.flush()
subprocess.run([sys.executable, "-c", {SPEAKS!r}], check=True)
print(streams.heard([sys.executable, "-c", {SPEAKS!r}]).stdout.strip())
"""


def redirected(*words, **variables):
    """Run Python with stdout and stderr in pipes, as a Windows of that code page does; gives the process."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHONIO", "LC_", "LANG"))
    }
    environment |= {"PYTHONUTF8": "0", "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run([sys.executable, *words], capture_output=True, env=environment, cwd=ROOT)


@pytest.mark.parametrize("codec", ["cp1252", "cp949"])
def test_every_command_speaks_under_a_code_page_that_lacks_its_signs(codec):
    done = redirected("-c", EVERY_COMMAND, PYTHONIOENCODING=codec)
    said = done.stdout.decode(codec)
    assert done.returncode == 0 and "Traceback" not in done.stderr.decode(codec), done.stderr[-2000:]
    assert said.count("ends with 0") >= 14 and "usage: python -m course_utils soak" in said


@pytest.mark.parametrize("codec", ["cp1252", "cp949"])
def test_the_doctor_speaks_under_a_code_page_that_lacks_its_signs(codec):
    done = redirected("-m", "course_utils", "doctor", PYTHONIOENCODING=codec)
    assert done.returncode in (0, 1) and b"Traceback" not in done.stderr, done.stderr[-2000:]
    said = done.stdout.decode(codec)
    assert "\\u2192" in said if codec == "cp1252" else "→" in said


@pytest.mark.parametrize("codec", ["cp1252", "cp949", "ascii"])
def test_what_a_code_page_lacks_is_written_as_its_number(codec):
    done = redirected("-c", SAY, PYTHONIOENCODING=codec)
    expected = SIGNS.encode(codec, "backslashreplace").decode(codec)
    assert done.returncode == 0 and done.stderr.decode(codec).split("\n")[0] == expected
    assert done.stdout.decode(codec).split("\n") == [expected, expected, expected, ""]


def test_without_a_choice_what_is_redirected_is_utf_8():
    done = redirected("-c", SAY, LC_ALL="C", PYTHONCOERCECLOCALE="0")
    assert done.stdout.decode("utf-8").split("\n") == [SIGNS, SIGNS, SIGNS, ""], done.stderr
    assert done.stderr.decode("utf-8") == SIGNS + "\n"


class Terminal:
    """A stream that a person watches."""

    def __init__(self):
        self.asked = None

    def isatty(self):
        return True

    def reconfigure(self, **words):
        self.asked = words


def test_a_terminal_keeps_its_encoding_and_gives_numbers_for_what_it_lacks(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", None)  # as in a program without a window
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    streams.settle()
    assert terminal.asked == {"encoding": None, "errors": "backslashreplace"}
    assert os.environ["PYTHONIOENCODING"] == ":backslashreplace"


def test_what_is_no_utf_8_is_read_all_the_same():
    done = streams.heard([sys.executable, "-c", r"import sys; sys.stdout.buffer.write(b'caf\xe9')"])
    assert (done.returncode, done.stdout) == (0, "caf�")
