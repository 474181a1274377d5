"""The catalogue's tables of snapshots, on DuckDB."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cachesvc.model import PartitionId, Segment, Snapshot
from cachesvc.store.execution import Tables
from cachesvc.store.incarnation_tables import key_of
from cachesvc.store.snapshot_port import SnapshotRead


class SnapshotTables(Tables):
    """``snapshot_port.Snapshots``."""

    def list(self) -> list[Snapshot]:
        return [_snapshot(row) for row in self._run("list_snapshots")]

    def replace(self, removed: Sequence[Snapshot], added: Sequence[Snapshot], now_ms: int) -> None:
        with self._transaction():
            for snapshot in removed:
                file = snapshot.file
                if self._run("delete_snapshot", file.path):
                    self._run("insert_retired", file.path, now_ms, file.store, file.bytes)
            for snapshot in added:
                self._run("insert_snapshot", *_row(snapshot))

    def list_reads(self) -> dict[str, dict[PartitionId, SnapshotRead]]:
        found: dict[str, dict[PartitionId, SnapshotRead]] = {}
        for subscription, *identity, path, recovers in self._run("list_snapshot_reads"):
            read = SnapshotRead(path, recovers)
            found.setdefault(subscription, {})[PartitionId(*identity)] = read
        return found

    def put_reads(self, subscription: str, reads: Mapping[PartitionId, SnapshotRead]) -> None:
        with self._transaction():
            for partition, read in reads.items():
                key = subscription, *key_of(partition)
                self._run("put_snapshot_read", *key, read.path, read.recovers)

    def forget_reads(self, subscription: str, partitions: Collection[PartitionId]) -> None:
        with self._transaction():
            for partition in partitions:
                self._run("forget_snapshot_read", subscription, *key_of(partition))


def _row(snapshot: Snapshot) -> tuple[object, ...]:
    file = snapshot.file
    return (
        *key_of(file.partition),
        file.base_offset,
        file.end_offset,
        snapshot.complete_from_offset,
        file.record_count,
        snapshot.read_count,
        file.bytes,
        file.min_timestamp_ms,
        file.max_timestamp_ms,
        file.created_ms,
        file.path,
        file.store,
    )


def _snapshot(row: Sequence[Any]) -> Snapshot:
    base, end, complete_from, records, read, size, oldest, newest, created_ms, path, store = row[4:]
    file = Segment(
        partition=PartitionId(*row[:4]),
        base_offset=base,
        end_offset=end,
        record_count=records,
        bytes=size,
        min_timestamp_ms=oldest,
        max_timestamp_ms=newest,
        created_ms=created_ms,
        level=0,
        path=path,
        store=store,
    )
    return Snapshot(file, complete_from, read)
