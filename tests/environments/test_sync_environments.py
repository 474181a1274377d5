"""Sync tasks in environments of their own, without the service: lowest and newest."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow.parquet as pq
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.environments.environment import SYNC, Environment, run, sync_plans
from tests.environments.own_tests import are_as_low_as_they_say, pass_in, support_of
from tests.environments.pythons import OLDEST, SUPPORTED, text
from tests.environments.stage import TOPIC, Stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_SMOKE_S = 120.0
_MAJORS = {
    "lowest": {"duckdb": 1, "psycopg": 3, "pyarrow": 15, "protobuf": 5, "rich": 13},
    "newest": {"duckdb": 2, "psycopg": 3, "pyarrow": 26, "protobuf": 7, "rich": 15},
}
"""What makes a set what it is called; the newest may become newer."""
_PARTS = (
    "tests/sync",
    *(f"tests/client/{name}.py" for name in ("__init__", "running")),
    *(f"tests/client/fake_{name}.py" for name in ("log", "server", "session")),
    *support_of("tests/sync"),
    *(f"docs/{name}.md" for name in ("sinks", "transforms")),
)
"""Its tests, and what they use."""
_WITHOUT = ("tests/sync/sinks/kafka", "tests/sync/test_documented.py")
"""What needs the service, and what reads the sources."""
_COMMANDS = ("run", "check", "status", "pause", "resume", "stop", "dead-letters")
_KINDS = ["http", "jsonl", "kafka", "parquet", "postgres"]

_FILES = """\
name = "{name}"
[source]
service = "{service}"
topics = ["{topic}"]
mode = "FULL"
[batch]
records_max = 300
[[transforms]]
kind = "rename"
fields = {{ "é" = "letter" }}
[[transforms]]
kind = "filter"
condition = "number >= 100"
[[transforms]]
kind = "cast"
fields = {{ number = "string" }}
[[transforms]]
kind = "python"
function = "marking:marked"
directory = "."
[[transforms]]
kind = "sql"
query = '''
select record_offset, (value->>'number')::bigint as number, value->>'letter' as letter,
       (value->'marked')::boolean as marked
from batch
'''
[sink]
kind = "{kind}"
path = "{kind}"
{settings}
"""
_FUNCTION = """\
def marked(value):
    return {**value, "marked": True}
"""
_COLUMNS = 'columns = { number = "int64", letter = "string", marked = "bool" }'
_WHERE = """\
import importlib.util, json
from importlib.metadata import entry_points
import cachesvc.sync
print(json.dumps({
    "sync": cachesvc.sync.__file__,
    "service": importlib.util.find_spec("cachesvc.serving") is not None,
    "kinds": sorted(each.name for each in entry_points(group="cachesvc.sinks")),
}))
"""
_HELP = """\
import contextlib, sys
from cachesvc.sync.cli.main import app
for name in sys.argv[1:]:
    with contextlib.suppress(SystemExit):
        app([name, "--help"], prog_name="cachesvc-sync")
"""

Row: TypeAlias = tuple[int, int, str]
"""Partition, offset, and what the value says."""

PROJECT = tomllib.loads((SYNC / "pyproject.toml").read_text())["project"]


def requirements() -> list[Requirement]:
    """Of others, in the environments of this module."""
    extras = PROJECT["optional-dependencies"]
    listed = (PROJECT["dependencies"], *(extras[name] for name in ("postgres", "http", "sql")))
    found = [Requirement(each) for each in chain(*listed)]
    return [each for each in found if not each.name.startswith("cachesvc")]


def test_the_supported_pythons_are_those_that_it_names() -> None:
    named = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if ":: 3." in each]
    assert named == [text(version) for version in SUPPORTED]
    assert PROJECT["requires-python"] == f">={text(OLDEST)}"


def test_the_readme_says_where_what_it_needs_begins() -> None:
    readme = (SYNC / "README.md").read_text()
    rows = re.findall(r"^\| ([\w-]+)(?: \([^)]*\))? \| ([\d.]+) \|$", readme, re.MULTILINE)
    lowest = {
        each.name: bound.version
        for each in requirements()
        for bound in each.specifier
        if bound.operator == ">="
    }
    assert dict(rows) == {"Python": text(OLDEST), **lowest}


def test_the_lowest_set_is_for_the_oldest_python_and_the_newest_for_the_newest() -> None:
    pythons = {(3, 12): Path("a"), (3, 11): Path("b"), (3, 13): Path("c")}
    assert [(each.name, each.python, each.lowest) for each in sync_plans(pythons)] == [
        ("sync-lowest-3.11", Path("b"), True),
        ("sync-newest-3.13", Path("c"), False),
    ]


def test_what_is_installed(
    sync_environment: Environment, record_property: Callable[[str, object], None]
) -> None:
    versions = sync_environment.versions()
    name = sync_environment.plan.name
    told = {each.name: versions[each.name] for each in requirements()}
    record_property(f"environment {name}", ", ".join(map(" ".join, told.items())))
    kind = name.split("-")[1]
    for package, major in _MAJORS[kind].items():
        installed = Version(versions[package]).major
        assert installed >= major if kind == "newest" else installed == major, package


def test_the_lowest_versions_are_those_that_are_asked_for(sync_environment: Environment) -> None:
    are_as_low_as_they_say(sync_environment, requirements())


def test_its_own_tests_pass(sync_environment: Environment, tmp_path: Path) -> None:
    """The suite for sinks among them: JSON lines, Parquet, HTTP, and what is PostgreSQL's alone."""
    pass_in(sync_environment, tmp_path, _PARTS, _WITHOUT)


