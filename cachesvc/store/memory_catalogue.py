"""The catalogue's twin without files, for tests and for trying things out."""

import pickle
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cachesvc.model import LostRange, PartitionId, Segment, TopicId, TopicIncarnation
from cachesvc.policy.blocking import Trouble
from cachesvc.policy.coverage import OffsetRange
from cachesvc.policy.leader_epochs import EpochHistory
from cachesvc.store.maker_tables import MemoryMakers
from cachesvc.store.memory_access import MemoryAccess
from cachesvc.store.memory_audit import MemoryAudit
from cachesvc.store.memory_drops import MemoryDrops
from cachesvc.store.memory_mining import MemoryMiningTables
from cachesvc.store.memory_models import MemoryModels
from cachesvc.store.memory_snapshots import MemorySnapshots
from cachesvc.store.memory_stores import MemoryStores
from cachesvc.store.memory_watching import MemoryAlarms, MemoryCounts
from cachesvc.store.ports import (
    JOB_RUNS_MAX,
    ConnectionRecord,
    JobRunRecord,
    PositionCommit,
    RetiredFile,
    SubscriptionChange,
    SubscriptionRecord,
    TopicEntry,
)
from cachesvc.store.segments import data_paths


class MemoryCatalogue(MemoryMiningTables):
    """``ports.Catalogue`` in dictionaries; gone when it is."""

    def __init__(self) -> None:
        super().__init__()
        self._partitions: dict[PartitionId, int] = {}
        self._mined_from: dict[PartitionId, int] = {}
        self._epochs: dict[TopicId, int] = {}
        self._incarnations: dict[TopicId, TopicIncarnation] = {}
        self._lost: dict[PartitionId, dict[int, LostRange]] = {}
        self._damaged: dict[PartitionId, dict[int, OffsetRange]] = {}
        self._segments: dict[str, Segment] = {}
        self._retired: dict[str, RetiredFile] = {}
        self._scrubbed: set[str] = set()
        self._subscriptions: dict[str, SubscriptionRecord] = {}
        self._deleted_epoch = 0
        self._positions: dict[str, dict[PartitionId, int]] = {}
        self._runs: list[JobRunRecord] = []
        self._paused: set[str] = set()
        self._connections: dict[str, ConnectionRecord] = {}
        self.clusters = MemoryClusters()
        self.leader_epochs = MemoryEpochs()
        self.troubles = MemoryTroubles()
        self.models = MemoryModels()
        self.snapshots = MemorySnapshots(self._retired)
        self.counts = MemoryCounts()
        self.alarms = MemoryAlarms()
        self.drops = MemoryDrops()
        self.stores = MemoryStores()
        self.makers = MemoryMakers(self._subscriptions)
        self.access = MemoryAccess()
        self.audit = MemoryAudit()

    def list_partitions(self) -> dict[PartitionId, int]:
        return dict(sorted(self._partitions.items()))

    def put_partition(self, partition: PartitionId, log_start_offset: int) -> None:
        self._partitions[partition] = self._mined_from[partition] = log_start_offset

    def list_mined_from(self) -> dict[PartitionId, int]:
        return dict(sorted(self._mined_from.items()))

    def list_incarnations(self) -> list[TopicIncarnation]:
        return [self._incarnations[topic] for topic in sorted(self._incarnations)]

    def put_topics(self, entry: TopicEntry, now_ms: int) -> None:
        for incarnation in entry.incarnations:
            known = self._incarnations.get(incarnation.topic, incarnation)
            cluster_id = incarnation.cluster_id or known.cluster_id
            self._incarnations[incarnation.topic] = replace(
                known, source_id=incarnation.source_id, cluster_id=cluster_id
            )
        self._partitions.update(entry.starts)
        self._mined_from.update(entry.starts)
        self.leader_epochs.put(entry.epochs)

    def list_lost(self) -> dict[PartitionId, list[LostRange]]:
        return {partition: sorted(found.values()) for partition, found in self._lost.items()}

    def put_lost(self, partition: PartitionId, lost: LostRange, now_ms: int) -> None:
        self._lost.setdefault(partition, {})[lost.begin] = lost

    def raise_epochs(self, topics: Collection[TopicId], now_ms: int) -> dict[TopicId, int]:
        raised = {topic: self._epochs.get(topic, 0) + 1 for topic in topics}
        self._epochs.update(raised)
        return raised

    def list_segments(self) -> list[Segment]:
        return sorted(self._segments.values(), key=lambda s: (s.partition, s.base_offset))

    def replace_segments(
        self, removed: Sequence[Segment], added: Sequence[Segment], now_ms: int
    ) -> None:
        self._retire(removed, now_ms)
        self._segments.update({segment.path: segment for segment in added})

    def expire_segments(
        self, removed: Sequence[Segment], log_starts: Mapping[PartitionId, int], now_ms: int
    ) -> None:
        self._retire(removed, now_ms)
        self._partitions.update(log_starts)

    def put_mined_times(self, segments: Sequence[Segment]) -> None:
        for segment in segments:
            if segment.path in self._segments:
                self._segments[segment.path] = replace(
                    self._segments[segment.path],
                    oldest_mined_ms=segment.oldest_mined_ms,
                    newest_mined_ms=segment.newest_mined_ms,
                )

    def list_damaged(self) -> dict[PartitionId, list[OffsetRange]]:
        return {partition: sorted(found.values()) for partition, found in self._damaged.items()}

    def put_damaged(
        self,
        partition: PartitionId,
        missing_ranges: Sequence[OffsetRange],
        whole: Sequence[Segment],
        log_starts: Mapping[PartitionId, int],
        now_ms: int,
        removed: Sequence[Segment] = (),
    ) -> None:
        self._retire(removed, now_ms)
        self._segments.update({segment.path: segment for segment in whole})
        known = self._damaged.setdefault(partition, {})
        for missing in missing_ranges:
            before = known.get(missing.begin, missing)
            known[missing.begin] = OffsetRange(missing.begin, max(missing.end, before.end))
        self._partitions.update(log_starts)

    def forget_damaged(self, partition: PartitionId, missing: OffsetRange) -> None:
        self._damaged.get(partition, {}).pop(missing.begin, None)
        if not self._damaged.get(partition):
            self._damaged.pop(partition, None)

    def list_scrubbed(self) -> set[str]:
        return set(self._scrubbed)

    def put_scrubbed(self, paths: Collection[str]) -> None:
        self._scrubbed.update(paths)

    def forget_scrubbed(self) -> None:
        self._scrubbed.clear()

    def _retire(self, segments: Sequence[Segment], now_ms: int) -> None:
        for segment in segments:
            self._segments.pop(segment.path, None)
            sizes = segment.bytes, segment.rejects_bytes
            for path, size in zip(data_paths(segment), sizes, strict=False):
                self._retired[path.as_posix()] = RetiredFile(now_ms, segment.store, size)

    def list_retired(self) -> dict[str, RetiredFile]:
        return dict(self._retired)

    def forget_retired(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._retired.pop(path, None)

    def list_subscriptions(self) -> list[SubscriptionRecord]:
        return sorted(self._subscriptions.values(), key=lambda record: record.name)

    def list_positions(self) -> dict[str, dict[PartitionId, int]]:
        return {name: dict(found) for name, found in self._positions.items() if found}

    def put_subscriptions(self, changes: Sequence[SubscriptionChange]) -> None:
        for change in changes:
            name = change.record.name
            before = self._subscriptions.get(name, change.record)
            self._subscriptions[name] = replace(change.record, created_ms=before.created_ms)
            if change.drop_positions:
                self._positions.pop(name, None)
            self._positions.setdefault(name, {}).update(change.positions)

    def delete_subscription(self, name: str) -> None:
        record = self._subscriptions.pop(name, None)
        if record is not None:
            self._deleted_epoch = max(self._deleted_epoch, record.epoch)
        self._positions.pop(name, None)

    def deleted_epoch(self) -> int:
        return self._deleted_epoch

    def commit_positions(self, commits: Sequence[PositionCommit]) -> None:
        for commit in commits:
            record = self._subscriptions.get(commit.subscription)
            if record is None:
                continue
            self._positions.setdefault(commit.subscription, {}).update(commit.positions)
            if commit.committed_ms is not None:
                self._subscriptions[commit.subscription] = replace(
                    record,
                    committed_ms=commit.committed_ms,
                    full_sync_done=record.full_sync_done or commit.full_sync_done,
                )

    def settle(self) -> None:
        """All is where it has to be."""

    def part_changes(self) -> int:
        return 0

    def forget_changes(self, number: int) -> None:
        """Nothing is kept of them."""

    def add_job_run(self, run: JobRunRecord) -> None:
        self._runs.append(run)
        of_job = sorted(
            (each for each in self._runs if each.name == run.name), key=lambda each: each.started_ms
        )
        for oldest in of_job[:-JOB_RUNS_MAX]:
            self._runs.remove(oldest)

    def list_job_runs(self, name: str, limit: int) -> list[JobRunRecord]:
        runs = [run for run in self._runs if name in ("", run.name)]
        return sorted(runs, key=lambda run: (-run.started_ms, run.name))[:limit]

    def list_paused_jobs(self) -> set[str]:
        return set(self._paused)

    def set_job_paused(self, name: str, *, paused: bool) -> None:
        (self._paused.add if paused else self._paused.discard)(name)

    def list_connections(self) -> list[ConnectionRecord]:
        return sorted(self._connections.values(), key=lambda record: record.name)

    def put_connection(self, connection: ConnectionRecord) -> None:
        before = self._connections.get(connection.name)
        created_ms = before.created_ms if before else connection.created_ms
        self._connections[connection.name] = replace(connection, created_ms=created_ms)

    def delete_connection(self, name: str) -> None:
        self._connections.pop(name, None)

    def copy_to(self, path: Path) -> None:
        path.write_bytes(pickle.dumps(self))

    def close(self) -> None:
        """Nothing to end."""


class MemoryClusters:
    """``ports.Clusters`` in a dictionary."""

    def __init__(self) -> None:
        self._clusters: dict[str, list[str]] = {}

    def all(self) -> dict[str, list[str]]:
        return {name: list(found) for name, found in sorted(self._clusters.items())}

    def add(self, connection: str, cluster_id: str, now_ms: int) -> None:
        self._clusters.setdefault(connection, []).append(cluster_id)

    def forget(self, connection: str) -> None:
        self._clusters.pop(connection, None)


class MemoryEpochs:
    """``ports.LeaderEpochs`` in a dictionary."""

    def __init__(self) -> None:
        self._histories: dict[PartitionId, EpochHistory] = {}

    def list(self) -> dict[PartitionId, EpochHistory]:
        return dict(sorted(self._histories.items()))

    def put(self, histories: Mapping[PartitionId, EpochHistory]) -> None:
        self._histories.update(histories)


class MemoryTroubles:
    """``ports.Troubles`` in a dictionary."""

    def __init__(self) -> None:
        self._troubles: dict[PartitionId, Trouble] = {}

    def list(self) -> dict[PartitionId, Trouble]:
        return dict(sorted(self._troubles.items(), key=lambda item: item[0]))

    def put(self, changes: Mapping[PartitionId, Trouble | None]) -> None:
        for partition, trouble in changes.items():
            if trouble is None:
                self._troubles.pop(partition, None)
            else:
                self._troubles[partition] = trouble
