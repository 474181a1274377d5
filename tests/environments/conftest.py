"""The environments, and what they turned out to be, in the summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.environments.environment import (
    CLIENT,
    SYNC,
    Environment,
    Plan,
    build,
    make,
    plans,
    sync_plans,
)
from tests.environments.pythons import installed_pythons, missing_pythons, text
from tests.environments.stage import Stage, serving

_PYTHONS = installed_pythons()


def _each(plans: Iterator[Plan]) -> list[ParameterSet]:
    """As parameters; what belongs to one environment runs in one process."""
    return [
        pytest.param(plan, id=plan.name, marks=pytest.mark.xdist_group(plan.name)) for plan in plans
    ]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Path, Path]:
    """Client and sync tasks, built; by their folders."""
    built = {}
    for project in (CLIENT, SYNC):
        (built[project],) = build(project, tmp_path_factory.mktemp("wheel"), "--wheel")
    return built


@pytest.fixture(scope="session", params=_each(plans(_PYTHONS)))
def environment(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    wheels: Mapping[Path, Path],
) -> Environment:
    """Each of the client's."""
    plan: Plan = request.param
    return make(plan, tmp_path_factory.mktemp(plan.name) / "venv", wheels)


@pytest.fixture(scope="session", params=_each(sync_plans(_PYTHONS)))
def sync_environment(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    wheels: Mapping[Path, Path],
) -> Environment:
    """Each of those of sync tasks."""
    plan: Plan = request.param
    return make(plan, tmp_path_factory.mktemp(plan.name) / "venv", wheels)


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
