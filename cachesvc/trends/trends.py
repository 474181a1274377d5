"""Measures, and keeps what was measured over the last hour."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import TypeVar

from cachesvc.model import TopicId
from cachesvc.policy.rings import Rings
from cachesvc.subscriptions.subscriber import Subscriber
from cachesvc.subscriptions.subscription import Subscription
from cachesvc.trends.measured import Measured, in_turns

K = TypeVar("K", bound=Hashable)
_INTERVAL_S = 15.0
_FIRST_INTERVAL_S = 1.0
"""It doubles until it is the other one, so that a service that has just started has a past soon."""
_SHARE_MAX = 0.01
"""Of the event loop's time, however much there is to measure."""
_MOMENTS = 240
_SUBJECTS_MAX = 10_000
_CONNECTIONS_MAX = 1_000
_Values = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Point:
    """How things were at a moment.

    Attributes:
        at_ms: The moment.
        mined_per_s: Records, since the point before; None for a subscription.
        sent_per_s: Records, likewise.
        lag: Offsets behind; None where that was not known.
    """

    at_ms: int
    mined_per_s: float | None
    sent_per_s: float
    lag: int | None


class Trends:
    """The service, its topics and its subscriptions over the last hour, where ``run`` runs.

    Topics and subscriptions of which something was mined, sent or behind within that hour take
    about 3 KB each; there are 10,000 of either at most, and others are told as if they were idle.

    Args:
        measured: What there is.
        clock: Seconds that never go back.
        now_ms: Milliseconds since the epoch.
    """

    def __init__(
        self,
        measured: Measured,
        clock: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._measured = measured
        self._clock = clock
        self._now_ms = now_ms
        self._whole: Rings[None] = Rings(3, _MOMENTS, 1)
        self._connections: Rings[str] = Rings(3, _MOMENTS, _CONNECTIONS_MAX)
        self._topics: Rings[TopicId] = Rings(3, _MOMENTS, _SUBJECTS_MAX)
        self._subscriptions: Rings[str] = Rings(2, _MOMENTS, _SUBJECTS_MAX)
        self._at_s = clock()
        self._mined: dict[TopicId, int] = {}
        self._sent: dict[TopicId, int] = {}
        self._streams: dict[Subscriber, int] = {}

    def whole(self, since_ms: int = 0) -> Iterator[Point]:
        """Of the service as a whole since then, the oldest first; likewise below."""
        return _points(self._whole.of(None, since_ms))

    def connection(self, name: str, since_ms: int = 0) -> Iterator[Point]:
        """Of all topics of a connection together."""
        return _points(self._connections.of(name, since_ms))

    def topic(self, topic: TopicId, since_ms: int = 0) -> Iterator[Point]:
        """Of one topic."""
        return _points(self._topics.of(topic, since_ms))

    def subscription(self, name: str, since_ms: int) -> Iterator[Point]:
        """Of one subscription; one of the same name before it was made is another."""
        for at_ms, (sent, lag) in self._subscriptions.of(name, since_ms):
            yield Point(at_ms, None, sent, round(lag))

    async def run(self) -> None:
        """Measures until cancelled."""
        interval_s = _FIRST_INTERVAL_S
        took_s = 0.0
        while True:
            await asyncio.sleep(max(interval_s, took_s / _SHARE_MAX))
            began_s = self._clock()
            await self.measure()
            took_s = self._clock() - began_s
            interval_s = min(2 * interval_s, _INTERVAL_S)

    async def measure(self) -> None:
        """Adds how things are now; others have their turn meanwhile."""
        now_s, at_ms = self._clock(), self._now_ms()
        elapsed_s, self._at_s = max(0.001, now_s - self._at_s), now_s
        mined = {each: value / elapsed_s for each, value in (await self._newly_mined()).items()}
        sent = {each: value / elapsed_s for each, value in (await self._newly_sent()).items()}
        lags = await self._lags()
        readings = await self._readings(elapsed_s)
        topics = {
            each: (mined.get(each, 0.0), sent.get(each, 0.0), lags.get(each, 0.0))
            for each in {*mined, *sent, *lags}
        }
        connections: dict[str, list[_Values]] = defaultdict(list)
        for topic, values in topics.items():
            connections[topic.connection].append(values)
        sums = {name: _sum(rows) for name, rows in connections.items()}
        await _add(self._topics, at_ms, topics)
        await _add(self._subscriptions, at_ms, readings)
        await _add(self._connections, at_ms, sums)
        await _add(self._whole, at_ms, {None: _sum(list(sums.values()))})

    async def _newly_mined(self) -> dict[TopicId, int]:
        """Records of topics of which any were mined since the last time."""
        watch, found = self._measured.watch, {}
        async for topic in in_turns(watch.topics):
            records = watch.since_start(topic).records
            if newly := records - self._mined.get(topic, 0):
                found[topic], self._mined[topic] = newly, records
        return found

    async def _newly_sent(self) -> dict[TopicId, int]:
        """Records of topics of which any were sent since the last time."""
        found = {}
        async for topic, flow in in_turns(self._measured.deliveries.by_topic.items()):
            if newly := flow.records - self._sent.get(topic, 0):
                found[topic], self._sent[topic] = newly, flow.records
        return found

    async def _lags(self) -> dict[TopicId, float]:
        """Offsets of needed topics behind their source, where there are any or nobody knows."""
        store, found = self._measured.store, {}
        for source in self._measured.sources.all():
            async for name in in_turns(self._measured.assignments.needed(source)):
                topic = store.topic_id(source.name, name)
                lags = [log.mining_lag for log in store.logs.of_topic(topic)]
                known = [lag for lag in lags if lag is not None]
                lag = nan if lags and not known else sum(known)
                if lag:
                    found[topic] = lag
        return found

    async def _readings(self, elapsed_s: float) -> dict[str, tuple[float, float]]:
        """What subscriptions were sent a second, and how far they are behind; none of the idle."""
        streams: dict[Subscriber, int] = {}
        found = {}
        async for subscription in in_turns(self._measured.subscriptions.all()):
            sent = 0
            for stream in subscription.subscribers:
                streams[stream] = stream.records
                sent += stream.records - self._streams.get(stream, 0)
            lag = self._lag(subscription)
            if sent or lag:
                found[subscription.record.name] = sent / elapsed_s, float(lag)
        self._streams = streams
        return found

    def _lag(self, subscription: Subscription) -> int:
        """From what is stored, and where nothing is from what was delivered."""
        places = {**subscription.delivering, **subscription.positions}
        logs = ((self._measured.store.get(partition), at) for partition, at in places.items())
        return sum(max(0, log.log_end_offset - at) for log, at in logs if log is not None)


async def _add(rings: Rings[K], at_ms: int, found: Mapping[K, Sequence[float]]) -> None:
    rings.begin()
    async for subject, values in in_turns(found.items()):
        rings.put(subject, values)
    rings.end(at_ms)


def _sum(rows: Collection[_Values]) -> _Values:
    """All together; the lag of those that have a known one."""
    known = [lag for _, _, lag in rows if not isnan(lag)]
    lag = nan if rows and not known else sum(known)
    return sum(mined for mined, _, _ in rows), sum(sent for _, sent, _ in rows), lag


def _points(rows: Iterable[tuple[int, tuple[float, ...]]]) -> Iterator[Point]:
    for at_ms, (mined, sent, lag) in rows:
        yield Point(at_ms, mined, sent, None if isnan(lag) else round(lag))
