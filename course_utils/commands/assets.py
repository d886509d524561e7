"""python -m course_utils assets fetch | list | verify | export FOLDER: the files that the course runs on."""

import argparse
import sys

from course_utils import assets
from course_utils.files import AssetError
from course_utils.models import base


def _parser():
    parser = argparse.ArgumentParser(prog="python -m course_utils assets", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser(
        "fetch", help="download what is missing and convert the model; afterwards all is offline"
    )
    verify = actions.add_parser("verify", help="read every byte again and compare it with what the course pins")
    for action in (fetch, verify):
        action.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(assets.ASSETS)}; all when left out")
    actions.add_parser("list", help="what each asset is, where it comes from and whether it is here")
    export = actions.add_parser("export", help="copy everything into a folder for a class to share read-only")
    export.add_argument("folder", metavar="FOLDER", help="the students set COURSE_HOME to it")
    return parser


def _say(line):
    print(line, flush=True)


def _fetch(names):
    assets.fetch(names, report=_say)
    for model in _models(names):
        if base.is_prepared(model):
            _say(f"{model.asset}: converted copy is here")
        base.prepare(report=_say, brought=model)


def _models(names):
    """The models that the course brings along, of those that are named; all when none is."""
    return [model for asset, model in base.BROUGHT.items() if not names or asset in names]


def _verify(names):
    for name in names or assets.ASSETS:
        assets.verify([name])
        _say(f"{name}: every file is what the course pins")
    for model in _models(names):
        base.verify(model)
        _say(f"{model.asset}: the converted copy is as it was written")


def _list():
    for row in assets.states():
        state = "here" if row["present"] else f"missing; {row['remedy']}"
        _say(f"{row['name']}: {state}")
        _say(f"    {row['purpose']}")
        _say(
            f"    needed by {row['notebooks']}; {row['download_megabytes']} MB to download, {row['megabytes']} on disk"
        )
        _say(f"    from {row['packages']}")
        _say(f"    licence: {row['licence']}")
        _say(f"    folder:  {row['folder']}")


def _export(folder):
    for model in _models(()):
        base.prepare(report=_say, brought=model)
        base.verify(model)
    assets.export(folder, report=_say)


def main(argv=None):
    """Run one action.

    Args:
        argv: the words after "assets".

    Returns:
        0, or 1 after one clear message on standard error.
    """
    asked = _parser().parse_args(argv)
    try:
        if asked.action == "fetch":
            _fetch(asked.names)
        elif asked.action == "verify":
            _verify(asked.names)
        elif asked.action == "list":
            _list()
        else:
            _export(asked.folder)
    except AssetError as error:
        print(f"assets {asked.action}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"assets {asked.action}: interrupted; run it again, it goes on where it was.", file=sys.stderr)
        return 130
    return 0
