"""A cluster that a fetcher asks, and the answers that a test gives."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cachesvc.errors import SourceUnreachable
from cachesvc.mining.kafka import fetcher
from cachesvc.mining.kafka.fetcher import KafkaSource
from cachesvc.mining.kafka.links import Channel, RequestUnknown
from cachesvc.mining.kafka.settings import KafkaSettings
from cachesvc.mining.kafka.topic_metadata import Metadata, TopicMetadata
from cachesvc.mining.source import POLL_BYTES_MAX, SourcePartition
from tests.support import virtual_time
from tests.unit.mining.record_batches import record_batch

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
        async with asyncio.timeout(30):
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

    virtual_time.run(stage())


A0, A1, B0 = SourcePartition("a", 0), SourcePartition("a", 1), SourcePartition("b", 0)
SMALL = record_batch(0, [b"{}"])
LARGE = record_batch(0, [bytes(POLL_BYTES_MAX + 1)], compression=0)
