"""Results of experiments too long for a notebook: made by `python -m course_utils run`, committed with the course."""

import json
from importlib import resources
from pathlib import Path

import course_utils


def load(name):
    """The record of an experiment: command, date, machine, setting, summary, points.

    Args:
        name: of the experiment, such as "sft".

    Raises:
        FileNotFoundError: the file is neither beside the notebook, nor in the course's folder, nor in the wheel.
    """
    package = resources.files(course_utils)
    places = [Path("reference"), package.joinpath("..", "notebooks", "reference"), package.joinpath("reference")]
    for place in places:
        file = place.joinpath(f"{name}.json")
        if file.is_file():
            (record,) = json.loads(file.read_text(encoding="utf-8"))
            return record
    raise FileNotFoundError(
        f"There is no reference/{name}.json beside this notebook. It belongs to the course: copy the folder reference "
        f"from the course's notebooks, or make it with `python -m course_utils run {name}`."
    )


def summary(name):
    """The summary of an experiment's record, {} when there is no record: a notebook then says so and goes on."""
    try:
        return load(name).get("summary") or {}
    except FileNotFoundError:
        return {}
