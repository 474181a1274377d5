"""The ``SourceReader`` for Kafka: one fetch at a time per broker, and a bounded amount ahead."""

import asyncio
import contextlib
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cachesvc.errors import SourceUnreachable
from cachesvc.mining.backoff import Backoff
from cachesvc.mining.kafka.cluster import (
    READ_COMMITTED,
    Channel,
    Cluster,
    KafkaSettings,
    error_name,
)
from cachesvc.mining.kafka.failures import told
from cachesvc.mining.kafka.fetch_state import FetchState
from cachesvc.mining.kafka.leader_epochs import FencedFetchRequest
from cachesvc.mining.kafka.record_batches import KafkaBatch, next_fetch
from cachesvc.mining.kafka.survey import Survey
from cachesvc.mining.source import POLL_BYTES_MAX, PartitionStatus, ProblemReason, SourcePartition
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH
from cachesvc.policy.spacing import SPACING_MS

_NO_ERROR = 0
_OFFSET_OUT_OF_RANGE = 1
_ONE_BATCH_BYTES_MAX = 1 << 30
# Below this much in the buffer, fetching ahead costs more requests than it saves time.
_AHEAD_BYTES_MIN = 256 << 10
_SURVEY_SPACING_S = 0.05
# Fetches that bring less than this are spaced.
_SMALL_FETCH_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class _Fetch:
    """One request to one broker.

    Attributes:
        node: The broker.
        asked: States with the offset that is asked for, and the epoch of their leader.
        bytes_max: For the whole answer.
        wait_s: How long the broker may wait for records.
    """

    node: int
    asked: Sequence[tuple[FetchState, int, int]]
    bytes_max: int
    wait_s: float


