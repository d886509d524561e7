"""Which packages the course needs, in which range, and what is installed. Standard library only: it must work when
nothing else does. Understands the bounds that pyproject.toml uses, which a test keeps so: >= and <."""

import re
from dataclasses import dataclass
from importlib import metadata

from course_utils import places


@dataclass(frozen=True)
class Requirement:
    """A package and its range.

    name: of the package.
    bounds: pairs of operator (">=" or "<") and version.
    """

    name: str
    bounds: tuple[tuple[str, str], ...]

    @property
    def range(self):
        """The bounds as one would write them, as in >=2.11,<3."""
        return ",".join(operator + version for operator, version in self.bounds)

    def verdict(self, version):
        """Where a version lies: "below", "inside" or "beyond" the range. A pre-release counts as its release."""
        for operator, bound in self.bounds:
            if operator == ">=" and _release(version) < _release(bound):
                return "below"
            if operator == "<" and _release(version) >= _release(bound):
                return "beyond"
        return "inside"


def _release(version):
    """The release in a version as numbers, without zeros at its end: "2.11.0+cu128" → [2, 11]."""
    numbers = [int(part) for part in re.match(r"[\d.]*\d|", version.lstrip("vV"))[0].split(".") if part]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers


def parse(text):
    """The Requirement that a line such as "torch>=2.11,<3" states.

    Raises:
        ValueError: a bound that this module does not understand.
    """
    name, bounds = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[.*?\])?\s*\(?([^;)]*)\)?\s*(?:;.*)?", text.strip()).groups()
    pairs = []
    for bound in filter(None, (part.strip() for part in bounds.split(","))):
        found = re.fullmatch(r"(>=|<)\s*([\d.]+)", bound)
        if not found:
            raise ValueError(f"{text!r} has the bound {bound!r}; expected >= or < and a release such as 2.11.")
        pairs.append(found.groups())
    return Requirement(name, tuple(sorted(pairs, reverse=True)))


def required():
    """(Requirement of Python, list of Requirements without extras): a clone's pyproject.toml, else what was installed.

    Raises:
        LookupError: neither exists.
    """
    root = places.clone()
    if root:
        import tomllib

        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        python, packages = project["requires-python"], project["dependencies"]
    else:
        try:
            installed = metadata.distribution(places.NAME)
        except metadata.PackageNotFoundError as error:
            raise LookupError("course_utils is neither in a clone nor installed") from error
        python, packages = installed.metadata["Requires-Python"], installed.requires or []
    return parse(f"python{python}"), [parse(package) for package in packages if "extra ==" not in package]


def installed_version(name):
    """The version of a package, None when it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
