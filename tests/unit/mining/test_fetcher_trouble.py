"""Fetching while brokers fail, move what they lead, or have other records."""

import asyncio

import pytest

from cachesvc.errors import SourceChanged, SourceUnreachable
from cachesvc.mining.kafka.fetcher import KafkaSource
from cachesvc.mining.source import EARLIEST, ProblemReason, SourcePartition
from tests.unit.mining.fake_service import until
from tests.unit.mining.fetching import (
    A0,
    B0,
    SMALL,
    FakeCluster,
    play,
)
from tests.unit.mining.record_batches import record_batch


def test_a_broker_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 5)
        source.add(B0, 0)
        fetches = [await cluster.fetches.get(), await cluster.fetches.get()]
        for node, _, answered in fetches:
            if node == 1:
                answered.set_exception(SourceUnreachable("h:1: gone"))
        await until(lambda: source.status(A0).problem is not None)
        problem = source.status(A0).problem
        assert problem is not None
        assert problem.reason is ProblemReason.SOURCE_UNREACHABLE
        assert "h:1: gone" in str(problem)
        assert source.status(B0).problem is None
        assert (source.fetches.answered, source.fetches.failed) == (0, 1)

        again = await cluster.fetch(1)
        assert again.asked == [("a", 0, 5)]
        again.answer({})
        await until(lambda: source.status(A0).problem is None)

    play(monkeypatch, scenario)


def test_a_broker_of_another_cluster_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.expect("ours")
        assert cluster.cluster_id == "ours"
        source.add(A0, 5)
        node, _, answered = await cluster.fetches.get()
        assert node == 1
        answered.set_exception(SourceChanged("h:1: cluster theirs answers there"))
        await until(lambda: source.status(A0).problem is not None)
        problem = source.status(A0).problem
        assert str(problem) == "SOURCE_CHANGED: a/0: h:1: cluster theirs answers there"
        assert problem is not None
        assert problem.reason.away
        assert not problem.reason.final
        again = await cluster.fetch(1)
        assert again.asked == [("a", 0, 5)]
        assert source.status(A0).problem == problem
        again.answer({})
        await until(lambda: source.status(A0).problem is None)

        cluster.error = SourceChanged("no broker can be used")
        await until(lambda: source.error == "SOURCE_CHANGED: no broker can be used")

    play(monkeypatch, scenario)


def test_a_cluster_that_does_not_answer_is_an_error_until_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        cluster.error = SourceUnreachable("no broker answers")
        source.add(A0, 0)
        await until(lambda: source.error == "no broker answers")
        cluster.error = None
        await until(lambda: source.error == "")
        assert (await cluster.fetch(1)).asked == [("a", 0, 0)]

    play(monkeypatch, scenario)


def test_a_leader_that_moved_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        fetch = await cluster.fetch(1)
        cluster.leaders["a"][0] = 2
        fetch.answer({}, error_code=6)

        assert (await cluster.fetch(2)).asked == [("a", 0, 0)]

    play(monkeypatch, scenario)


def test_a_watermark_that_falls_has_the_topic_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        (await cluster.fetch(1)).answer({}, stable=1_000)
        cluster.ids["a"] = "id-of-another"
        (await cluster.fetch(1)).answer({("a", 0): SMALL}, stable=10)

        await until(lambda: source.status(A0).problem is not None)
        problem = source.status(A0).problem
        assert problem is not None
        assert problem.reason is ProblemReason.TOPIC_RECREATED
        await asyncio.sleep(0.1)
        assert cluster.fetches.empty()

    play(monkeypatch, scenario)


def test_a_paused_partition_keeps_its_watermark_up_to_date(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        source.pause(A0)
        cluster.ends = 5
        await until(lambda: source.status(A0).high_watermark == 5)
        cluster.ends = 9
        await until(lambda: source.status(A0).high_watermark == 9)
        assert cluster.fetches.empty()

    play(monkeypatch, scenario)


def test_a_new_leader_is_asked_for_the_end_of_the_epoch_before_it_is_fetched_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        first = await cluster.fetch(1)
        assert first.epochs == {("a", 0): 0}
        first.answer({("a", 0): record_batch(0, [b"{}"], epoch=0)})
        await source.poll()
        again = await cluster.fetch(1)
        cluster.leaders["a"][0], cluster.epochs["a"][0] = 2, 4
        cluster.epoch_ends_known = {A0: (0, 0, 1)}
        assert cluster.compared == []
        again.answer({}, error_code=6)

        moved = await cluster.fetch(2)

        assert cluster.compared == [(2, {A0: (4, 0)})]
        assert (moved.asked, moved.epochs) == ([("a", 0, 1)], {("a", 0): 4})

    play(monkeypatch, scenario)


def test_nothing_is_fetched_from_a_leader_that_has_other_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        cluster.epochs["a"][0] = 9
        cluster.epoch_ends_known = {A0: (0, 7, 49)}
        source.add(A0, 50, leader_epoch=7)
        source.add(B0, 0)
        await cluster.fetch(2)

        await until(lambda: source.status(A0).problem is not None)

        problem = source.status(A0).problem
        assert problem is not None
        assert problem.reason is ProblemReason.SOURCE_TRUNCATED
        assert "up to 50 under leader epoch 7" in problem.detail
        await asyncio.sleep(0.1)
        assert cluster.fetches.empty()

    play(monkeypatch, scenario)


def test_a_leader_that_has_moved_on_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        cluster.epochs["a"][0] = 8
        cluster.epoch_ends_known = {A0: (74, -1, -1)}
        source.add(A0, 50, leader_epoch=7)
        await until(lambda: source.status(A0).problem is not None)
        problem = source.status(A0).problem
        assert problem is not None
        assert not problem.reason.final
        assert "FencedLeaderEpoch" in problem.detail

        cluster.epochs["a"][0] = 9
        cluster.epoch_ends_known = {A0: (0, 7, 50)}

        assert (await cluster.fetch(1)).epochs == {("a", 0): 9}

    play(monkeypatch, scenario)


def test_brokers_that_cannot_tell_are_fetched_from_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        cluster.epochs["a"][0] = 8
        cluster.epoch_ends_known = None
        source.add(A0, 50, leader_epoch=7)

        assert (await cluster.fetch(1)).asked == [("a", 0, 50)]
        assert len(cluster.compared) == 1

    play(monkeypatch, scenario)


def test_a_leader_that_is_away_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        cluster.away = {2}
        source.add(SourcePartition("b", 0), EARLIEST)
        source.add(A0, EARLIEST)
        assert (await cluster.fetch(1)).asked == [("a", 0, 0)]
        problem = source.status(SourcePartition("b", 0)).problem
        assert problem is not None
        assert problem.reason is ProblemReason.SOURCE_UNREACHABLE
        assert "h:2: refused" in problem.detail
        assert source.error == "", "the cluster answers"
        cluster.away = set()
        assert (await cluster.fetch(2)).asked == [("b", 0, 0)]

    play(monkeypatch, scenario)
