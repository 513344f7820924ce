"""Which packages this program asks for, and which versions of them are installed."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

# The second has the files of the first: pip cannot know, and installs both.
_ALTERNATIVES = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu")}


def required(extra: str = "") -> list[Requirement]:
    """Return what the program asks for, or one of its extras.

    A checkout's pyproject.toml is read where there is one: what was installed with `pip install -e`
    still has the requirements of that day.

    Raises:
        importlib.metadata.PackageNotFoundError: the program was copied and not installed.
    """
    path = Path(__file__).parents[1] / "pyproject.toml"
    project = tomllib.loads(path.read_text("utf-8")).get("project", {}) if path.is_file() else {}
    if project.get("name") == "nlpkit":
        lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
        return [Requirement(line) for line in lines]
    requirements = [Requirement(line) for line in metadata.requires("nlpkit") or []]
    if not extra:
        return [r for r in requirements if _holds(r, "")]
    return [r for r in requirements if _holds(r, extra) and not _holds(r, "")]


def _holds(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def versions(name: str) -> dict[str, str]:
    """Return the version of every installed distribution that provides a package, by its name."""
    found = {}
    for distribution in _ALTERNATIVES.get(name, (name,)):
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found
