"""Text that leaves this process or comes from another is UTF-8, whatever code page the system has.

Windows gives a stream that is redirected the code page of its language; in cp1252 there is no ≈, in cp949 no −, and
a print ends the command. Standard library only, and any Python 3 can read this file.
"""

import os
import subprocess
import sys


def settle():
    """Let everything printed survive, in this process and in the Python programs that it starts.

    A terminal keeps its encoding. What is redirected becomes UTF-8, unless PYTHONIOENCODING names another encoding.
    What an encoding cannot say is written as its number, as \\u2248.
    """
    chosen = os.environ.get("PYTHONIOENCODING", "").partition(":")[0]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not where there is none, or somebody put another in its place
            stream.reconfigure(encoding=_fitting(stream, chosen), errors="backslashreplace")
    # stdout decides for the children: most of what they print goes there
    os.environ["PYTHONIOENCODING"] = (_fitting(sys.stdout, chosen) or "") + ":backslashreplace"


def _fitting(stream, chosen):
    """The encoding that a stream should have; None where it should keep its own."""
    return chosen or (None if stream is None or stream.isatty() else "utf-8")


def speaking(environment=None):
    """The environment (default: this process's) of a Python program whose output is read here: it prints UTF-8."""
    return {**(os.environ if environment is None else environment), "PYTHONIOENCODING": "utf-8:backslashreplace"}


def heard(command, environment=None, **more):
    """Run a program to its end and read what it prints.

    Args:
        command: a list of words.
        environment: its variables, by default those of this process.
        more: for subprocess.run, as stderr=subprocess.STDOUT.

    Returns:
        A subprocess.CompletedProcess with stdout as text; bytes that are no UTF-8 become �.
    """
    pipe = {"stdout": subprocess.PIPE, "encoding": "utf-8", "errors": "replace"}
    return subprocess.run(command, env=speaking(environment), check=False, **pipe, **more)
