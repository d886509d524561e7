"""`python -m course_utils <command>`: the one door to everything. It sets up what is missing, then does the command.

Any Python 3 can read this file, so that an unsuitable one gets a sentence instead of a traceback.
"""

import importlib
import importlib.util
import sys
from typing import NamedTuple

import course_utils
from course_utils import streams

OLDEST, NEWEST = course_utils.__pythons__


class Command(NamedTuple):
    """A command's one sentence, its module in course_utils.commands, what must be there first, and its function.

    assets: all of them are fetched first. Any other command fetches one when it first needs it.
    """

    purpose: str
    module: str
    environment: bool = True
    assets: bool = False
    extras: tuple = ()
    function: str = "main"


COMMANDS = {
    "setup": Command("build the environment and fetch the assets; every other command does it when needed", "setup"),
    "course": Command("run every notebook, or --notebooks '05', and print the summary table", "course"),
    "test": Command("run every test, the notebooks included", "test", assets=True),
    "lab": Command("open JupyterLab on the course", "lab"),
    "doctor": Command("check this machine; each problem comes with its remedy", "doctor"),
    "assets": Command("fetch, list, verify or export the model and the data", "assets"),
    "lint": Command("check code and notebooks with ruff; --fix repairs", "lint"),
    "bundle": Command("pack the course into one file for Colab, Kaggle or a class", "bundle", environment=False),
    "bench": Command("run the side-by-side benchmarks", "bench", assets=True, extras=("bench",)),
    "drift": Command("test the newest and the lowest admitted versions", "bench", assets=True, function="drift"),
    "soak": Command("run the long reliability tests", "soak", assets=True),
    "train": Command("train one stage outside a notebook", "train"),
    "data": Command("clean a folder of your own texts: quality, copies, private data", "data"),
    "run": Command("run an experiment too long for a notebook", "run"),
    "clean": Command("remove the environment and all that was built; results stay", "clean", environment=False),
}


def main(argv):
    """Do one command and return its exit status."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        print(unsuitable_python(), file=sys.stderr)
        return 1
    name = argv[0] if argv else "help"
    if name in ("help", "-h", "--help"):
        print(usage())
        return 0
    if name not in available():
        print(f"There is no command {name!r}.\n\n{usage()}", file=sys.stderr)
        return 2
    return run(COMMANDS[name], argv)


def run(command, argv):
    """Set up what the command needs, go on in the environment's Python, do the command."""
    from course_utils import folders
    from course_utils.files import AssetError
    from course_utils.setup import environment

    explains = bool({"-h", "--help"} & set(argv))  # an explanation needs nothing that has to be fetched
    try:
        folders.settle()
        if command.environment and command.module != "setup":
            python = environment.ensure(() if explains else command.extras)
            if not environment.is_this_python(python):
                return environment.hand_over(python, argv)
        if command.assets and not explains:
            environment.fetch_missing_assets()
        module = importlib.import_module("course_utils.commands." + command.module)
        return getattr(module, command.function)(argv[1:])
    except (environment.SetupError, AssetError, folders.PlaceError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130


def available():
    """The names of the commands whose module exists."""
    return [name for name, command in COMMANDS.items() if _exists("course_utils.commands." + command.module)]


def _exists(module):
    return importlib.util.find_spec(module) is not None


def usage():
    """What `python -m course_utils` prints: a line for each command there is."""
    lines = [f"  {name:<8} {COMMANDS[name].purpose}" for name in available()]
    return "\n".join(["python -m course_utils COMMAND", "", *lines, "", "COMMAND --help says more."])


def unsuitable_python():
    """The sentence for a Python that is too old or too new."""
    came, oldest, newest = (".".join(map(str, version[:2])) for version in (sys.version_info, OLDEST, NEWEST))
    return (
        "The course needs Python {0} to {1}, and {2} is Python {3}.\n"
        "Install one of them and name it: make course PYTHON=python{1}, or python{1} -m course_utils course "
        "(on Windows: py -{1} -m course_utils course)."
    ).format(oldest, newest, sys.executable or "this one", came)


if __name__ == "__main__":
    streams.settle()
    sys.exit(main(sys.argv[1:]))
