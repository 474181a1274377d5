"""What ``cachesvc sql`` makes of an answer."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import ipc

from cachesvc.v1.sql_pb2 import RunSqlRequest, RunSqlResponse, SqlColumn, SqlSummary
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_service import FakeService

AT = datetime(2026, 1, 2, 3, 4, 5, 6_000, tzinfo=UTC)
KINDS = {
    "offset": "BIGINT",
    "key": "BLOB",
    "doc": "JSON",
    "text": "VARCHAR",
    "at": "TIMESTAMP WITH TIME ZONE",
    "list": "INTEGER[]",
}
ANSWER = pa.table(
    {
        "offset": pa.array([7, 8], pa.int64()),
        "key": pa.array([b"k\xff", None], pa.binary()),
        "doc": ['{"a": [1, null]}', None],
        "text": ['a,"b"\nü', ""],
        "at": pa.array([AT, None], pa.timestamp("us", tz="UTC")),
        "list": pa.array([[1, 2], []], pa.list_(pa.int32())),
    }
)


def responses(
    table: pa.Table, kinds: dict[str, str] | list[tuple[str, str]]
) -> list[RunSqlResponse]:
    """An answer in pieces that end anywhere."""
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data = sink.getvalue().to_pybytes()
    pairs = kinds.items() if isinstance(kinds, dict) else kinds
    columns = [SqlColumn(name=name, type=kind) for name, kind in pairs]
    return [
        RunSqlResponse(columns=columns),
        *(
            RunSqlResponse(arrow_ipc=data[begin : begin + 101])
            for begin in range(0, len(data), 101)
        ),
        RunSqlResponse(summary=SqlSummary(rows=table.num_rows, elapsed_s=0.5)),
    ]


@pytest.fixture
def answered(service: FakeService) -> FakeService:
    service.answer("RunSql", *responses(ANSWER, KINDS))
    return service


def test_the_request(run: Run, answered: FakeService) -> None:
    assert run("sql", "select 1", "--connection", "shop", "--explain").exit_code == 0
    assert answered.requests == [RunSqlRequest(sql="select 1", connection="shop", explain=True)]


def test_a_table(run: Run, answered: FakeService) -> None:
    result = run("sql", "select")
    assert result.exit_code == 0, result.output
    head, first, second = result.stdout.splitlines()
    assert head.split() == ["OFFSET", "KEY", "DOC", "TEXT", "AT", "LIST"]
    words = first.strip().split("  ")
    assert [word for word in words if word] == [
        *("7", r"k\xFF", '{"a": [1, null]}', r'a,"b"\nü'),
        *("2026-01-02 03:04:05.006+00", "[1, 2]"),
    ]
    assert second.split() == ["8", "[]"]


def test_a_table_without_rows(run: Run, service: FakeService) -> None:
    service.answer("RunSql", *responses(ANSWER.slice(0, 0), KINDS))
    result = run("sql", "select")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no rows\n")


def test_a_table_is_cut_and_says_so(run: Run, answered: FakeService) -> None:
    result = run("sql", "select", "--rows", "1")
    assert len(result.stdout.splitlines()) == 2
    assert "only the first 1 rows" in result.stderr
    assert "only" not in run("sql", "select", "--rows", "2").stderr


def test_what_is_not_shown_is_not_waited_for(run: Run, service: FakeService) -> None:
    service.answer("RunSql", *responses(ANSWER, KINDS)[:-1])
    service.hold("RunSql")
    assert run("sql", "select", "--rows", "1").exit_code == 0


def test_csv(run: Run, answered: FakeService) -> None:
    result = run("sql", "select", "--format", "csv")
    assert list(csv.reader(io.StringIO(result.stdout, newline=""))) == [
        list(KINDS),
        [
            *("7", r"k\xFF", '{"a": [1, null]}', 'a,"b"\nü'),
            *("2026-01-02 03:04:05.006+00", "[1, 2]"),
        ],
        ["8", "", "", "", "", "[]"],
    ]


@pytest.mark.parametrize("flags", [["--json"], ["--format", "json"]])
def test_json_has_json_within(run: Run, answered: FakeService, flags: list[str]) -> None:
    first, second = json.loads(run("sql", "select", *flags).stdout)
    assert first["doc"] == {"a": [1, None]}
    assert first["list"] == [1, 2]
    assert first["offset"] == 7
    nothing = dict.fromkeys(("key", "doc", "at"))
    assert second == {"offset": 8, "text": "", "list": [], **nothing}


def test_json_without_rows(run: Run, service: FakeService) -> None:
    service.answer("RunSql", *responses(ANSWER.slice(0, 0), KINDS))
    assert json.loads(run("sql", "select", "--json").stdout) == []


def test_names_that_are_there_twice_or_odd(run: Run, service: FakeService) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["it's", "it's"])
    service.answer("RunSql", *responses(table, [("it's", "INTEGER"), ("it's", "INTEGER")]))
    assert run("sql", "select", "--format", "csv").stdout.split() == ['"it\'s","it\'s"', '"1","2"']
    assert run("sql", "select", "--json").exit_code == 0


@pytest.mark.parametrize(
    ("name", "flags"), [("x.parquet", []), ("x", ["--format", "parquet"]), ("x.PARQUET", [])]
)
def test_a_file(
    run: Run, answered: FakeService, tmp_path: Path, name: str, flags: list[str]
) -> None:
    file = tmp_path / name
    result = run("sql", "select", "-o", str(file), *flags)
    assert (result.exit_code, result.stdout) == (0, ""), result.output
    assert pq.read_table(file).equals(ANSWER)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "x.txt"], "--format"),
        (["-o", "x.csv", "--format", "table"], "a table is for a terminal"),
        (["--json", "--format", "csv"], "contradict"),
        (["--rows", "0"], "--rows"),
        (["--format", "xml"], "xml"),
    ],
)
def test_wrong_usage_asks_nobody(
    run: Run, answered: FakeService, arguments: list[str], words: str
) -> None:
    result = run("sql", "select", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert answered.requests == []


def test_a_file_that_cannot_be_written_asks_nobody(
    run: Run, answered: FakeService, tmp_path: Path
) -> None:
    result = run("sql", "select", "-o", str(tmp_path / "missing" / "x.csv"))
    assert result.exit_code == 1
    assert "x.csv cannot be written: No such file" in result.stderr
    assert answered.requests == []


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.parquet"])
@pytest.mark.parametrize("kept", [0, 1, 2, -1])
def test_an_answer_that_ends_badly_leaves_no_file(
    run: Run, service: FakeService, tmp_path: Path, name: str, kept: int
) -> None:
    file = tmp_path / name
    file.write_text("before")
    service.answer("RunSql", *responses(ANSWER, KINDS)[:kept])
    result = run("sql", "select", "-o", str(file))
    assert (result.exit_code, "ends in the middle" in result.stderr) == (1, True), result.stderr
    code = grpc.StatusCode.FAILED_PRECONDITION
    service.refuse("RunSql", code, "longer than it may", "QUERY_TIME_MAX")
    result = run("sql", "select", "-o", str(file))
    assert (result.exit_code, "longer than it may" in result.stderr) == (5, True), result.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_a_table_that_ends_badly_is_not_shown(run: Run, service: FakeService) -> None:
    service.answer("RunSql", *responses(ANSWER, KINDS)[:2])
    service.refuse("RunSql", grpc.StatusCode.DATA_LOSS, "checksum", "DAMAGED_FILE")
    result = run("sql", "select")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "checksum" in result.stderr
