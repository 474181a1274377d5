"""Snapshots in a catalogue without files."""

from collections.abc import Collection, Mapping, Sequence

from cachesvc.model import PartitionId, Snapshot
from cachesvc.store.ports import RetiredFile
from cachesvc.store.snapshot_port import SnapshotRead


class MemorySnapshots:
    """``snapshot_port.Snapshots`` in dictionaries.

    Args:
        retired: Of the catalogue; gets the files of what is replaced.
    """

    def __init__(self, retired: dict[str, RetiredFile]) -> None:
        self._retired = retired
        self._snapshots: dict[str, Snapshot] = {}
        self._reads: dict[str, dict[PartitionId, SnapshotRead]] = {}

    def list(self) -> list[Snapshot]:
        return sorted(
            self._snapshots.values(),
            key=lambda each: (each.partition, each.end_offset, each.file.path),
        )

    def replace(self, removed: Sequence[Snapshot], added: Sequence[Snapshot], now_ms: int) -> None:
        for snapshot in removed:
            path = snapshot.file.path
            if self._snapshots.pop(path, None) is not None:
                self._retired[path] = RetiredFile(now_ms, snapshot.file.store, snapshot.file.bytes)
        self._snapshots.update({each.file.path: each for each in added})

    def list_reads(self) -> dict[str, dict[PartitionId, SnapshotRead]]:
        return {name: dict(sorted(found.items())) for name, found in self._reads.items() if found}

    def put_reads(self, subscription: str, reads: Mapping[PartitionId, SnapshotRead]) -> None:
        self._reads.setdefault(subscription, {}).update(reads)

    def forget_reads(self, subscription: str, partitions: Collection[PartitionId]) -> None:
        for partition in partitions:
            self._reads.get(subscription, {}).pop(partition, None)
