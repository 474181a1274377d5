"""The ``SourceReader`` for Kafka: one fetch at a time per broker, and a bounded amount ahead.

Nothing here goes over all partitions unless something has happened to all of them: who is to be
fetched is kept by broker, answers name what has news, and so does ``news``.
"""

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from cachesvc.backoff import Backoff
from cachesvc.errors import SourceUnreachable
from cachesvc.mining.kafka.cluster import READ_COMMITTED, Cluster, error_name
from cachesvc.mining.kafka.cut_batch import cut_batch_bytes
from cachesvc.mining.kafka.failures import told
from cachesvc.mining.kafka.fetch_request import SessionFetchRequest
from cachesvc.mining.kafka.fetch_state import FetchState
from cachesvc.mining.kafka.links import Channel
from cachesvc.mining.kafka.node_fetches import Fetch, NodeFetches
from cachesvc.mining.kafka.record_batches import KafkaBatch, next_fetch
from cachesvc.mining.kafka.settings import KafkaSettings
from cachesvc.mining.kafka.survey import Survey
from cachesvc.mining.source import (
    POLL_BYTES_MAX,
    FetchCounts,
    FetchTimes,
    PartitionStatus,
    SourcePartition,
)
from cachesvc.policy.fetch_size import FetchSize
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH
from cachesvc.policy.spacing import SPACING_MS

_NO_ERROR = 0
_OFFSET_OUT_OF_RANGE = 1
_ONE_BATCH_BYTES_MAX = 1 << 30
_SURVEY_SPACING_S = 0.05
# Fetches that bring less than this are spaced.
_SMALL_FETCH_BYTES = 64 << 10


