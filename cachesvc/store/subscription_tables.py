"""The part of the DuckDB catalogue that keeps subscriptions and their positions.

Commits of positions go to a file beside it first; see ``position_log``. Whatever reads
subscriptions from the tables, or changes one of which commits wait, brings them in before, so that
all is in the order in which it came. One that is made has none, and a transaction for those of
others would be half of what opening its stream costs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import pyarrow as pa

from cachesvc.model import GapPolicy, Mode, PartitionId
from cachesvc.store.execution import Tables
from cachesvc.store.ports import PositionCommit, SubscriptionChange, SubscriptionRecord
from cachesvc.store.position_log import PositionLog

_RECORDS = pa.schema(
    [
        ("name", pa.string()),
        ("connection", pa.string()),
        ("topics", pa.list_(pa.string())),
        ("topic_expression", pa.string()),
        ("mode", pa.int32()),
        ("epoch", pa.int64()),
        ("full_sync_done", pa.bool_()),
        ("created_ms", pa.int64()),
        ("committed_ms", pa.int64()),
        ("gap_policy", pa.int32()),
    ]
)


class SubscriptionTables(Tables):
    """Statements about subscriptions, for a catalogue that can run statements."""

    _position_log: PositionLog

    def list_subscriptions(self) -> list[SubscriptionRecord]:
        self.settle()
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
        self.settle()
        found: dict[str, dict[PartitionId, int]] = {}
        for name, *identity, offset in self._run("list_positions"):
            found.setdefault(name, {})[PartitionId(*identity)] = offset
        return found

    def put_subscriptions(self, changes: Sequence[SubscriptionChange]) -> None:
        if not changes:
            return
        names = {change.record.name for change in changes}
        # Of one that is made too: it may have been deleted while a commit of it waited its turn.
        if any(commit.subscription in names for commit in self._position_log.waiting):
            self.settle()
        records = pa.Table.from_pylist([asdict(each.record) for each in changes], _RECORDS)
        with self._transaction():
            self._run_with("new_subscriptions", records, "put_subscriptions")
            for change in changes:
                if change.drop_positions:
                    self._run("delete_positions", change.record.name)
            self._put_positions({each.record.name: each.positions for each in changes})

    def delete_subscription(self, name: str) -> None:
        self.settle()
        with self._transaction():
            self._run("note_deleted_epoch", name)
            self._run("delete_positions", name)
            self._run("delete_subscription", name)

    def deleted_epoch(self) -> int:
        rows = self._run("get_deleted_epoch")
        return int(rows[0][0]) if rows else 0

    def commit_positions(self, commits: Sequence[PositionCommit]) -> None:
        if self._position_log.full:
            self.settle()
        told = [each for each in commits if each.positions or each.committed_ms is not None]
        if told:
            self._position_log.append(told)

    def settle(self) -> None:
        """See ``Catalogue.settle``."""
        if not self._position_log.waiting:
            return
        merged: dict[str, dict[PartitionId, int]] = {}
        marks: dict[str, tuple[int, bool]] = {}
        for commit in self._position_log.waiting:
            merged.setdefault(commit.subscription, {}).update(commit.positions)
            if commit.committed_ms is not None:
                done = commit.full_sync_done or marks.get(commit.subscription, (0, False))[1]
                marks[commit.subscription] = (commit.committed_ms, done)
        with self._transaction():
            self._put_positions(merged)
            if marks:
                columns = {
                    "subscription": list(marks),
                    "committed_ms": [mark[0] for mark in marks.values()],
                    "full_sync_done": [mark[1] for mark in marks.values()],
                }
                self._run_with("new_commits", pa.table(columns), "mark_committed")
        self._position_log.empty()

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
        self._run_with("new_positions", pa.table(columns), "put_positions")
