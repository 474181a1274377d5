"""Tests of a distribution, run by the Python of an environment."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from tests.environments.environment import ROOT, Environment, run
from tests.environments.pythons import OLDEST

_TESTS_S = 600.0
_SUPPORT = re.compile(r"^from tests\.support\.(\w+) import", re.MULTILINE)
# The profile is Hypothesis's own: the time that an example takes says more about the machine.
_INI = """\
[pytest]
addopts = --import-mode=importlib --hypothesis-profile=ci
pythonpath = .
timeout = 180
filterwarnings =
    error
"""


def pass_in(
    environment: Environment, directory: Path, parts: Iterable[str], without: Iterable[str] = ()
) -> None:
    """Runs tests in a folder in which nothing of this repository is but some parts.

    Raises:
        AssertionError: Not all of them pass.
    """
    for part in ("tests/__init__.py", *parts):
        source, target = ROOT / part, directory / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for part in without:
        target = directory / part
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    ignored = [f"    {each}" for each in environment.ignored_warnings]
    (directory / "pytest.ini").write_text(_INI + "\n".join((*ignored, "")))
    command = (environment.python, "-m", "pytest", "-q", "tests")
    said = run(*command, directory=directory, timeout_s=_TESTS_S)
    assert re.fullmatch(r"\d+ passed in .*", said.splitlines()[-1]), said[-2_000:]


def support_of(part: str) -> list[str]:
    """The modules of tests/support that the tests of a folder ask for, and those these ask for."""
    folder, found = ROOT / "tests" / "support", {"__init__"}
    left = list((ROOT / part).rglob("*.py"))
    while left:
        asked = set(_SUPPORT.findall(left.pop().read_text())) - found
        found |= asked
        left += [folder / f"{name}.py" for name in asked]
    return [f"tests/support/{name}.py" for name in sorted(found)]


def are_as_low_as_they_say(environment: Environment, requirements: Iterable[Requirement]) -> None:
    """Where the oldest Python is; on newer ones what began with them is the lowest there is.

    Raises:
        AssertionError: Something else is installed than the lowest versions, in a lowest set; or
            something below them.
    """
    versions = environment.versions()
    for each in requirements:
        bounds = {bound.operator: Version(bound.version) for bound in each.specifier}
        lowest, installed = bounds[">="], Version(versions[each.name])
        if environment.plan.lowest and environment.plan.python_version == OLDEST:
            assert installed == lowest, each.name
        assert installed >= lowest, each.name
