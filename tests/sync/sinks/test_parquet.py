import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cachesvc.client import Positions
from cachesvc.sync import (
    BatchRefused,
    Changes,
    InvalidTask,
    Sink,
    TargetFailed,
    TargetUnavailable,
    TaskContext,
)
from cachesvc.sync.sinks import files
from cachesvc.sync.sinks.parquet import PARQUET, commits
from cachesvc.sync.testing import Found, SinkSuite, SinkTarget, changes, delete, delivery, put

FIELDS = {"id": "int64", "partition": "int64", "number": "int64", "note": "string"}


def files_in(place: Path) -> list[Path]:
    return sorted(place.rglob("*.parquet"), key=lambda path: path.name)


def found_in(place: Path) -> Iterator[Found]:
    for path in files_in(place):
        for row in pq.ParquetFile(path).read().to_pylist():
            if "value" in row:
                value = row["value"] and json.loads(row["value"])
                yield Found(json.loads(row["key"])["id"], value)
            else:
                id_ = json.loads(row["_key"])["id"]
                yield Found(id_, None if row["_deleted"] else {name: row[name] for name in FIELDS})


class TestFiles(SinkSuite):
    @pytest.fixture(params=[{}, FIELDS], ids=["raw", "fields"])
    def target(self, tmp_path: Path, request: pytest.FixtureRequest) -> SinkTarget:
        place = tmp_path / "lake"
        settings = {"path": str(place), "columns": request.param, "partitions": ["topic"]}
        refused = {"id": 6, "partition": 0, "number": "no number", "note": ""}
        return SinkTarget(
            PARQUET,
            settings,
            lambda: found_in(place),
            "changes",
            refused if request.param else None,
        )


def sink_of(place: Path, task: str = "task", **settings: Any) -> Sink:
    given = msgspec.convert({"path": str(place), **settings}, PARQUET.settings)
    return PARQUET.make(given, TaskContext(task))


def write(place: Path, *pieces: Changes, **settings: Any) -> Positions | None:
    async def live() -> Positions | None:
        sink = sink_of(place, **settings)
        try:
            kept = await sink.open()
            await sink.write(delivery(*pieces))
            return kept
        finally:
            await sink.close()

    return asyncio.run(live())


def valued(*values: Mapping[str, Any]) -> Changes:
    piece = changes([put(n) for n in range(len(values))])
    columns = dict(zip(piece.rows.schema.names, piece.rows.columns, strict=True))
    columns["value"] = pa.array([json.dumps(value) for value in values], pa.string())
    return piece.with_rows(
        pa.RecordBatch.from_arrays([*columns.values()], schema=piece.rows.schema)
    )


def test_directories_by_topic_and_date_of_the_timestamp(tmp_path: Path) -> None:
    piece = changes([put(n) for n in range(3)])
    columns = dict(zip(piece.rows.schema.names, piece.rows.columns, strict=True))
    times = [datetime(2026, 11, day, 23, tzinfo=UTC) for day in (28, 29, 28)]
    columns["timestamp"] = pa.array(times, pa.timestamp("ms", tz="UTC"))
    rows = pa.RecordBatch.from_arrays([*columns.values()], schema=piece.rows.schema)
    write(tmp_path, piece.with_rows(rows))
    found = {
        str(path.parent.relative_to(tmp_path)): pq.ParquetFile(path).read()["offset"].to_pylist()
        for path in files_in(tmp_path)
    }
    assert found == {
        "topic=conformance/date=2026-11-28": [0, 2],
        "topic=conformance/date=2026-11-29": [1],
    }


def test_directories_by_a_field_whatever_it_has(tmp_path: Path) -> None:
    values: list[Mapping[str, Any]] = [{"c": "a/b"}, {"c": None}, {}, {"c": "ä="}, {"c": ".."}]
    write(tmp_path, valued(*values), partitions=["c"], columns={"c": "string"})
    names = sorted(path.parent.name for path in files_in(tmp_path))
    assert names == ["c=%C3%A4%3D", "c=..", "c=__HIVE_DEFAULT_PARTITION__", "c=a%2Fb"]


def test_a_time_makes_a_directory_of_its_date(tmp_path: Path) -> None:
    columns = {"at": "timestamp"}
    write(tmp_path, valued({"at": "2026-11-28T01:00:00+02:00"}), partitions=["at"], columns=columns)
    (path,) = files_in(tmp_path)
    assert path.parent.name == "at_date=2026-11-27"


