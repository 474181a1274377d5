"""Virtual environments with client or sync tasks as others install them, and their tests' tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.environments.pythons import Version, text

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "clients" / "python"
SYNC = ROOT / "clients" / "sync"
UV = Path(sys.executable).with_name("uv")

_TOOLS = ("pytest", "pytest-timeout", "pytest-randomly", "hypothesis")
_INSTALL_S = 300.0
_OUTPUT_MAX = 8_000
_BETWEEN = ("protobuf~=6.31.0", "pandas<3", "polars<2")
"""protobuf 6.30 and 6.31 are those that warn of stubs made for protobuf 5 with a check."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An environment to make.

    Attributes:
        name: Says what is in it.
        python: The interpreter.
        python_version: Its version.
        lowest: Whether requirements are met by their lowest versions; else by the highest ones.
        constraints: What holds these back.
        projects: What is to be installed: the folders of distributions.
        extras: And with which extras.
    """

    name: str
    python: Path
    python_version: Version
    lowest: bool = False
    constraints: tuple[str, ...] = ()
    projects: tuple[Path, ...] = (CLIENT,)
    extras: tuple[str, ...] = ("pandas", "polars")


def plans(pythons: Mapping[Version, Path]) -> Iterator[Plan]:
    """Lowest and newest set for each Python, and one set between them for the first."""
    for position, (python_version, python) in enumerate(pythons.items()):
        number = text(python_version)
        yield Plan(f"lowest-{number}", python, python_version, lowest=True)
        yield Plan(f"newest-{number}", python, python_version)
        if position == 0:
            yield Plan(f"between-{number}", python, python_version, constraints=_BETWEEN)


def sync_plans(pythons: Mapping[Version, Path]) -> Iterator[Plan]:
    """Sync tasks without the service: lowest set on the oldest Python, newest on the newest.

    What client and sync tasks share is tried on every Python with the client.
    """
    for kind, python_version in (("lowest", min(pythons)), ("newest", max(pythons))):
        yield Plan(
            f"sync-{kind}-{text(python_version)}",
            pythons[python_version],
            python_version,
            lowest=kind == "lowest",
            projects=(CLIENT, SYNC),
            extras=("postgres", "http", "sql"),
        )


@dataclass(frozen=True, slots=True)
class Environment:
    """One that was made.

    Attributes:
        plan: What it was made by.
        directory: Where it is.
    """

    plan: Plan
    directory: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.directory / "bin" / "python"

    def versions(self) -> dict[str, str]:
        """What is installed in it, by name."""
        listed = run(UV, "pip", "list", "--format", "json", "--python", self.directory)
        return {each["name"]: each["version"] for each in json.loads(listed)}

    @property
    def ignored_warnings(self) -> tuple[str, ...]:
        """Filters for what others warn of themselves; all other warnings are errors."""
        if self.plan.lowest and self.plan.python_version >= (3, 12):
            # protobuf 5.26, of its own types.
            return ("ignore:Type google._upb:DeprecationWarning",)
        return ()


def make(plan: Plan, directory: Path, wheels: Mapping[Path, Path]) -> Environment:
    """Makes an environment and installs the projects, what they require and the tools.

    Raises:
        AssertionError: Something cannot be installed, or does not fit together.
    """
    constraints = directory.with_suffix(".txt")
    constraints.write_text("\n".join((*plan.constraints, "")))
    resolution = "lowest-direct" if plan.lowest else "highest"
    into = ("--quiet", "--python", str(directory))
    install = (UV, "pip", "install", *into, "--only-binary", ":all:")
    # Named beside the wheels, for the lowest version is that of what is asked for directly.
    required: list[str | Path] = []
    for project in plan.projects:
        required += ("--requirement", project / "pyproject.toml")
    for extra in plan.extras:
        required += ("--extra", extra)
    built = [wheels[project] for project in plan.projects]
    run(UV, "venv", "--quiet", "--no-python-downloads", "--python", plan.python, directory)
    run(*install, *required, *built, "--resolution", resolution, "--constraints", constraints)
    run(*install, *(f"{name}=={version(name)}" for name in _TOOLS))
    run(UV, "pip", "check", *into)
    return Environment(plan, directory)


def build(project: Path, directory: Path, *kinds: str) -> Sequence[Path]:
    """A distribution as it would be published, without asking an index; by name.

    Args:
        project: Where its pyproject.toml is.
        directory: For what is built.
        kinds: Such as ``--wheel``; else the source distribution, and the wheel out of that.
    """
    how = ("--quiet", "--no-build-isolation", "--python", sys.executable)
    run(UV, "build", *how, *kinds, "--out-dir", directory, project)
    return sorted((*directory.glob("*.whl"), *directory.glob("*.tar.gz")))


def run(*command: str | Path, directory: Path | None = None, timeout_s: float = _INSTALL_S) -> str:
    """What a program prints.

    Raises:
        AssertionError: It fails; says what it printed at its end.
    """
    # Nothing of the environment that this runs in.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "VIRTUAL_ENV") and not name.startswith("PYTEST_")
    }
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=timeout_s
    )
    said = (done.stdout + done.stderr)[-_OUTPUT_MAX:]
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{said}"
    return done.stdout
