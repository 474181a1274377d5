"""What the fetcher asks of brokers, against a cluster in memory that records it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cachesvc.errors import SourceChanged, SourceUnreachable
from cachesvc.mining.kafka import fetcher
from cachesvc.mining.kafka.cluster import Channel, KafkaSettings, RequestUnknown
from cachesvc.mining.kafka.fetcher import KafkaSource
from cachesvc.mining.kafka.topic_metadata import Metadata, TopicMetadata
from cachesvc.mining.source import EARLIEST, POLL_BYTES_MAX, ProblemReason, SourcePartition
from tests.unit.mining.fake_service import until
from tests.unit.mining.test_record_batches import record_batch

MIB = 1 << 20
SETTINGS = KafkaSettings(
    bootstrap_servers=("h:1",),
    fetch_bytes_max=4 * MIB,
    partition_bytes_max=MIB,
    metadata_interval_s=0.05,
)


class FakeCluster:
    """Brokers 1 and 2; a fetch waits until a test answers it."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self.leaders = {"a": {0: 1, 1: 1}, "b": {0: 2}}
        self.ids = {"a": "id-a", "b": "id-b"}
        self.error: SourceUnreachable | None = None
        self.ends = 0
        self.epochs = {"a": {0: 0, 1: 0}, "b": {0: 0}}
        self.epoch_ends_known: dict[SourcePartition, tuple[int, int, int]] | None = {}
        self.compared: list[tuple[int, dict[SourcePartition, tuple[int, int]]]] = []
        self.fetches: asyncio.Queue[tuple[int, Any, asyncio.Future[Any]]] = asyncio.Queue()
        self.closed = False
        self.cluster_id = ""
        self.silent: dict[int, SourceUnreachable] = {}
        self.away: set[int] = set()
        self.throttled_s = 0.0

    def expect(self, cluster_id: str) -> None:
        self.cluster_id = cluster_id

    def silence(self, node: int) -> SourceUnreachable | None:
        return self.silent.get(node)

    def address(self, node: int) -> str:
        return f"h:{node}"

    async def metadata(self, topics: Any) -> Metadata:
        if self.error is not None:
            raise self.error
        return Metadata(
            {1: ("h", 1), 2: ("h", 2)},
            {
                name: TopicMetadata(0, self.ids[name], False, self.leaders[name], self.epochs[name])
                if name in self.leaders
                else TopicMetadata(3, "", False, {})
                for name in topics
            },
        )

    async def offsets(self, node: int, timestamps: Any, isolation: int = 1) -> Any:
        if node in self.away:
            raise SourceUnreachable(f"h:{node}: refused")
        return {
            partition: (0, 0 if timestamp == -2 else self.ends)
            for partition, timestamp in timestamps.items()
        }

    async def epoch_ends(self, node: int, asked: Any) -> Any:
        self.compared.append((node, dict(asked)))
        if self.epoch_ends_known is None:
            raise RequestUnknown("h:1: it does not speak this")
        return {partition: self.epoch_ends_known[partition] for partition in asked}

    async def send(self, node: int, channel: Channel, request: Any) -> Any:
        assert channel is Channel.FETCH
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.fetches.put_nowait((node, request.build(RequestV11), answered))
        return await answered

    async def close(self) -> None:
        self.closed = True

    async def fetch(self, node: int) -> "Fetch":
        """The next fetch that this node gets."""
        async with asyncio.timeout(5):
            got, request, answered = await self.fetches.get()
        assert got == node
        return Fetch(request, answered)


class RequestV11(SimpleNamespace):
    API_VERSION = 11

    def __init__(self, *fields: Any) -> None:
        names = "replica wait_ms min_bytes max_bytes isolation session_id session_epoch topics"
        names += " forgotten_topics_data rack"
        super().__init__(**dict(zip(names.split(), fields, strict=True)))


class Fetch:
    def __init__(self, request: Any, answered: "asyncio.Future[Any]") -> None:
        self.request = request
        self._answered = answered

    @property
    def epochs(self) -> dict[tuple[str, int], int]:
        """The epoch that the leader has to have."""
        return {
            (topic, partition[0]): partition[1]
            for topic, partitions in self.request.topics
            for partition in partitions
        }

    @property
    def asked(self) -> list[tuple[str, int, int]]:
        return sorted(
            (topic, partition[0], partition[2])
            for topic, partitions in self.request.topics
            for partition in partitions
        )

    @property
    def session(self) -> tuple[int, int]:
        """Id and epoch."""
        return self.request.session_id, self.request.session_epoch

    def answer(
        self,
        data: dict[tuple[str, int], bytes],
        error_code: int = 0,
        stable: int = 1_000,
        **said: int,
    ) -> None:
        """Answers with bytes for some partitions, and with an error code for all that it names.

        Args:
            said: Of the whole answer: its session_id, error_code and throttle_time_ms.
        """

        def part(topic: str, number: int) -> tuple[Any, ...]:
            found = data.get((topic, number), b"")
            return (number, error_code, stable, stable, 0, None, -1, found)

        topics = [
            (topic, [part(topic, number) for number, *_ in partitions])
            for topic, partitions in self.request.topics
        ]
        whole = {"throttle_time_ms": 0, "error_code": 0, "session_id": 0, **said}
        self._answered.set_result(SimpleNamespace(API_VERSION=11, topics=topics, **whole))

    def answer_quietly(self, *named: tuple[str, int, int], **said: int) -> None:
        """Answers for no partition but these, of which only the high watermark has news."""
        whole = {"throttle_time_ms": 0, "error_code": 0, "session_id": self.session[0], **said}
        topics = [(topic, [(n, 0, end, end, 0, None, -1, b"")]) for topic, n, end in named]
        self._answered.set_result(SimpleNamespace(API_VERSION=11, topics=topics, **whole))


