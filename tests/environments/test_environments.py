"""The client in environments of its own: lowest, newest and a set between, on every Python."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.environments.environment import CLIENT, ROOT, Environment, plans, run
from tests.environments.own_tests import are_as_low_as_they_say, pass_in, support_of
from tests.environments.pythons import OLDEST, SUPPORTED, text
from tests.environments.smoke import FORMS
from tests.environments.stage import TOPIC, Stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_SMOKE_S = 120.0
_MAJORS = {
    "lowest": {"protobuf": 5, "grpcio": 1, "pandas": 2, "polars": 1},
    "between": {"protobuf": 6, "grpcio": 1, "numpy": 2, "pandas": 2, "polars": 1},
    "newest": {"protobuf": 7, "grpcio": 1, "numpy": 2, "pandas": 3, "polars": 2},
}
"""What makes a set what it is called; the newest may become newer."""

PROJECT = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(each) for listed in (PROJECT["dependencies"], *extras) for each in listed]


def test_the_supported_pythons_are_those_that_the_client_names() -> None:
    named = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if ":: 3." in each]
    assert named == [text(version) for version in SUPPORTED]
    assert PROJECT["requires-python"] == f">={text(OLDEST)}"


def test_the_client_says_where_what_it_needs_begins_and_not_where_it_ends() -> None:
    assert [
        str(each)
        for each in requirements()
        if [specifier.operator for specifier in each.specifier] != [">="]
    ] == []


def test_the_readme_says_where_that_is() -> None:
    readme = (CLIENT / "README.md").read_text()
    rows = re.findall(r"^\| ([\w-]+)(?: \(optional\))? \| ([\d.]+) \|$", readme, re.MULTILINE)
    said = {f"{name}>={version}" for name, version in rows if name != "Python"}
    assert said == {str(each) for each in requirements()}
    assert ("Python", text(OLDEST)) in rows


def test_every_python_gets_the_lowest_and_the_newest_set() -> None:
    pythons = {(3, 12): Path("a"), (3, 11): Path("b")}
    assert [(each.name, each.python, each.lowest) for each in plans(pythons)] == [
        ("lowest-3.12", Path("a"), True),
        ("newest-3.12", Path("a"), False),
        ("between-3.12", Path("a"), False),
        ("lowest-3.11", Path("b"), True),
        ("newest-3.11", Path("b"), False),
    ]


def test_what_is_installed(
    environment: Environment, record_property: Callable[[str, object], None]
) -> None:
    versions = environment.versions()
    name = environment.plan.name
    told = {each.name: versions[each.name] for each in requirements()}
    record_property(f"environment {name}", ", ".join(map(" ".join, told.items())))
    kind, _, _ = name.partition("-")
    for package, major in _MAJORS[kind].items():
        installed = Version(versions[package]).major
        assert installed >= major if kind == "newest" else installed == major, package


def test_the_lowest_versions_are_those_that_are_asked_for(environment: Environment) -> None:
    are_as_low_as_they_say(environment, requirements())


def test_the_clients_own_tests_pass(environment: Environment, tmp_path: Path) -> None:
    parts = ("tests/client", "clients/python/examples", *support_of("tests/client"))
    pass_in(environment, tmp_path, parts)


def test_a_task_reads_in_every_form_and_goes_on_where_it_committed(
    environment: Environment, stage: Stage, tmp_path: Path
) -> None:
    program = shutil.copy(ROOT / "tests" / "environments" / "smoke.py", tmp_path)
    filters = (f"-W{each}" for each in ("error", *environment.ignored_warnings))
    arguments = (stage.address, TOPIC, stage.expected, environment.plan.name)
    command = (environment.python, *filters, program, *arguments)
    said = run(*command, directory=tmp_path, timeout_s=_SMOKE_S)
    told = json.loads(said)
    records = len(json.loads(stage.expected.read_text()))
    assert told["counts"] == dict.fromkeys(FORMS, records)
    assert Path(told["client"]).is_relative_to(environment.directory)
    assert told["service"] is False
