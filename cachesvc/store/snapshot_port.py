"""What a catalogue keeps of snapshots, as a port of its own; see ``ports.Catalogue.snapshots``."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cachesvc.model import PartitionId, Snapshot


@dataclass(frozen=True, slots=True)
class SnapshotRead:
    """A snapshot that a subscription began to read.

    Attributes:
        path: Of the snapshot.
        recovers: Whether it is read because the subscription had fallen out of retention.
    """

    path: str
    recovers: bool = False


class Snapshots(Protocol):
    """Which snapshots there are, and which of them subscriptions are in the middle of."""

    def list(self) -> list[Snapshot]:
        """All that are live, ordered by partition, end and path."""

    def replace(self, removed: Sequence[Snapshot], added: Sequence[Snapshot], now_ms: int) -> None:
        """Publishes ``added`` and retires the files of ``removed``, at once.

        Where one of ``removed`` is not there nothing happens to it, nor to its file.
        """

    def list_reads(self) -> dict[str, dict[PartitionId, SnapshotRead]]:
        """By subscription, what it began to read of each partition."""

    def put_reads(self, subscription: str, reads: Mapping[PartitionId, SnapshotRead]) -> None:
        """Enters what a subscription begins to read, at once; of the same partition, instead."""

    def forget_reads(self, subscription: str, partitions: Collection[PartitionId]) -> None:
        """Forgets what it read of some partitions, at once; nothing happens if there is none."""
