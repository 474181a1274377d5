"""What a store looks like: what lies in it, who uses it, how it is doing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cachesvc.log.log_store import LogStore
from cachesvc.model import Snapshot
from cachesvc.settings.connection import ConnectionConfig
from cachesvc.settings.stores import StoreEntry, store_of
from cachesvc.store.ports import RetiredFile
from cachesvc.store.stores_port import Placement, StoreRecord, StoreTested


@dataclass(frozen=True, slots=True)
class StoreState:
    """A store as it is now.

    Attributes:
        entry: Its settings; ``default`` is whether it is the one default.
        record: As it was made over Admin; None for one of the file.
        segments: How many lie there.
        bytes: Theirs.
        snapshots: How many lie there.
        retired_files: Files that are still to be deleted there.
        connections: Whose next segments go there, by name.
        topics: That have segments there or were moved there, as CONNECTION/TOPIC.
        waiting: Journals that wait for it, and their bytes.
        error: Why it takes nothing for now; empty if it does.
        free_bytes: Room that is left; None where nobody knows.
        tested: The last test; None without one.
    """

    entry: StoreEntry
    record: StoreRecord | None
    segments: int
    bytes: int
    snapshots: int
    retired_files: int
    connections: tuple[str, ...]
    topics: tuple[str, ...]
    waiting: tuple[int, int]
    error: str
    free_bytes: int | None
    tested: StoreTested | None

    @property
    def users(self) -> str:
        """Who uses it, for people; empty if nobody does."""
        parts = []
        if self.connections:
            parts.append(f"connections {_some(self.connections)}")
        if self.topics:
            parts.append(f"topics {_some(self.topics)}")
        if self.waiting[0]:
            parts.append(f"{self.waiting[0]:,} journals that wait for it")
        if self.retired_files:
            parts.append(f"{self.retired_files:,} files that the job sweep has still to delete")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all states are made of.

    Attributes:
        entries: All stores.
        connections: All connections.
        placements: What was moved where.
        snapshots: All of them.
        retired: Files that the manifest named once.
        tested: Last tests.
    """

    entries: Sequence[StoreEntry]
    connections: Sequence[ConnectionConfig]
    placements: Sequence[Placement]
    snapshots: Sequence[Snapshot]
    retired: Mapping[str, RetiredFile]
    tested: Mapping[str, StoreTested]


def state_of(
    entry: StoreEntry,
    record: StoreRecord | None,
    store: LogStore,
    around: Surroundings,
    free_bytes: int | None,
) -> StoreState:
    """A store as it is now."""
    name = entry.name
    segments = [each for log in store.every() for each in log.segments if each.store == name]
    topics = {f"{each.partition.connection}/{each.partition.topic}" for each in segments}
    snapshots = [each for each in around.snapshots if each.file.store == name]
    topics |= {f"{each.partition.connection}/{each.partition.topic}" for each in snapshots}
    topics |= {f"{p.connection}/{p.topic or '*'}" for p in around.placements if p.store == name}
    return StoreState(
        entry,
        record,
        len(segments),
        sum(segment.bytes for segment in segments),
        len(snapshots),
        sum(file.store == name for file in around.retired.values()),
        tuple(_users(name, around.connections, around.entries)),
        tuple(sorted(topics)),
        store.sealer.waiting_for(name),
        str(store.sealer.failures.get(name, "") or store.watch.away.get(name, "")),
        free_bytes,
        around.tested.get(name),
    )


def _users(
    name: str, connections: Iterable[ConnectionConfig], entries: Sequence[StoreEntry]
) -> Iterable[str]:
    return (each.name for each in connections if each.is_source and store_of(each, entries) == name)


_SHOWN_MAX = 5


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN_MAX])
    more = len(names) - _SHOWN_MAX
    return f"{shown} and {more:,} more" if more > 0 else shown