class KafkaSource:
    """A ``SourceReader`` of committed records."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._cluster = Cluster(settings)
        self._states: dict[SourcePartition, FetchState] = {}
        self._survey = Survey(self._cluster, settings.metadata_interval_s, self._settle)
        self._nodes: dict[int, NodeFetches] = {}
        self._holders: dict[SourcePartition, NodeFetches] = {}
        self._unfetched: set[FetchState] = set()
        self._news: set[SourcePartition] = set()
        self._ready: deque[FetchState] = deque()
        self._arrived = asyncio.Event()
        self._generations = itertools.count(1)
        self._tasks: asyncio.TaskGroup | None = None
        self._spacing_s = SPACING_MS / 1000
        self._error = ""
        self._throttled_s = 0.0
        self.fetches = FetchCounts()

    @property
    def error(self) -> str:
        """See ``SourceReader``."""
        return self._error

    @property
    def throttled_s(self) -> float:
        """See ``SourceReader``."""
        return self._throttled_s

    async def run(self) -> None:
        """See ``SourceReader``."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._keep_surveying())
        finally:
            await self._survey.close()
            await self._cluster.close()

    def expect(self, cluster_id: str) -> None:
        """See ``SourceReader``."""
        if cluster_id != self._cluster.cluster_id:
            self._cluster.expect(cluster_id)
            for state in self._states.values():
                self._survey.doubt(state)
            self._survey.wanted.set()

    def add(
        self,
        partition: SourcePartition,
        offset: int,
        topic_id: str = "",
        leader_epoch: int = UNKNOWN_EPOCH,
    ) -> None:
        """See ``SourceReader``. A partition that moves stays in its incarnation."""
        before = self._forget(partition)
        state = FetchState(partition, offset, self._settings.partition_bytes_max)
        state.epoch, state.generation = leader_epoch, next(self._generations)
        if before is not None and not before.given_up:
            state.topic_id = before.topic_id
            state.high_watermark = before.high_watermark
        if topic_id:
            state.topic_id = topic_id
        self._states[partition] = state
        self._survey.add(state)
        self._settle(state)

    def remove(self, partition: SourcePartition) -> None:
        """See ``SourceReader``."""
        self._forget(partition)

    def _forget(self, partition: SourcePartition) -> FetchState | None:
        state = self._states.pop(partition, None)
        if state is not None:
            state.buffered = None
            self._survey.remove(state)
            self._unfetched.discard(state)
            self._news.discard(partition)
            if (holder := self._holders.pop(partition, None)) is not None:
                holder.release(partition)
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
            self._settle(state)

    async def poll(self) -> Sequence[KafkaBatch]:
        """See ``SourceReader``."""
        while not (batches := self._take_ready()):
            self._arrived.clear()
            await self._arrived.wait()
        return batches

    def _take_ready(self) -> list[KafkaBatch]:
        taken: list[KafkaBatch] = []
        size = 0
        while self._ready:
            state = self._ready[0]
            if state.buffered is not None:
                size += state.buffered.encoded_bytes
                if taken and size > POLL_BYTES_MAX:
                    break
                taken.append(state.buffered)
                state.buffered = None
                self._settle(state)
            self._ready.popleft()
        return taken

    def status(self, partition: SourcePartition) -> PartitionStatus:
        """See ``SourceReader``."""
        state = self._states[partition]
        node = None if state.node is None else self._nodes.get(state.node)
        throttled = "" if node is None else node.throttled
        return PartitionStatus(state.high_watermark, state.problem, throttled)

    def news(self) -> Collection[SourcePartition]:
        """See ``SourceReader``."""
        news, self._news = self._news, set()
        return news

    # Who is fetched from whom

    def _settle(self, state: FetchState) -> None:
        """Has to be called after whatever may have changed about a state."""
        partition = state.partition
        if self._states.get(partition) is not state:
            return
        self._news.add(partition)
        holder = None if state.node is None else self._node(state.node)
        before = self._holders.get(partition)
        if before is not None and before is not holder:
            before.release(partition)
        if holder is None:
            self._holders.pop(partition, None)
        else:
            self._holders[partition] = holder
            holder.hold(state)
        if holder is not None and state.fetchable:
            self._unfetched.discard(state)
        else:
            self._unfetched.add(state)

    def _node(self, number: int) -> NodeFetches:
        node = self._nodes.get(number)
        if node is None:
            assert self._tasks is not None, "leaders are learned while it runs"
            node = NodeFetches(number, FetchSize(self._settings.fetch_bytes_max))
            self._nodes[number] = node
            self._tasks.create_task(self._keep_fetching(node))
        return node

    # Metadata

    async def _keep_surveying(self) -> None:
        interval_s = self._settings.metadata_interval_s
        backoff = Backoff(limit_s=interval_s)
        while True:
            self._survey.wanted.clear()
            try:
                await self._survey.look(self._untold())
                self._error = ""
            except SourceUnreachable as error:
                self._error = told(error)
                await asyncio.sleep(backoff.next())
                continue
            if not self._survey.doubtful:
                backoff.reset()
            for node in self._nodes.values():
                self._show_throttling(node)
            with contextlib.suppress(TimeoutError):
                pause_s = backoff.next() if self._survey.doubtful else interval_s
                async with asyncio.timeout(pause_s):
                    await self._survey.wanted.wait()
            await asyncio.sleep(_SURVEY_SPACING_S)

    def _untold(self) -> list[FetchState]:
        """States whose high watermark no fetch has told for a while."""
        silent_s = time.monotonic() - self._settings.metadata_interval_s
        silent = [node for node in self._nodes.values() if node.answered_s < silent_s]
        return [
            *self._unfetched,
            *(self._states[partition] for node in silent for partition in node.session.wanted),
        ]

    # Fetching

    async def _keep_fetching(self, node: NodeFetches) -> None:
        while True:
            await node.changed.wait()
            node.changed.clear()
            busy = sum(each.busy for each in self._nodes.values())
            budget = self._settings.fetch_bytes_max // max(1, busy)
            fetch = node.next_fetch(budget, self._settings.fetch_wait_s)
            if fetch is not None:
                await self._fetch(node, fetch)
                node.changed.set()

    async def _fetch(self, node: NodeFetches, fetch: Fetch) -> None:
        request = SessionFetchRequest(
            fetch.naming, int(fetch.wait_s * 1000), fetch.bytes_max, READ_COMMITTED
        )
        began_s = time.monotonic()
        try:
            response = await self._cluster.send(node.number, Channel.FETCH, request)
        except SourceUnreachable as error:
            self._fetch_failed(node, error)
            await asyncio.sleep(node.backoff.next())
            return
        node.answered_s = time.monotonic()
        error_code = getattr(response, "error_code", _NO_ERROR)
        if error_code != _NO_ERROR:
            self.fetches.failed += 1
            node.session.lost(error_code)
            await asyncio.sleep(node.backoff.next())
            return
        node.session.answered(getattr(response, "session_id", 0))
        node.backoff.reset()
        fetched = FetchTimes(began_s, node.answered_s)
        brought_bytes = self._accept(node, response, fetched)
        self.fetches.answered += 1
        self.fetches.bytes += brought_bytes
        took_s = node.answered_s - began_s - fetch.wait_s
        if response.throttle_time_ms > 0:
            await self._held_back(node, response.throttle_time_ms / 1000)
            return
        node.size.brought(brought_bytes, fetch.bytes_max, took_s)
        if not brought_bytes and not fetch.wait_s:
            node.brought_nothing_ahead()
        elif brought_bytes < _SMALL_FETCH_BYTES:
            await asyncio.sleep(began_s + self._spacing_s - time.monotonic())

    def _fetch_failed(self, node: NodeFetches, error: SourceUnreachable) -> None:
        self.fetches.failed += 1
        node.session.lost()
        node.size.failed()
        for partition in list(node.session.wanted):
            state = self._states[partition]
            state.fail_by(error)
            self._settle(state)
            self._survey.doubt(state)

    async def _held_back(self, node: NodeFetches, throttle_s: float) -> None:
        """Leaves a broker alone for as long as it wants."""
        node.size.throttled(throttle_s)
        node.throttling.told(throttle_s, time.monotonic())
        self._show_throttling(node)
        self._throttled_s += throttle_s
        await asyncio.sleep(throttle_s)

    def _show_throttling(self, node: NodeFetches) -> None:
        said = node.throttling.describe(time.monotonic())
        if said != node.throttled:
            node.throttled = said
            self._news.update(p for p, holder in self._holders.items() if holder is node)

    def _accept(self, node: NodeFetches, response: Any, fetched: FetchTimes) -> int:
        """Hands an answer to its states; how many bytes of records or holes it brought."""
        for recovered in node.take_troubled():
            recovered.works()
            self._settle(recovered)
        brought_bytes = node.cut_bytes = 0
        for topic, partitions in response.topics or ():
            for number, error_code, high_watermark, *rest in partitions:
                partition = SourcePartition(topic, number)
                state, asked = self._states.get(partition), node.session.asked(partition)
                if state is None or asked is None or not state.expects(asked):
                    continue
                last_stable, aborted = rest[0], rest[1 if response.API_VERSION == 4 else 2]
                watermark = last_stable if last_stable >= 0 else high_watermark
                if error_code != _NO_ERROR:
                    self._refused(node, state, error_code)
                elif not state.note_watermark(watermark, node.answered_s):
                    self._survey.doubt(state)
                else:
                    state.works()
                    state.prove(asked.leader_epoch)
                    data = rest[-1] or b""
                    brought_bytes += self._take(state, data, aborted or (), fetched)
                    if node.size.scarce:
                        node.cut_bytes = max(node.cut_bytes, cut_batch_bytes(data))
                self._settle(state)
        return brought_bytes

    def _refused(self, node: NodeFetches, state: FetchState, error_code: int) -> None:
        if state.node != node.number:
            return  # it is asked for elsewhere by now
        if error_code == _OFFSET_OUT_OF_RANGE:
            state.out_of_range = True
        else:
            state.refuse(error_code, error_name(error_code))
        self._survey.doubt(state)

    def _take(
        self, state: FetchState, data: bytes, aborted: Iterable[Any], fetched: FetchTimes
    ) -> int:
        end, epoch = next_fetch(data, state.offset)
        if end > state.offset:
            span = state.offset, end
            state.buffer(KafkaBatch(state.partition, *span, data, tuple(aborted), epoch, fetched))
            state.bytes_max = self._settings.partition_bytes_max
            self._ready.append(state)
            self._arrived.set()
            return len(data)
        if data:
            # Brokers before 2.x cut off a record batch that does not fit.
            state.bytes_max = min(2 * state.bytes_max, _ONE_BATCH_BYTES_MAX)
        return 0