def test_fields_get_the_types_of_their_columns(tmp_path: Path) -> None:
    types = {
        "i": "int64",
        "f": "float64",
        "b": "bool",
        "d": "date",
        "at": "timestamp",
        "n": "decimal(10,2)",
        "j": "json",
        "s": "string",
    }
    value = {
        "i": 2**63 - 1,
        "f": 0.1,
        "b": True,
        "d": "2026-11-28",
        "at": "2026-11-28T01:02:03.000004Z",
        "n": 12.34,
        "j": {"a": [1]},
        "s": "ä",
        "other": 1,
    }
    write(tmp_path, valued(value, {}, {"j": None}), partitions=[], columns=types)
    (path,) = files_in(tmp_path)
    rows = pq.ParquetFile(path).read().select(list(types)).to_pylist()
    assert rows[0] == {
        "i": 2**63 - 1,
        "f": 0.1,
        "b": True,
        "d": date(2026, 11, 28),
        "at": datetime(2026, 11, 28, 1, 2, 3, 4, tzinfo=UTC),
        "n": Decimal("12.34"),
        "j": '{"a": [1]}',
        "s": "ä",
    }
    assert rows[1:] == [dict.fromkeys(types), dict.fromkeys(types)]


@pytest.mark.parametrize(
    ("type_", "value"),
    [("int64", "x"), ("int64", 2**63), ("decimal(4,2)", 123.45), ("date", "yesterday")],
)
def test_a_field_of_another_type_is_refused(tmp_path: Path, type_: str, value: object) -> None:
    with pytest.raises(BatchRefused) as caught:
        write(tmp_path, valued({"a": 1}, {"a": value}), columns={"a": type_})
    assert caught.value.reason == "WRONG_TYPE"
    assert not files_in(tmp_path)


def test_a_delivery_that_crashed_between_its_files_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever step the crash came before, the next one begins at positions that fit the files."""
    first = [put(n, note="ab"[n % 2]) for n in range(4)]
    settings = {"partitions": ["note"], "columns": FIELDS}
    write(tmp_path, changes(first), **settings)
    steps = 0

    class Crash(BaseException):
        pass

    def crashing(real: Any, at: int) -> Any:
        def step(*given: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == at:
                raise Crash
            return real(*given)

        return step

    for at in range(1, 40):
        steps = 0
        second = [put(n, note="ab"[n % 2]) for n in range(4, 8 + at)]
        with monkeypatch.context() as patched:
            patched.setattr(os, "rename", crashing(os.rename, at))
            patched.setattr(commits, "write_durably", crashing(commits.write_durably, at))
            patched.setattr(commits, "sync_directory", crashing(files.sync_directory, at))
            # Who is killed tidies nothing up.
            patched.setattr(Path, "unlink", lambda *_, **__: None)
            try:
                write(tmp_path, changes(second), **settings)
            except Crash:
                pass
            else:
                break
        kept = write(tmp_path, changes([], next_position=1), **settings)
        assert kept is not None
        end = kept["conformance", 0].offset
        assert sorted(found.id for found in found_in(tmp_path)) == list(range(end))
        if end > 4:
            break
    assert at > 4
    assert not list(tmp_path.rglob("*.tmp"))


def test_two_processes_cannot_write_for_one_task(tmp_path: Path) -> None:
    async def story() -> None:
        one, two, other = sink_of(tmp_path), sink_of(tmp_path), sink_of(tmp_path, "other")
        await one.open()
        await other.open()
        with pytest.raises(TargetUnavailable, match="another process"):
            await two.open()
        for sink in (one, two, other):
            await sink.close()

    asyncio.run(story())


def test_a_ledger_that_does_not_read_ends_the_task(tmp_path: Path) -> None:
    write(tmp_path, changes([put(0)]))
    (tmp_path / "_cachesvc" / "task.json").write_text("{")
    with pytest.raises(TargetFailed, match=r"task\.json"):
        write(tmp_path, changes([put(1)]))


def test_changes_of_one_record_that_come_apart_are_all_there(tmp_path: Path) -> None:
    """A transform may split a record, and a refused delivery is cut at any row."""
    piece = changes([replace(put(n), offset=5) for n in range(3)])
    for row in range(3):
        write(tmp_path, piece.slice(row, row + 1))
    assert sorted(found.id for found in found_in(tmp_path)) == [0, 1, 2]


def test_deletes_stay_rows(tmp_path: Path) -> None:
    write(tmp_path, changes([put(0), delete(1, of=0)]), columns=FIELDS, partitions=[])
    (path,) = files_in(tmp_path)
    rows = pq.ParquetFile(path).read().to_pylist()
    assert [(row["_offset"], row["_deleted"], row["id"]) for row in rows] == [
        (0, False, 0),
        (1, True, None),
    ]
    assert path.name == f"task-conformance-0-1-{0:020}-{2:020}.parquet"


@pytest.mark.parametrize(
    "settings",
    [
        {"path": ""},
        {"partitions": ["colour"]},
        {"partitions": ["topic", "topic"]},
        {"columns": {"a": "integer"}},
        {"columns": {"a": "decimal(50,2)"}},
        {"columns": {"_offset": "int64"}},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidTask, match=r"sink\."):
        sink_of(tmp_path, **settings) if "path" not in settings else PARQUET.make(
            msgspec.convert(settings, PARQUET.settings), TaskContext("t")
        )