def test_it_is_installed_and_finds_its_sinks(sync_environment: Environment, tmp_path: Path) -> None:
    told = json.loads(run(sync_environment.python, "-c", _WHERE, directory=tmp_path))
    assert Path(told["sync"]).is_relative_to(sync_environment.directory)
    assert told["service"] is False
    assert told["kinds"] == _KINDS


def test_every_command_has_help(sync_environment: Environment, tmp_path: Path) -> None:
    said = run(sync_environment.directory / "bin" / "cachesvc-sync", "--help", directory=tmp_path)
    assert [name for name in _COMMANDS if name not in said] == []
    said = run(*_python(sync_environment), "-c", _HELP, *_COMMANDS, directory=tmp_path)
    assert re.findall(r"^Usage: cachesvc-sync (\S+)", said, re.MULTILINE) == list(_COMMANDS)


def test_a_task_fills_files(sync_environment: Environment, stage: Stage, tmp_path: Path) -> None:
    """Two tasks side by side, with transforms of every sort; checked before."""
    place = tmp_path / "tasks"
    place.mkdir()
    (place / "marking.py").write_text(_FUNCTION)
    for kind, settings in (("jsonl", 'lines = "envelope"'), ("parquet", _COLUMNS)):
        given = {"name": f"{sync_environment.plan.name}-{kind}", "service": stage.address}
        task = _FILES.format(topic=TOPIC, kind=kind, settings=settings, **given)
        (place / f"{kind}.toml").write_text(task)
    tasks = ("--json", "tasks/jsonl.toml", "tasks/parquet.toml")
    checked = json.loads(run(*_command(sync_environment, "check", *tasks), directory=tmp_path))
    assert {each["file"] for each in checked if each["passed"]} == set(tasks[1:]), checked
    made = {path.name for path in place.iterdir() if path.suffix == ""}
    assert made <= {"__pycache__"}, "check makes nothing"
    going = _command(sync_environment, "run", "--state", "state", *tasks)
    ended = json.loads(run(*going, directory=tmp_path, timeout_s=_SMOKE_S))
    assert [each["state"] for each in ended] == ["done", "done"]

    expected = sorted(_expected(stage))
    assert len(expected) > 1_000
    assert sorted(_of_lines(place / "jsonl")) == expected
    assert sorted(_of_files(place / "parquet")) == expected


def test_a_sink_of_ones_own_in_ten_lines(
    sync_environment: Environment, stage: Stage, tmp_path: Path
) -> None:
    example = (SYNC / "examples" / "own_sink.py").read_text()
    program = tmp_path / "own_sink.py"
    # The service keeps the position under the task's name, and is there for all environments.
    program.write_text(example.replace('"printing"', f'"{sync_environment.plan.name}-printing"'))
    command = (*_python(sync_environment), program, stage.address, TOPIC)
    said = run(*command, directory=tmp_path, timeout_s=_SMOKE_S)
    assert len(said.splitlines()) == len(json.loads(stage.expected.read_text()))


@pytest.mark.parametrize("lacking", ["kafka", "auto"])
def test_what_needs_the_service_says_so(
    lacking: str, sync_environment: Environment, tmp_path: Path
) -> None:
    source: dict[str, Any] = {"service": "127.0.0.1:1", "topics": [TOPIC], "mode": "FULL"}
    if lacking == "auto":
        of_auto = {"source": "auto", "positions_file": "p", "kafka": {"bootstrap_servers": ["a:1"]}}
        source |= of_auto
    sink = {"kind": "kafka"} if lacking == "kafka" else {"kind": "jsonl", "path": "-"}
    task = {"name": "orders", "source": source, "sink": sink}
    program = (
        "import cachesvc.sync as s\n"
        "try:\n"
        f"    s.Task({task!r})\n"
        "except s.InvalidTask as error:\n"
        "    print(error)\n"
    )
    said = run(*_python(sync_environment), "-c", program, directory=tmp_path)
    assert "pip install 'cachesvc-sync[kafka]'" in said


def _python(environment: Environment) -> tuple[str | Path, ...]:
    """What runs in it, with warnings as errors."""
    filters = (f"-W{each}" for each in ("error", *environment.ignored_warnings))
    return (environment.python, *filters)


def _command(environment: Environment, *options: str) -> tuple[str | Path, ...]:
    return (*_python(environment), "-m", "cachesvc.sync", *options)


def _expected(stage: Stage) -> Iterator[Row]:
    """What the transforms make of the topic: a delete of each tombstone."""
    for partition, offset, _, _, value, _ in json.loads(stage.expected.read_text()):
        if value is None:
            yield partition, offset, "{}"
            continue
        found = json.loads(value)
        if found["number"] >= 100:
            yield partition, offset, _text(found["number"], found["é"], True)


def _of_lines(place: Path) -> Iterator[Row]:
    for path in place.glob("*.jsonl"):
        for each in map(json.loads, path.read_text().splitlines()):
            assert each["deleted"] == (each["value"] is None)
            yield each["partition"], each["offset"], _text(**(each["value"] or {}))


def _of_files(place: Path) -> Iterator[Row]:
    for path in place.rglob("*.parquet"):
        for each in pq.ParquetFile(path).read().to_pylist():
            value = {name: each[name] for name in ("number", "letter", "marked")}
            yield each["_partition"], each["_offset"], _text(**({} if each["_deleted"] else value))


def _text(number: int | None = None, letter: str | None = None, marked: bool | None = None) -> str:
    return "{}" if number is None else f"{number} {letter} {marked}"