class KafkaSource:
    """A ``SourceReader`` of committed records."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._cluster = Cluster(settings)
        self._states: dict[SourcePartition, FetchState] = {}
        self._survey = Survey(self._cluster, self._states, settings.metadata_interval_s)
        self._survey_wanted = asyncio.Event()
        self._changed = asyncio.Event()
        self._ready: deque[FetchState] = deque()
        self._arrived = asyncio.Event()
        self._fetching: set[int] = set()
        self._dry: set[int] = set()
        self._backoffs: defaultdict[int, Backoff] = defaultdict(Backoff)
        self._turn = 0
        self._spacing_s = SPACING_MS / 1000
        self._error = ""

    @property
    def error(self) -> str:
        """See ``SourceReader``."""
        return self._error

    async def run(self) -> None:
        """See ``SourceReader``."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_surveying())
                tasks.create_task(self._keep_fetching(tasks))
        finally:
            await self._cluster.close()

    def expect(self, cluster_id: str) -> None:
        """See ``SourceReader``."""
        if cluster_id != self._cluster.cluster_id:
            self._cluster.expect(cluster_id)
            self._survey_wanted.set()

    def add(
        self,
        partition: SourcePartition,
        offset: int,
        topic_id: str = "",
        leader_epoch: int = UNKNOWN_EPOCH,
    ) -> None:
        """See ``SourceReader``. A partition that moves stays in the same life of its topic."""
        before = self._forget(partition)
        state = FetchState(partition, offset, self._settings.partition_bytes_max)
        state.epoch = leader_epoch
        if before is not None and not before.given_up:
            state.topic_id = before.topic_id
            state.high_watermark = before.high_watermark
        if topic_id:
            state.topic_id = topic_id
        self._states[partition] = state
        self._survey_wanted.set()

    def remove(self, partition: SourcePartition) -> None:
        """See ``SourceReader``."""
        self._forget(partition)

    def _forget(self, partition: SourcePartition) -> FetchState | None:
        state = self._states.pop(partition, None)
        if state is not None:
            state.buffered = None
        return state

    def space(self, spacing_s: float) -> None:
        """See ``SourceReader``."""
        self._spacing_s = spacing_s

    def pause(self, partition: SourcePartition) -> None:
        """See ``SourceReader``."""
        state = self._states.get(partition)
        if state is not None:
            state.paused = True
            state.buffered = None
            self._changed.set()

    async def poll(self) -> Sequence[KafkaBatch]:
        """See ``SourceReader``."""
        while not (batches := self._take_ready()):
            self._arrived.clear()
            await self._arrived.wait()
        self._changed.set()
        return batches

    def _take_ready(self) -> list[KafkaBatch]:
        taken: list[KafkaBatch] = []
        size = 0
        while self._ready:
            batch = self._ready[0].buffered
            if batch is not None:
                size += batch.encoded_bytes
                if taken and size > POLL_BYTES_MAX:
                    break
                taken.append(batch)
            self._ready.popleft().buffered = None
        return taken

    def status(self, partition: SourcePartition) -> PartitionStatus:
        """See ``SourceReader``."""
        return self._states[partition].status

    # Metadata

    async def _keep_surveying(self) -> None:
        interval_s = self._settings.metadata_interval_s
        backoff = Backoff(limit_s=interval_s)
        while True:
            self._survey_wanted.clear()
            try:
                await self._survey.look()
                self._error = ""
            except SourceUnreachable as error:
                self._error = told(error)
            self._changed.set()
            if self._error:
                await asyncio.sleep(backoff.next())
                continue
            unsettled = any(state.unsettled for state in self._states.values())
            if not unsettled:
                backoff.reset()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff.next() if unsettled else interval_s):
                    await self._survey_wanted.wait()
            await asyncio.sleep(_SURVEY_SPACING_S)

    # Fetching

    async def _keep_fetching(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            for fetch in list(self._due()):
                self._fetching.add(fetch.node)
                for state, *_ in fetch.asked:
                    state.in_flight = True
                tasks.create_task(self._fetch(fetch))

    def _due(self) -> Iterator[_Fetch]:
        """Fetches to send now: to brokers without one, if there is room for what they bring."""
        buffered: defaultdict[int, int] = defaultdict(int)
        fetchable: defaultdict[int, list[FetchState]] = defaultdict(list)
        for partition, state in self._states.items():
            node = self._survey.leaders.get(partition)
            if node is None:
                continue
            if state.buffered is not None:
                buffered[node] += state.buffered.encoded_bytes
            if state.fetchable and node not in self._fetching:
                fetchable[node].append(state)
        budget = self._settings.fetch_bytes_max // max(1, len(set(self._survey.leaders.values())))
        for node, states in fetchable.items():
            ahead = buffered[node]
            if not ahead:
                self._dry.discard(node)
            elif node in self._dry or not _AHEAD_BYTES_MIN <= ahead <= budget // 2:
                continue
            # Whoever waited longest comes first: that one gets its data however large it is.
            states.sort(key=lambda state: state.served)
            asked = [(state, state.offset, state.leader_epoch) for state in states]
            wait_s = 0.0 if ahead else self._settings.fetch_wait_s
            yield _Fetch(node, asked, budget - ahead, wait_s)

    async def _fetch(self, fetch: _Fetch) -> None:
        by_topic: dict[str, list[tuple[int, int, int]]] = {}
        for state, offset, _ in fetch.asked:
            topic, number = state.partition
            by_topic.setdefault(topic, []).append((number, offset, state.bytes_max))
        epochs = {state.partition: leader_epoch for state, _, leader_epoch in fetch.asked}
        wait_ms, topics = int(fetch.wait_s * 1000), list(by_topic.items())
        request = FencedFetchRequest(epochs, wait_ms, 1, fetch.bytes_max, READ_COMMITTED, topics)
        backoff = self._backoffs[fetch.node]
        began_s = time.monotonic()
        try:
            response = await self._cluster.send(fetch.node, Channel.FETCH, request)
            backoff.reset()
            brought_bytes = self._accept(fetch, response)
            if not brought_bytes and not fetch.wait_s:
                self._dry.add(fetch.node)
            elif brought_bytes < _SMALL_FETCH_BYTES:
                await asyncio.sleep(began_s + self._spacing_s - time.monotonic())
        except SourceUnreachable as error:
            for state, *_ in fetch.asked:
                state.fail(*_problem_of(error))
            self._survey_wanted.set()
            await asyncio.sleep(backoff.next())
        finally:
            for state, *_ in fetch.asked:
                state.in_flight = False
            self._fetching.discard(fetch.node)
            self._changed.set()

    def _accept(self, fetch: _Fetch, response: Any) -> int:
        """Hands an answer to its states; how many bytes of records or holes it brought."""
        asked = {each[0].partition: each for each in fetch.asked}
        self._turn += 1
        brought_bytes = 0
        for topic, partitions in response.topics:
            for number, error_code, high_watermark, *rest in partitions:
                state, offset, leader_epoch = asked[SourcePartition(topic, number)]
                current = self._states.get(state.partition) is state
                if not current or state.paused or state.given_up:
                    continue
                if error_code != _NO_ERROR:
                    self._refused(state, error_code)
                    continue
                last_stable, aborted = rest[0], rest[1 if response.API_VERSION == 4 else 2]
                watermark = last_stable if last_stable >= 0 else high_watermark
                if not state.note_watermark(watermark, time.monotonic()):
                    self._survey_wanted.set()
                    continue
                state.works()
                state.prove(leader_epoch)
                data = rest[-1] or b""
                if self._take(state, offset, data, aborted or ()):
                    brought_bytes += len(data)
        return brought_bytes

    def _refused(self, state: FetchState, error_code: int) -> None:
        if error_code == _OFFSET_OUT_OF_RANGE:
            state.out_of_range = True
        else:
            state.refuse(error_code, error_name(error_code))
        self._survey_wanted.set()

    def _take(self, state: FetchState, offset: int, data: bytes, aborted: Any) -> bool:
        end, epoch = next_fetch(data, offset)
        if end > offset:
            batch = KafkaBatch(state.partition, offset, end, data, tuple(aborted), epoch)
            state.buffer(batch, self._turn)
            state.bytes_max = self._settings.partition_bytes_max
            self._ready.append(state)
            self._arrived.set()
            return True
        if data:
            # Brokers before 2.x cut off a record batch that does not fit.
            state.bytes_max = min(2 * state.bytes_max, _ONE_BATCH_BYTES_MAX)
        return False


def _problem_of(error: SourceUnreachable) -> tuple[ProblemReason, str]:
    if error.reason == ProblemReason.SOURCE_CHANGED.value:
        return ProblemReason.SOURCE_CHANGED, str(error)
    return ProblemReason.SOURCE_UNREACHABLE, told(error)