def play(
    monkeypatch: pytest.MonkeyPatch,
    scenario: Callable[[KafkaSource, FakeCluster], Awaitable[None]],
) -> None:
    async def stage() -> None:
        cluster = FakeCluster(SETTINGS)
        monkeypatch.setattr(fetcher, "Cluster", lambda settings: cluster)
        source = KafkaSource(SETTINGS)
        running = asyncio.ensure_future(source.run())
        try:
            await scenario(source, cluster)
            assert not running.done(), running.result()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert cluster.closed

    asyncio.run(stage())


A0, A1, B0 = SourcePartition("a", 0), SourcePartition("a", 1), SourcePartition("b", 0)
SMALL = record_batch(0, [b"{}"])
LARGE = record_batch(0, [bytes(POLL_BYTES_MAX + 1)], compression=0)


def test_each_broker_is_asked_for_what_it_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        source.add(A1, 7)
        first = await cluster.fetch(1)
        assert first.asked == [("a", 0, 0), ("a", 1, 7)]
        assert first.request.isolation == 1
        assert first.request.wait_ms == 500
        source.add(B0, 3)
        assert (await cluster.fetch(2)).asked == [("b", 0, 3)]

    play(monkeypatch, scenario)


def test_goes_on_behind_what_it_got_and_polls_small_batches_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        source.add(A1, 0)
        (await cluster.fetch(1)).answer({("a", 0): SMALL, ("a", 1): SMALL + record_batch(1, [b""])})

        batches = await source.poll()

        assert [(b.partition, b.base_offset, b.end_offset) for b in batches] == [
            (A0, 0, 1),
            (A1, 0, 2),
        ]
        assert (await cluster.fetch(1)).asked == [("a", 0, 1), ("a", 1, 2)]

    play(monkeypatch, scenario)


def test_large_batches_are_polled_one_by_one_and_read_ahead_without_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        source.add(A1, 0)
        (await cluster.fetch(1)).answer({("a", 0): LARGE, ("a", 1): LARGE})
        (batch,) = await source.poll()

        # The other one is still here, so the broker must not make us wait for more.
        ahead = await cluster.fetch(1)
        assert ahead.asked == [(*batch.partition, 1)]
        assert ahead.request.wait_ms == 0
        assert ahead.request.max_bytes < SETTINGS.fetch_bytes_max
        ahead.answer({})
        await asyncio.sleep(0.1)
        assert cluster.fetches.empty()

        (other,) = await source.poll()
        assert {batch.partition, other.partition} == {A0, A1}
        patient = await cluster.fetch(1)
        assert patient.asked == [("a", 0, 1), ("a", 1, 1)]
        assert patient.request.wait_ms == 500

    play(monkeypatch, scenario)


def test_fetches_that_bring_little_are_spaced_as_far_as_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def times_s(source: KafkaSource, cluster: FakeCluster, value: bytes) -> list[float]:
        """When three fetches begin that are answered and taken at once."""
        began_s = []
        for offset in range(3):
            fetch = await cluster.fetch(1)
            began_s.append(time.monotonic())
            fetch.answer({("a", 0): record_batch(offset, [value], compression=0)})
            await source.poll()
        return began_s

    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.space(0.3)
        source.add(A0, 0)
        first, second, third = await times_s(source, cluster, b"{}")
        # A fetch begins a little before it is seen here.
        assert min(second - first, third - second) > 0.25

    async def unspaced(source: KafkaSource, cluster: FakeCluster) -> None:
        source.space(60.0)
        source.add(A0, 0)
        await times_s(source, cluster, bytes(100_000))

    play(monkeypatch, scenario)
    play(monkeypatch, unspaced)


def test_nothing_is_fetched_while_nobody_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        (await cluster.fetch(1)).answer({("a", 0): LARGE * 12})
        await asyncio.sleep(0.2)
        assert cluster.fetches.empty()

        (batch,) = await source.poll()

        assert batch.encoded_bytes > 2 * MIB
        assert (await cluster.fetch(1)).asked == [("a", 0, 1)]

    play(monkeypatch, scenario)


def test_what_comes_for_a_partition_that_moved_is_thrown_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        source.add(A1, 0)
        old = await cluster.fetch(1)
        source.add(A0, 50)
        source.remove(A1)
        old.answer({("a", 0): SMALL, ("a", 1): SMALL})

        assert (await cluster.fetch(1)).asked == [("a", 0, 50)]

    play(monkeypatch, scenario)


def test_what_is_buffered_for_a_partition_that_went_is_thrown_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        source.add(A1, 0)
        (await cluster.fetch(1)).answer({("a", 0): SMALL, ("a", 1): SMALL})
        await until(lambda: source.status(A1).high_watermark == 1_000)
        source.remove(A0)

        (batch,) = await source.poll()

        assert batch.partition == A1

    play(monkeypatch, scenario)


def test_a_record_batch_that_does_not_fit_gets_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        sizes = []
        for _ in range(3):
            fetch = await cluster.fetch(1)
            ((_, ((*_, size),)),) = fetch.request.topics
            sizes.append(size)
            fetch.answer({("a", 0): LARGE[:-1]})
        assert sizes == [MIB, 2 * MIB, 4 * MIB]

    play(monkeypatch, scenario)


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
