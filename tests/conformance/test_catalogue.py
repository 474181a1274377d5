"""The contract of ``ports.Catalogue``, for each implementation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cachesvc.model import (
    GapCause,
    GapPolicy,
    Mode,
    PartitionId,
    Segment,
    TopicId,
    TopicIncarnation,
)
from cachesvc.policy.leader_epochs import EpochHistory
from cachesvc.store.ports import (
    Catalogue,
    ConnectionRecord,
    JobRunRecord,
    PositionCommit,
    RetiredFile,
    SubscriptionRecord,
    TopicEntry,
)
from tests.support.frames import ORDERS

TOPIC = ORDERS.topic_id
SECOND = TOPIC.partition(1)
LATER = TopicId("main", "orders", 2).partition(0)
OTHER = PartitionId("spare", "orders", 1, 0)

COPIES = SubscriptionRecord("copies", "main", ("orders", "items"), "", Mode.FULL, 1, False, 10)
WILD = SubscriptionRecord(
    "wild", "main", (), "or.*", Mode.INCREMENTAL, 3, True, 20, 21, GapPolicy.GO_ON_BEHIND_GAP
)


def segment(base: int, end: int, partition: PartitionId = ORDERS, rejects: int = 0) -> Segment:
    name = f"{partition}/{base}-{end}.parquet"
    return Segment(
        partition,
        base,
        end,
        record_count=end - base,
        bytes=1_000 + base,
        min_timestamp_ms=-1,
        max_timestamp_ms=2**63 - 1,
        created_ms=5,
        level=2,
        path=f"log/{name}",
        reject_count=rejects,
        rejects_path=f"rejects/{name}" if rejects else "",
        oldest_mined_ms=3,
        newest_mined_ms=4,
        rejects_bytes=7 if rejects else 0,
    )


def commit(name: str, positions: dict[PartitionId, int], at_ms: int | None = 50) -> PositionCommit:
    return PositionCommit(name, positions, at_ms)


def test_a_new_one_is_empty(catalogue: Catalogue) -> None:
    assert catalogue.list_partitions() == {}
    assert catalogue.list_incarnations() == []
    assert catalogue.list_lost() == {}
    assert catalogue.list_segments() == []
    assert catalogue.list_retired() == {}
    assert catalogue.list_subscriptions() == []
    assert catalogue.list_positions() == {}
    assert catalogue.list_job_runs("", 10) == []
    assert catalogue.list_paused_jobs() == set()
    assert catalogue.list_connections() == []
    assert catalogue.leader_epochs.list() == {}


def test_closing_twice_is_no_error(catalogue: Catalogue) -> None:
    catalogue.close()
    catalogue.close()


class TestIncarnations:
    def test_enters_incarnations_and_learns_ids(self, catalogue: Catalogue) -> None:
        first = TopicIncarnation(TOPIC)
        second = TopicIncarnation(replace(TOPIC, incarnation=2), "id-2", GapCause.TOPIC_RECREATED)
        for incarnation in (second, first, replace(first, source_id="id-1")):
            catalogue.put_topics(TopicEntry([incarnation]), 7)
        assert catalogue.list_incarnations() == [replace(first, source_id="id-1"), second]

    def test_keeps_why_an_incarnation_began(self, catalogue: Catalogue) -> None:
        incarnation = TopicIncarnation(TOPIC, "", GapCause.SOURCE_TRUNCATED)
        catalogue.put_topics(TopicEntry([incarnation]), 1)
        catalogue.put_topics(TopicEntry([TopicIncarnation(TOPIC, "id")]), 2)
        assert catalogue.list_incarnations() == [replace(incarnation, source_id="id")]

    def test_keeps_the_cluster_of_an_incarnation_once_it_is_known(
        self, catalogue: Catalogue
    ) -> None:
        incarnation = TopicIncarnation(TOPIC, "", None, "cluster-a")
        catalogue.put_topics(TopicEntry([replace(incarnation, cluster_id="")]), 1)
        catalogue.put_topics(TopicEntry([incarnation]), 2)
        catalogue.put_topics(TopicEntry([TopicIncarnation(TOPIC, "id")]), 3)
        assert catalogue.list_incarnations() == [replace(incarnation, source_id="id")]


def test_keeps_the_clusters_of_connections_in_their_order(catalogue: Catalogue) -> None:
    assert catalogue.clusters.all() == {}
    for connection, cluster_id in (("main", "z"), ("spare", "b"), ("main", "a"), ("main", "z")):
        catalogue.clusters.add(connection, cluster_id, 5)
    assert catalogue.clusters.all() == {"main": ["z", "a", "z"], "spare": ["b"]}
    catalogue.clusters.forget("main")
    catalogue.clusters.forget("main")
    catalogue.clusters.add("main", "c", 6)
    assert catalogue.clusters.all() == {"main": ["c"], "spare": ["b"]}


class TestLeaderEpochs:
    def test_are_kept_partition_by_partition(self, catalogue: Catalogue) -> None:
        long = EpochHistory(((2**62, 2**31 - 1), (2**62 + 1, -1)))
        catalogue.leader_epochs.put({ORDERS: EpochHistory(((0, 3),)), LATER: long})
        catalogue.leader_epochs.put({SECOND: EpochHistory()})
        assert catalogue.leader_epochs.list() == {
            ORDERS: EpochHistory(((0, 3),)),
            SECOND: EpochHistory(),
            LATER: long,
        }

    def test_are_replaced_again_and_again(self, catalogue: Catalogue) -> None:
        for number in range(5):
            later = EpochHistory(((0, 3), (10, number)))
            catalogue.leader_epochs.put({ORDERS: later, SECOND: EpochHistory()})
            assert catalogue.leader_epochs.list() == {ORDERS: later, SECOND: EpochHistory()}


class TestPartitions:
    def test_keeps_where_mining_began(self, catalogue: Catalogue) -> None:
        catalogue.put_partition(ORDERS, 5)
        catalogue.expire_segments([], {ORDERS: 30}, 7)
        assert catalogue.list_mined_from() == {ORDERS: 5}

    def test_enters_and_moves(self, catalogue: Catalogue) -> None:
        catalogue.put_partition(SECOND, 7)
        catalogue.put_partition(ORDERS, 2**63 - 1)
        catalogue.put_partition(SECOND, 9)
        assert catalogue.list_partitions() == {ORDERS: 2**63 - 1, SECOND: 9}

    def test_are_ordered(self, catalogue: Catalogue) -> None:
        for partition in (OTHER, LATER, SECOND, TOPIC.partition(10), TOPIC.partition(2), ORDERS):
            catalogue.put_partition(partition, 0)
        listed = list(catalogue.list_partitions())
        assert listed == sorted(listed)
        assert len(listed) == 6

    def test_epochs_rise_topic_by_topic(self, catalogue: Catalogue) -> None:
        for epoch in (1, 2, 3):
            assert catalogue.raise_epochs([TOPIC], epoch) == {TOPIC: epoch}
        others = {OTHER.topic_id: 1, LATER.topic_id: 1}
        assert catalogue.raise_epochs([*others, TOPIC], 5) == {**others, TOPIC: 4}
        assert catalogue.raise_epochs([], 6) == {}

    def test_many_are_entered_at_once(self, catalogue: Catalogue) -> None:
        incarnation = TopicIncarnation(LATER.topic_id, "id", GapCause.SOURCE_TRUNCATED)
        history = EpochHistory(((0, 3),))
        starts = {TOPIC.partition(number): number for number in range(3_000)}
        catalogue.put_topics(TopicEntry([incarnation], {**starts, LATER: 7}, {LATER: history}), 1)
        catalogue.put_topics(TopicEntry(), 2)
        assert catalogue.list_incarnations() == [incarnation]
        assert catalogue.list_partitions() == {**starts, LATER: 7}
        assert catalogue.list_mined_from() == {**starts, LATER: 7}
        assert catalogue.leader_epochs.list() == {LATER: history}


class TestManifest:
    def test_lists_segments_as_they_were_published(self, catalogue: Catalogue) -> None:
        published = [
            segment(0, 10),
            segment(10, 30, rejects=2),
            segment(0, 5, SECOND),
            segment(0, 5, LATER),
            segment(0, 5, OTHER),
        ]
        catalogue.replace_segments([], published[::-1], 1)
        assert catalogue.list_segments() == published
        assert catalogue.list_retired() == {}

    def test_replaces_and_retires_at_once(self, catalogue: Catalogue) -> None:
        parts = [segment(0, 10, rejects=1), segment(10, 20), segment(20, 30)]
        merged = replace(segment(0, 20, rejects=1), path="log/merged.parquet", level=3)
        catalogue.replace_segments([], parts, 1)
        catalogue.replace_segments(parts[:2], [merged], 77)
        assert catalogue.list_segments() == [merged, parts[2]]
        assert catalogue.list_retired() == {
            parts[0].path: RetiredFile(77, bytes=1_000),
            parts[0].rejects_path: RetiredFile(77, bytes=7),
            parts[1].path: RetiredFile(77, bytes=1_010),
        }

    def test_expires_and_moves_log_starts_at_once(self, catalogue: Catalogue) -> None:
        parts = [segment(0, 10), segment(10, 20), segment(0, 5, SECOND)]
        catalogue.put_partition(ORDERS, 0)
        catalogue.put_partition(SECOND, 0)
        catalogue.replace_segments([], parts, 1)
        catalogue.expire_segments([parts[0], parts[2]], {ORDERS: 10, SECOND: 5}, 88)
        assert catalogue.list_segments() == [parts[1]]
        assert catalogue.list_partitions() == {ORDERS: 10, SECOND: 5}
        assert catalogue.list_retired() == dict.fromkeys(
            (parts[0].path, parts[2].path), RetiredFile(88, bytes=1_000)
        )

    def test_changes_when_segments_were_mined(self, catalogue: Catalogue) -> None:
        parts = [segment(0, 10), segment(10, 20)]
        catalogue.replace_segments([], parts, 1)
        right = replace(parts[1], oldest_mined_ms=-7, newest_mined_ms=2**62)
        catalogue.put_mined_times([right, replace(segment(20, 30), newest_mined_ms=9)])
        assert catalogue.list_segments() == [parts[0], right]

    def test_forgets_files_that_are_gone(self, catalogue: Catalogue) -> None:
        parts = [segment(0, 10, rejects=1), segment(10, 20)]
        catalogue.replace_segments([], parts, 1)
        catalogue.expire_segments(parts, {}, 88)
        catalogue.forget_retired([parts[0].path, parts[1].path, "log/never-heard-of.parquet"])
        assert catalogue.list_retired() == {parts[0].rejects_path: RetiredFile(88, bytes=7)}
        catalogue.forget_retired([])

    def test_says_in_which_store_files_lie(self, catalogue: Catalogue) -> None:
        there = replace(segment(0, 10, rejects=1), store="cold")
        catalogue.replace_segments([], [there, segment(10, 20)], 1)
        assert [each.store for each in catalogue.list_segments()] == ["cold", "local"]
        catalogue.expire_segments([there], {}, 88)
        assert catalogue.list_retired() == {
            there.path: RetiredFile(88, "cold", 1_000),
            there.rejects_path: RetiredFile(88, "cold", 7),
        }

    def test_retiring_twice_counts_once(self, catalogue: Catalogue) -> None:
        """A merge may still name what retention has just taken."""
        parts = [segment(0, 10), segment(10, 20)]
        catalogue.replace_segments([], parts, 1)
        catalogue.expire_segments(parts[:1], {ORDERS: 10}, 88)
        catalogue.replace_segments(parts, [segment(0, 20)], 99)
        assert catalogue.list_segments() == [segment(0, 20)]
        assert set(catalogue.list_retired()) == {part.path for part in parts}
        catalogue.forget_retired([part.path for part in parts])
        assert catalogue.list_retired() == {}


class TestJobs:
    def test_runs_are_listed_with_the_newest_first(self, catalogue: Catalogue) -> None:
        runs = [
            JobRunRecord("sweep", 10, 11, True, counts={"files_deleted": 2, "bytes_freed": 2**40}),
            JobRunRecord("compact", 20, 25, False, "disk full: “/store”"),
            JobRunRecord("sweep", 30, 31, True),
        ]
        for run in runs:
            catalogue.add_job_run(run)
        assert catalogue.list_job_runs("", 10) == runs[::-1]
        assert catalogue.list_job_runs("sweep", 10) == [runs[2], runs[0]]
        assert catalogue.list_job_runs("sweep", 1) == [runs[2]]
        assert catalogue.list_job_runs("expire", 10) == []

    def test_runs_at_the_same_time_are_ordered_by_name(self, catalogue: Catalogue) -> None:
        for name in ("sweep", "compact", "expire"):
            catalogue.add_job_run(JobRunRecord(name, 10, 11, True))
        assert [run.name for run in catalogue.list_job_runs("", 10)] == [
            "compact",
            "expire",
            "sweep",
        ]

    def test_the_newest_runs_of_each_are_kept(
        self, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("catalogue", "memory_catalogue"):
            monkeypatch.setattr(f"cachesvc.store.{module}.JOB_RUNS_MAX", 20)
        catalogue.add_job_run(JobRunRecord("compact", 0, 1, True))
        for number in range(23):
            catalogue.add_job_run(JobRunRecord("sweep", number, number, True))
        runs = catalogue.list_job_runs("sweep", 10_000)
        assert [run.started_ms for run in runs] == list(range(22, 2, -1))
        assert len(catalogue.list_job_runs("compact", 10)) == 1

    def test_are_paused_and_resumed(self, catalogue: Catalogue) -> None:
        for _ in range(2):
            catalogue.set_job_paused("sweep", paused=True)
        catalogue.set_job_paused("compact", paused=True)
        catalogue.set_job_paused("expire", paused=False)
        assert catalogue.list_paused_jobs() == {"sweep", "compact"}
        for _ in range(2):
            catalogue.set_job_paused("sweep", paused=False)
        assert catalogue.list_paused_jobs() == {"compact"}


class TestConnections:
    def test_are_entered_changed_and_forgotten(self, catalogue: Catalogue) -> None:
        spare = ConnectionRecord("spare", '{"name": "spare"}', 10, 10)
        main = ConnectionRecord(
            "main", '{"name": "main", "topic_expression": "a\\\\..“*”"}', 11, 11
        )
        for each in (spare, main):
            catalogue.put_connection(each)
        assert catalogue.list_connections() == [main, spare]
        catalogue.put_connection(replace(main, settings_json="{}", created_ms=99, updated_ms=12))
        assert catalogue.list_connections() == [
            replace(main, settings_json="{}", updated_ms=12),
            spare,
        ]
        for _ in range(2):
            catalogue.delete_connection("main")
        assert catalogue.list_connections() == [spare]
