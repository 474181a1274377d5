"""The catalogue on DuckDB.

DuckDB lets one process write, so the service owns the file. A commit is durable when it returns
(DuckDB syncs its write-ahead log, and commits of positions go to a log of their own). Every other
change is in a file beside it as well, for a rebuild. Statements live in ``queries.sql``, those of
tables that are a subject of their own beside it.
"""

import json
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path

import duckdb

from cachesvc.errors import DamagedFile, StoreFormatUnsupported, StoreUnwritable
from cachesvc.store import layout
from cachesvc.store.access_tables import AccessTables
from cachesvc.store.audit_tables import AuditTables
from cachesvc.store.change_log import Change, ChangeLog
from cachesvc.store.drop_tables import DropTables
from cachesvc.store.entry_tables import EntryTables
from cachesvc.store.epoch_tables import EpochTables
from cachesvc.store.execution import Execution, failures
from cachesvc.store.incarnation_tables import ClusterTables, IncarnationTables
from cachesvc.store.maker_tables import MakerTables
from cachesvc.store.manifest_tables import ManifestTables
from cachesvc.store.mining_tables import MiningTables
from cachesvc.store.model_tables import ModelTables
from cachesvc.store.ports import (
    JOB_RUNS_MAX,
    ConnectionRecord,
    JobRunRecord,
)
from cachesvc.store.position_log import PositionLog
from cachesvc.store.record_schema import FORMAT_VERSION
from cachesvc.store.snapshot_tables import SnapshotTables
from cachesvc.store.statements import load_statements
from cachesvc.store.stores_tables import StoresTables
from cachesvc.store.subscription_tables import SubscriptionTables
from cachesvc.store.trouble_tables import TroubleTables
from cachesvc.store.watching_tables import AlarmTables, CountTables

_ROWS_AT_ONCE = 10_000
_OF_STATEMENTS = (duckdb.ProgrammingError, duckdb.DataError, duckdb.IntegrityError)
"""Errors that a statement has every time."""
_log = logging.getLogger(__name__)
_QUERIES = load_statements(
    "queries.sql",
    "models.sql",
    "snapshots.sql",
    "watching.sql",
    "drops.sql",
    "stores.sql",
    "audit.sql",
    "access.sql",
)


class DuckDBCatalogue(
    ManifestTables, MiningTables, IncarnationTables, EntryTables, SubscriptionTables
):
    """``ports.Catalogue`` in one DuckDB file; see there for the contract.

    Args:
        path: The file; made if there is none.
        log_changes: Whether files beside it get every change, as ``change_log`` says.

    Raises:
        StoreFormatUnsupported: The catalogue has a newer format; nothing is changed.
        DamagedFile: The file is no DuckDB database, or a damaged one; it is left as it is.
    """

    def __init__(self, path: Path, *, log_changes: bool = False) -> None:
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
        self._position_log = PositionLog(path.with_name(path.name + layout.POSITIONS_SUFFIX))
        # A connection refuses a call while another one is under way.
        self._copying = self._connection.cursor()
        self._copies = threading.Lock()
        execution = Execution(self._connection, _QUERIES)
        super().__init__(execution)
        self.clusters = ClusterTables(execution)
        self.leader_epochs = EpochTables(execution)
        self.troubles = TroubleTables(execution)
        self.models = ModelTables(execution)
        self.snapshots = SnapshotTables(execution)
        self.counts = CountTables(execution)
        self.alarms = AlarmTables(execution)
        self.drops = DropTables(execution)
        self.stores = StoresTables(execution)
        self.makers = MakerTables(execution)
        self.access = AccessTables(execution)
        self.audit = AuditTables(execution)
        self._execution = execution
        if log_changes:
            execution.changes = ChangeLog(path, execution.change_number())

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
        with self._copies, failures():
            for each in (path, path.with_name(path.name + ".wal")):
                each.unlink(missing_ok=True)
            ((name,),) = execute(_QUERIES["get_database"]).fetchall()
            execute(attach.replace("$path", _quoted(str(path), "'")))
            try:
                execute(copy.replace("$name", _quoted(name, '"')))
            finally:
                execute(_QUERIES["detach_copy"])

    def part_changes(self) -> int:
        changes = self._execution.changes
        return self._execution.change_number() if changes is None else changes.part()

    def forget_changes(self, number: int) -> None:
        if self._execution.changes is not None:
            self._execution.changes.forget(number)

    def repeat(self, changes: Sequence[Change]) -> int:
        """Changes what was changed after this was copied; how many of them it takes, in order.

        It stops at the first that it does not take.

        Raises:
            StoreUnwritable: The disk does not take one.
        """
        for done, change in enumerate(changes):
            try:
                self._execution.repeat(change)
            except StoreUnwritable as error:
                if not isinstance(error.__cause__, _OF_STATEMENTS):
                    raise
                _log.error(
                    "a change of the catalogue cannot be made again, nor those behind it",
                    extra={
                        "event": "change_not_repeated",
                        "number": change.number,
                        "error": str(error),
                    },
                )
                return done
        return len(changes)

    def change_number(self) -> int:
        """Of the last change that it has."""
        return self._execution.change_number()

    def skip_change_number(self) -> None:
        """Parts what was changed so far from what will be: no copy from before gets that."""
        self._execution.put_change_number(self.change_number() + 1)

    def close(self) -> None:
        with suppress(StoreUnwritable):  # then the file beside it has it
            self.settle()
        self._position_log.close()
        if self._execution.changes is not None:
            self._execution.changes.close()
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
