"""The catalogue on DuckDB: the only module that imports it.

DuckDB lets one process write, so the service owns the file. A commit is durable when it returns
(DuckDB syncs its write-ahead log). Statements live in ``queries.sql``,
those of tables that are a subject of their own beside it.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from cachesvc.errors import DamagedFile, StoreFormatUnsupported, StoreUnwritable
from cachesvc.model import (
    GapPolicy,
    Mode,
    PartitionId,
)
from cachesvc.store.drop_tables import DropTables
from cachesvc.store.entry_tables import EntryTables
from cachesvc.store.epoch_tables import EpochTables
from cachesvc.store.incarnation_tables import ClusterTables, IncarnationTables
from cachesvc.store.manifest_tables import ManifestTables
from cachesvc.store.mining_tables import MiningTables
from cachesvc.store.model_tables import ModelTables
from cachesvc.store.ports import (
    JOB_RUNS_MAX,
    ConnectionRecord,
    JobRunRecord,
    PositionCommit,
    SubscriptionRecord,
)
from cachesvc.store.record_schema import FORMAT_VERSION
from cachesvc.store.snapshot_tables import SnapshotTables
from cachesvc.store.statements import load_statements
from cachesvc.store.stores_tables import StoresTables
from cachesvc.store.trouble_tables import TroubleTables
from cachesvc.store.watching_tables import AlarmTables, CountTables

_ROWS_AT_ONCE = 10_000
_QUERIES = load_statements(
    "queries.sql", "models.sql", "snapshots.sql", "watching.sql", "drops.sql", "stores.sql"
)


class DuckDBCatalogue(ManifestTables, MiningTables, IncarnationTables, EntryTables):
    """``ports.Catalogue`` in one DuckDB file; see there for the contract.

    Raises:
        StoreFormatUnsupported: The catalogue has a newer format; nothing is changed.
        DamagedFile: The file is no DuckDB database, or a damaged one; it is left as it is.
    """

    def __init__(self, path: Path) -> None:
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": 1,
            "memory_limit": "256MB",
        }
        try:
            self._connection = duckdb.connect(str(path), config=config)
        except duckdb.Error as error:
            raise _unreadable(path, error) from error
        try:
            self._prepare(path)
            self._verify()
        except duckdb.Error as error:
            self._connection.close()
            raise _unreadable(path, error) from error
        except StoreFormatUnsupported:
            self._connection.close()
            raise
        # A connection refuses a call while another one is under way.
        self._copying = self._connection.cursor()
        self._copies = threading.Lock()
        self.clusters = ClusterTables(self._run)
        self.leader_epochs = EpochTables(self._run, self._with_table)
        self.troubles = TroubleTables(self._run, self._transaction)
        self.models = ModelTables(self._run, self._transaction, self._with_table)
        self.snapshots = SnapshotTables(self._run, self._transaction)
        self.counts = CountTables(self._run, self._transaction, self._with_table)
        self.alarms = AlarmTables(self._run, self._transaction)
        self.drops = DropTables(self._run, self._transaction)
        self.stores = StoresTables(self._run, self._transaction)

    def _prepare(self, path: Path) -> None:
        execute = self._connection.execute
        if execute("select count(*) from duckdb_tables()").fetchall() == [(0,)]:
            self._connection.begin()
            execute(_QUERIES["create_schema"])
            execute(_QUERIES["insert_meta"], [FORMAT_VERSION, time.time_ns() // 1_000_000])
            self._connection.commit()
        versions = execute(_QUERIES["get_meta"]).fetchall()
        if len(versions) != 1:
            raise duckdb.Error("it does not tell its format version")
        version = versions[0][0]
        if version > FORMAT_VERSION:
            raise StoreFormatUnsupported(
                f"{path} has store format {version}, this version of cachesvc reads up to "
                f"{FORMAT_VERSION}. Install the version that wrote it, or a newer one; nothing "
                "was changed",
                metadata={"path": path, "format_version": version},
            )
        execute(_QUERIES["create_schema"])

    def _verify(self) -> None:
        """Reads every row, which verifies every checksum: damage is told now rather than later."""
        for (table,) in self._connection.execute(_QUERIES["list_tables"]).fetchall():
            rows = self._connection.execute(f"from {_quoted(table, chr(34))}")
            while rows.fetchmany(_ROWS_AT_ONCE):
                pass

    def _run(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        with _failures():
            return self._connection.execute(_QUERIES[query], list(parameters)).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _failures():
            self._connection.begin()
        try:
            yield
        except BaseException:
            with _failures():
                self._connection.rollback()
            raise
        with _failures():
            self._connection.commit()

    # Subscriptions

    def list_subscriptions(self) -> list[SubscriptionRecord]:
        return [
            SubscriptionRecord(
                name,
                connection,
                tuple(topics),
                expression,
                Mode(mode),
                epoch,
                full_sync_done,
                created_ms,
                committed_ms,
                GapPolicy(policy),
            )
            for (
                name,
                connection,
                topics,
                expression,
                mode,
                epoch,
                full_sync_done,
                created_ms,
                committed_ms,
                policy,
            ) in self._run("list_subscriptions")
        ]

    def list_positions(self) -> dict[str, dict[PartitionId, int]]:
        found: dict[str, dict[PartitionId, int]] = {}
        for name, *identity, offset in self._run("list_positions"):
            found.setdefault(name, {})[PartitionId(*identity)] = offset
        return found

    def put_subscription(
        self,
        subscription: SubscriptionRecord,
        positions: Mapping[PartitionId, int] | None = None,
        *,
        drop_positions: bool = False,
    ) -> None:
        with self._transaction():
            self._run(
                "put_subscription",
                subscription.name,
                subscription.connection,
                list(subscription.topics),
                subscription.topic_expression,
                int(subscription.mode),
                subscription.epoch,
                subscription.full_sync_done,
                subscription.created_ms,
                subscription.committed_ms,
                int(subscription.gap_policy),
            )
            if drop_positions:
                self._run("delete_positions", subscription.name)
            if positions:
                self._put_positions({subscription.name: positions})

    def delete_subscription(self, name: str) -> None:
        with self._transaction():
            self._run("note_deleted_epoch", name)
            self._run("delete_positions", name)
            self._run("delete_subscription", name)

    def deleted_epoch(self) -> int:
        rows = self._run("get_deleted_epoch")
        return int(rows[0][0]) if rows else 0

    def commit_positions(self, commits: Sequence[PositionCommit]) -> None:
        merged: dict[str, dict[PartitionId, int]] = {}
        marks: dict[str, tuple[int, bool]] = {}
        for commit in commits:
            merged.setdefault(commit.subscription, {}).update(commit.positions)
            if commit.committed_ms is not None:
                done = commit.full_sync_done or marks.get(commit.subscription, (0, False))[1]
                marks[commit.subscription] = (commit.committed_ms, done)
        with self._transaction():
            self._put_positions(merged)
            if marks:
                self._with_table(
                    "new_commits",
                    pa.table(
                        {
                            "subscription": list(marks),
                            "committed_ms": [mark[0] for mark in marks.values()],
                            "full_sync_done": [mark[1] for mark in marks.values()],
                        }
                    ),
                    "mark_committed",
                )

    def _put_positions(self, positions: Mapping[str, Mapping[PartitionId, int]]) -> None:
        rows = [
            (name, partition.topic, partition.incarnation, partition.partition, offset)
            for name, by_partition in positions.items()
            for partition, offset in by_partition.items()
        ]
        if not rows:
            return
        names = ["subscription", "topic", "incarnation", "partition", "offset"]
        columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        self._with_table("new_positions", pa.table(columns), "put_positions")

    def _with_table(self, name: str, table: pa.Table, query: str) -> list[tuple[Any, ...]]:
        self._connection.register(name, table)
        try:
            return self._run(query)
        finally:
            self._connection.unregister(name)

    # Jobs

    def add_job_run(self, run: JobRunRecord) -> None:
        counts = json.dumps(dict(run.counts), sort_keys=True)
        with self._transaction():
            self._run(
                "insert_job_run",
                run.name,
                run.started_ms,
                run.ended_ms,
                run.succeeded,
                run.error,
                counts,
            )
            self._run("trim_job_runs", JOB_RUNS_MAX)

    def list_job_runs(self, name: str, limit: int) -> list[JobRunRecord]:
        rows = self._run("list_job_runs", name, limit)
        return [
            JobRunRecord(job, started_ms, ended_ms, succeeded, error, json.loads(counts))
            for job, started_ms, ended_ms, succeeded, error, counts in rows
        ]

    def list_paused_jobs(self) -> set[str]:
        return {name for (name,) in self._run("list_paused_jobs")}

    def set_job_paused(self, name: str, *, paused: bool) -> None:
        self._run("pause_job" if paused else "resume_job", name)

    # Connections

    def list_connections(self) -> list[ConnectionRecord]:
        return [ConnectionRecord(*row) for row in self._run("list_connections")]

    def put_connection(self, connection: ConnectionRecord) -> None:
        self._run("put_connection", *astuple(connection))

    def delete_connection(self, name: str) -> None:
        self._run("delete_connection", name)

    def copy_to(self, path: Path) -> None:
        execute = self._copying.execute
        attach, copy = (_QUERIES[each] for each in ("attach_copy", "copy_all"))
        with self._copies, _failures():
            for each in (path, path.with_name(path.name + ".wal")):
                each.unlink(missing_ok=True)
            ((name,),) = execute(_QUERIES["get_database"]).fetchall()
            execute(attach.replace("$path", _quoted(str(path), "'")))
            try:
                execute(copy.replace("$name", _quoted(name, '"')))
            finally:
                execute(_QUERIES["detach_copy"])

    def close(self) -> None:
        with self._copies:
            self._copying.close()
            self._connection.close()


def _quoted(text: str, mark: str) -> str:
    """A name or a text for a statement that takes no parameters."""
    return f"{mark}{text.replace(mark, mark * 2)}{mark}"


def _unreadable(path: Path, error: duckdb.Error) -> DamagedFile:
    return DamagedFile(
        f"{path} cannot be opened as a DuckDB catalogue: {error}. It was left as it is; "
        "`cachesvc store rebuild` makes it anew from the store's files",
        metadata={"path": path},
    )


@contextmanager
def _failures() -> Iterator[None]:
    """Names what DuckDB raises, so that callers need not know it: a full disk, most likely."""
    try:
        yield
    except duckdb.Error as error:
        raise StoreUnwritable(f"the catalogue cannot be used: {error}") from error
