"""What the fetcher names to brokers that remember it, and what it does where they hold it back."""

import asyncio
import time
from typing import Any

import pytest

from cachesvc.errors import SourceUnreachable
from cachesvc.mining.kafka.fetcher import KafkaSource
from cachesvc.mining.source import SourcePartition
from tests.unit.mining.fake_service import until
from tests.unit.mining.fetching import A0, A1, B0, LARGE, SMALL, FakeCluster, Fetch, play

MIB = 1 << 20


async def in_session(source: KafkaSource, cluster: FakeCluster) -> None:
    """A0 and A1 are fetched in session 7, whose next epoch is 1."""
    source.add(A0, 0)
    source.add(A1, 0)
    first = await cluster.fetch(1)
    assert first.session == (0, 0)
    first.answer({}, session_id=7)


async def fetch_of(cluster: FakeCluster, node: int) -> Fetch:
    """The next fetch that this node gets, whatever others get before."""
    async with asyncio.timeout(30):
        while True:
            got, request, answered = await cluster.fetches.get()
            if got == node:
                return Fetch(request, answered)
            cluster.fetches.put_nowait((got, request, answered))
            await asyncio.sleep(0.01)


def test_a_quiet_fetch_names_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        await in_session(source, cluster)
        source.news()
        for epoch in (1, 2, 3):
            quiet = await cluster.fetch(1)
            assert quiet.session == (7, epoch)
            assert quiet.asked == []
            assert quiet.request.forgotten_topics_data == []
            quiet.answer_quietly()
        assert source.status(A0).high_watermark == 1_000

    play(monkeypatch, scenario)


def test_what_was_served_is_named_again_and_what_waits_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        await in_session(source, cluster)
        fetch = await cluster.fetch(1)
        fetch.answer_quietly(("a", 0, 2_000))
        fetch = await cluster.fetch(1)
        assert source.status(A0).high_watermark == 2_000
        fetch.request.topics = [("a", [(0,)])]
        # Enough that the next fetch goes ahead of whoever polls.
        fetch.answer({("a", 0): LARGE}, stable=2_000, session_id=7)
        ahead = await cluster.fetch(1)
        assert (ahead.session, ahead.asked) == ((7, 3), [])
        assert ahead.request.forgotten_topics_data == [("a", [0])]
        ahead.answer_quietly()
        (batch,) = await source.poll()
        assert (batch.partition, batch.base_offset, batch.end_offset) == (A0, 0, 1)
        again = await cluster.fetch(1)
        assert (again.session, again.asked) == ((7, 4), [("a", 0, 1)])

    play(monkeypatch, scenario)


