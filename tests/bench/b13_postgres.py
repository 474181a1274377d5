"""B13p: how fast a sync task fills a table, compared with the same rows copied from a file."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from tests.bench.digest import Json
from tests.bench.report import Figure, Side, Target, ratio
from tests.bench.service import Service
from tests.bench.stage import PARTITIONS, Stage, in_turn
from tests.support.flights import flights
from tests.support.postgres import PASSWORD, PostgresServer
from tests.support.writing import RecordWriter

_TARGET = Target("at least", 0.5, 0.8)
_UNIT = "rows/s"
_TABLE, _KEY = "flights", "id"
_CHANGED = "distance"
_TEXTS = ("carrier", "tailnum", "origin", "dest")
_SETTINGS = {"shared_buffers": "256MB"}
# What docs/sinks.md says of larger deliveries.
_BATCH = {"records_max": 100_000, "bytes_max": 128 << 20, "wait_s_max": 0.05}
_PASSWORD_ENV = "BENCH_PASSWORD"


def measure(stage: Stage) -> list[Figure]:
    """A cached topic's rows: into an empty table, over rows that differ, and over equal ones."""
    records = stage.options.records
    copied: list[float] = []
    filled: list[float] = []
    updated: list[float] = []
    repeated: list[float] = []
    merged: list[float] = []
    with (
        _prepared(stage, records) as (topic, file, columns),
        PostgresServer(_SETTINGS) as server,
        stage.service("b13p") as service,
        stage.workers("tables") as (worker,),
    ):
        service.mine(topic, records, stage.patience_s(records))
        side = _Side(stage, server, columns, records)
        for run in stage.runs("B13p"):

            def copy() -> None:
                side.begin()
                job = {"dsn": f"{server.dsn} password={PASSWORD}", "file": str(file)}
                answer = worker.run("copy", {**job, "table": _TABLE}, side.patience_s)
                copied.append(side.end("COPY", answer))

            def fill(run: int = run) -> None:
                side.begin()
                for label, speeds in (("new", filled), ("changed", updated), ("equal", repeated)):
                    if label == "changed":
                        side.change()
                    job = _task(service, topic, server, f"b13-{run}-{label}")
                    answer = worker.run("sync", job, side.patience_s)
                    speeds.append(side.end(f"task, rows {label}", answer))

            def merge() -> None:
                side.begin()
                job: Json = {"dsn": f"{server.dsn} password={PASSWORD}", "file": str(file)}
                job |= {"table": _TABLE, "key": _KEY, "columns": list(columns)}
                worker.run("copy", job, side.patience_s)
                side.change()
                merged.append(side.end("merged", worker.run("upsert", job, side.patience_s)))

            in_turn(run, copy, fill, merge)
    under = Side("COPY from a file", _UNIT, tuple(copied))
    note = "the table has a primary key and is empty before; to the task every row is an upsert; "
    note += f"deliveries of {_BATCH['records_max']:,} rows"
    rows = Side("sync task", _UNIT, tuple(filled))
    over = Side("sync task", _UNIT, tuple(updated))
    again = "every row is there, differs and is updated; COPY is that into an empty table"
    hand = Side("COPY and a merge", _UNIT, tuple(merged))
    by_hand = "the same updates by hand: COPY into a table beside, and on conflict do update"
    equal = Side("sync task", _UNIT, tuple(repeated))
    same = "every row is there as it comes, as after a reset; COPY is that into an empty table"
    return [
        ratio("B13p", "cache to PostgreSQL", rows, under, _TARGET, [note]),
        ratio("B13u", "cache to PostgreSQL, updates", over, under, None, [again]),
        ratio("B13h", "cache to PostgreSQL, updates", over, hand, None, [by_hand]),
        ratio("B13e", "cache to PostgreSQL, equal rows", equal, under, None, [same]),
    ]


class _Side:
    """The table before and after a side has filled it.

    Args:
        stage: For checks.
        server: Where it is.
        columns: Names and types.
        records: How many rows it has to have.
    """

    def __init__(
        self, stage: Stage, server: PostgresServer, columns: dict[str, str], records: int
    ) -> None:
        self._stage = stage
        self._server = server
        self._columns = ", ".join(f"{name} {type_}" for name, type_ in columns.items())
        self._names = tuple(columns)
        self._records = records
        self._truth: object = None
        self.patience_s = stage.patience_s(records)

    def begin(self) -> None:
        """Makes the table anew, and lets no side pay for what the one before has left to do."""
        self._server.run(f"drop table if exists {_TABLE}")
        self._server.run(f"create table {_TABLE} ({self._columns}, primary key ({_KEY}))")
        self._server.run("checkpoint")

    def change(self) -> None:
        """Has every row differ from what comes, in a table that is as if it had been filled so."""
        values = (f"{name} + 1 as {name}" if name == _CHANGED else name for name in self._names)
        self._server.run(f"create table before as select {', '.join(values)} from {_TABLE}")
        self.begin()
        self._server.run(f"insert into {_TABLE} select * from before")
        self._server.run("drop table before")
        self._server.run("checkpoint")

    def end(self, name: str, answer: Json) -> float:
        """Checks the table; rows per second."""
        sums = "count(*), sum(hashtextextended(t::text, 0)::numeric)"
        found = self._server.run(f"select {sums} from {_TABLE} t")
        self._truth = self._truth or found
        good = found == self._truth and found[0][0] == self._records
        self._stage.check(f"B13p, {name}: rows", good, f"{found} instead of {self._truth}")
        self._server.run("checkpoint")
        return self._records / float(answer["seconds"])


def _task(service: Service, topic: str, server: PostgresServer, name: str) -> Json:
    source = {"service": service.target, "topics": [topic], "mode": "FULL"}
    sink = {
        "kind": "postgres",
        "conninfo": server.dsn,
        "password_env": _PASSWORD_ENV,
        "table": _TABLE,
    }
    task = {"name": name, "source": source, "sink": sink, "batch": _BATCH}
    return {"task": task, "password_env": _PASSWORD_ENV, "password": PASSWORD}


@contextlib.contextmanager
def _prepared(stage: Stage, records: int) -> Iterator[tuple[str, Path, dict[str, str]]]:
    """A topic of flights as plain rows, the same as a file for COPY, and the table's columns."""
    stage.say("loading rows")
    with stage.empty_topic() as topic, stage.scratch("rows.copy") as file:
        columns = _columns(next(flights(1))[1])
        writer = RecordWriter(stage.bootstrap, "zstd")
        with file.open("w") as output:
            for number, (key, event) in enumerate(flights(records)):
                row = _row(event)
                writer.write(topic, row, key, number % PARTITIONS)
                values = ["\\N" if each is None else str(each) for each in json.loads(row).values()]
                output.write("\t".join(values) + "\n")
        writer.flush(300.0)
        yield topic, file, columns


def _row(event: bytes) -> bytes:
    """``after`` of an event, byte for byte."""
    return event[event.index(b'"after":') + len(b'"after":') : -1]


def _columns(event: bytes) -> dict[str, str]:
    names = dict.fromkeys(json.loads(_row(event)), "int")
    return {**names, **dict.fromkeys(_TEXTS, "text"), "id": "bigint", "time_hour": "timestamptz"}
