"""Fetch one source package as it lies on the index, by pip's own parts, so that nothing of it is run.

`pip download` brings a source package too, but asks the build backend that it names for metadata; an index without that
backend cannot serve it at all. The parts used here find a link and open it with all of the reader's own settings
(index, proxy, certificate, credentials), and no more. A program of its own, run by the Python whose pip it is:

    python -P source_package.py PROJECT VERSION FILENAME FOLDER
"""

import logging
import sys
from pathlib import Path

OTHER_PIP = 3  # exit status: this pip has no such parts


def main(project, version, filename, folder):
    """Bring the file into the folder. Returns an exit status; what went wrong is said on stderr, as pip says it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return _bring(project, version, filename, folder)
    except (ImportError, AttributeError, TypeError):  # no pip, or one whose parts have other names or arguments
        return OTHER_PIP


def _bring(project, version, filename, folder):
    from pip._internal.commands import create_command

    command = create_command("download")
    options, _ = command.parse_args(["--no-deps", "--no-input", "--no-binary", project, project])
    with command.main_context():
        session = command.get_default_session(options)
        found = command._build_package_finder(options, session).find_all_candidates(project)
        links = [candidate.link for candidate in found if candidate.link.filename == filename]
        if not links:
            print(f"No matching distribution found for {project}=={version}", file=sys.stderr)
            return 1
        # without this header an index may pack the file once more on its way, and its hash would be another
        answer = session.get(links[0].url_without_fragment, headers={"Accept-Encoding": "identity"}, stream=True)
        answer.raise_for_status()
        with open(Path(folder) / filename, "wb") as file:
            for chunk in answer.iter_content(1 << 20):
                file.write(chunk)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