@pytest.mark.parametrize(("error_code", "session_id"), [(70, 0), (71, 7)])
def test_a_session_that_a_broker_lost_begins_again(
    monkeypatch: pytest.MonkeyPatch, error_code: int, session_id: int
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        await in_session(source, cluster)
        (await cluster.fetch(1)).answer_quietly(error_code=error_code, session_id=0)
        again = await cluster.fetch(1)
        assert again.session == (session_id, 0)
        assert again.asked == [("a", 0, 0), ("a", 1, 0)]
        again.answer({("a", 0): SMALL}, session_id=8)
        (batch,) = await source.poll()
        assert batch.partition == A0
        assert (await cluster.fetch(1)).session == (8, 1)
        assert source.status(A0).problem is None

    play(monkeypatch, scenario)


def test_everything_is_named_after_a_failure_and_is_well_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        await in_session(source, cluster)
        _, _, answered = await cluster.fetches.get()
        answered.set_exception(SourceUnreachable("h:1: gone"))
        await until(lambda: source.status(A1).problem is not None)
        again = await cluster.fetch(1)
        assert (again.session, len(again.asked)) == ((7, 0), 2)
        again.answer({}, session_id=9)
        await until(lambda: source.status(A0).problem is source.status(A1).problem is None)

    play(monkeypatch, scenario)


def test_a_partition_that_moves_to_a_new_place_counts_as_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        await in_session(source, cluster)
        under_way = await cluster.fetch(1)
        source.add(A0, 0)
        # The same offset, but perhaps of another incarnation of the topic.
        under_way.request.topics = [("a", [(0,)])]
        under_way.answer({("a", 0): SMALL}, session_id=7)
        while not (again := await cluster.fetch(1)).asked:
            again.answer_quietly()
        assert again.asked == [("a", 0, 0)]
        assert again.request.forgotten_topics_data == []

    play(monkeypatch, scenario)


def test_a_leader_that_moved_is_told_and_the_other_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        await in_session(source, cluster)
        fetch = await cluster.fetch(1)
        fetch.request.topics = [("a", [(0,)])]
        cluster.leaders["a"][0] = 2
        fetch.answer({}, error_code=6, session_id=7)
        assert (await fetch_of(cluster, 2)).asked == [("a", 0, 0)]
        rest = await fetch_of(cluster, 1)
        assert rest.request.forgotten_topics_data == [("a", [0])]

    play(monkeypatch, scenario)


def test_a_broker_that_throttles_is_left_alone_and_asked_for_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        first = await cluster.fetch(1)
        # An answer that is held back says nothing of partitions, and gives no session.
        first.request.topics = []
        told_s = time.monotonic()
        first.answer({}, throttle_time_ms=300)
        await until(lambda: source.status(A0).throttled != "")
        assert A0 in source.news()
        second = await cluster.fetch(1)
        assert time.monotonic() - told_s > 0.25
        assert second.asked == [("a", 0, 0)]
        second.request.topics = []
        second.answer({}, throttle_time_ms=200)
        third = await cluster.fetch(1)
        assert third.request.max_bytes == first.request.max_bytes // 2
        third.answer({("a", 0): SMALL}, session_id=7)
        (batch,) = await source.poll()
        assert batch.partition == A0
        assert source.status(A0).problem is None
        assert "up to 1 s" in source.status(A0).throttled

    play(monkeypatch, scenario)


def test_fetches_begin_small(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        sizes = []
        for _ in range(4):
            while not (fetch := await cluster.fetch(1)).asked:
                fetch.answer({})
            sizes.append(fetch.request.max_bytes)
            fetch.answer({("a", 0): LARGE * 16})
            await source.poll()
            source.add(A0, 0)
        assert sizes == [MIB // 4, MIB // 2, MIB, 2 * MIB]

    play(monkeypatch, scenario)


def test_news_are_of_what_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        await in_session(source, cluster)
        source.add(B0, 0)
        await fetch_of(cluster, 2)
        assert set(source.news()) == {A0, A1, B0}
        # A look for caution may mention all; a fetch that has news of one mentions that one.
        (await fetch_of(cluster, 1)).answer_quietly(("a", 1, 1_001))
        await until(lambda: source.status(A1).high_watermark == 1_001)
        assert A1 in source.news()
        source.remove(A1)
        assert A1 not in source.news()

    play(monkeypatch, scenario)


def test_a_leader_that_does_not_answer_holds_up_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        asked = cluster.offsets

        async def offsets(node: int, *rest: Any) -> Any:
            if node == 2 and not back.is_set():
                raise SourceUnreachable("h:2: gone")
            return await asked(node, *rest)

        back = asyncio.Event()
        monkeypatch.setattr(cluster, "offsets", offsets)
        source.add(A0, -1)
        source.add(B0, -1)
        (await cluster.fetch(1)).answer({("a", 0): SMALL}, session_id=7)
        (batch,) = await source.poll()
        assert batch.partition == A0
        await until(lambda: source.status(B0).problem is not None)
        assert "h:2: gone" in str(source.status(B0).problem)
        assert source.error == ""
        assert source.status(A0).problem is None

        back.set()
        assert (await fetch_of(cluster, 2)).asked == [("b", 0, 0)]
        assert source.status(B0).problem is None

    play(monkeypatch, scenario)


def test_a_round_for_caution_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        names = [f"t{number}" for number in range(1_200)]
        for name in names:
            cluster.leaders[name], cluster.ids[name] = {0: 1}, f"id-{name}"
            cluster.epochs[name] = {0: 0}
            source.add(SourcePartition(name, 0), 0)
        (await cluster.fetch(1)).answer({}, session_id=7)
        looked: list[set[str]] = []
        asked = cluster.metadata

        async def metadata(topics: list[str]) -> object:
            looked.append(set(topics))
            return await asked(topics)

        last = SourcePartition("t1199", 0)
        await until(lambda: source.status(last).high_watermark is not None)
        monkeypatch.setattr(cluster, "metadata", metadata)
        # In time all are looked at, a few hundred with each question.
        await until(lambda: set().union(*looked) >= set(names))
        assert max(map(len, looked)) <= 200

    play(monkeypatch, scenario)
