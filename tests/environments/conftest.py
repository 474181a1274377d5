"""The environments, and what they turned out to be, in the summary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environments.environment import Environment, Plan, build_wheel, make, plans
from tests.environments.pythons import installed_pythons, missing_pythons, text
from tests.environments.stage import Stage, serving

_PYTHONS = installed_pythons()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client, built."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(plan, id=plan.name, marks=pytest.mark.xdist_group(plan.name))
        for plan in plans(_PYTHONS)
    ],
)
def environment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, wheel: Path
) -> Environment:
    """Each of them."""
    plan: Plan = request.param
    return make(plan, tmp_path_factory.mktemp(plan.name) / "venv", wheel)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The service, for all of them."""
    with serving(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.getreports("passed")
    found = sorted(
        f"{name}: {value}"
        for report in reports
        for name, value in report.user_properties
        if name.startswith("environment ")
    )
    if found:
        for line in found:
            terminalreporter.write_line(line)
        there = ", ".join(f"{text(version)} ({path})" for version, path in _PYTHONS.items())
        missing = ", ".join(map(text, missing_pythons(_PYTHONS))) or "none"
        terminalreporter.write_line(f"Pythons that were there: {there}; not there: {missing}")
