"""What is mined now, today and since a log began, topic by topic."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cachesvc.errors import PreconditionFailed
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.log.estimates import newest_timestamp_ms, timestamp_at
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import TopicId
from cachesvc.policy.throughput import Counts, Meter, Tally
from cachesvc.store.frames import Frame
from cachesvc.watching.lag import mining_lag_bytes, mining_lag_s

_log = logging.getLogger(__name__)
_STORE_INTERVAL_S = 5.0


@dataclass(frozen=True, slots=True)
class Activity:
    """What is mined of a topic.

    Attributes:
        records_10s: Per second, over about ten seconds; likewise the next three.
        bytes_10s: As stored.
        records_60s: Over about a minute.
        bytes_60s: As stored.
        lag_records: Offsets behind the source; None while no partition's end is known.
        lag_bytes: Estimate of what these will take.
        lag_s: Age of the newest record of the partition that is furthest behind; 0 without lag.
        first_ms: About the timestamp of the oldest cached record; None without any.
        last_ms: The largest timestamp of the newest ones; None without any.
        total: Since the log began.
        today: Since midnight, UTC.
    """

    records_10s: float
    bytes_10s: float
    records_60s: float
    bytes_60s: float
    lag_records: int | None
    lag_bytes: int
    lag_s: float
    first_ms: int | None
    last_ms: int | None
    total: Tally
    today: Tally


class MiningWatch:
    """Counts what is published. Belongs to one event loop; ``run`` has to run.

    Counts are stored every few seconds and at a clean end. A service that is killed forgets what
    came since, while the records themselves stay.

    Args:
        catalogue: Where counts are kept.
    """

    def __init__(self, catalogue: CatalogueThread) -> None:
        self._catalogue = catalogue
        self._counts = catalogue.call_blocking(lambda port: port.counts.all())
        self._at_start = dict(self._counts)
        self._meters: dict[TopicId, Meter] = {}
        self._changed: set[TopicId] = set()

    def published(self, log: PartitionLog, frame: Frame) -> None:
        """Counts a frame."""
        topic = log.id.topic_id
        size = frame.encoded_bytes
        tally = Tally(frame.record_count, size, frame.reject_count)
        now_ms = time.time_ns() // 1_000_000
        self._counts[topic] = self._counts.get(topic, Counts()).add(tally, now_ms)
        self._changed.add(topic)
        meter = self._meters.get(topic)
        if meter is None:
            meter = self._meters[topic] = Meter()
        meter.add(frame.record_count, size, time.monotonic())

    @property
    def topics(self) -> Sequence[TopicId]:
        """All of which something was mined since the service started."""
        return list(self._meters)

    def since_start(self, topic: TopicId) -> Tally:
        """What was mined of a topic since the service started."""
        total = self._counts.get(topic, Counts()).total
        return total - self._at_start.get(topic, Counts()).total

    def rates(self) -> list[tuple[TopicId, float, float]]:
        """Of all topics of which something was mined: records and bytes per second of late."""
        now_s = time.monotonic()
        return [
            (topic, meter.records_10s.per_s(now_s), meter.bytes_10s.per_s(now_s))
            for topic, meter in self._meters.items()
        ]

    def activity(self, topic: TopicId, logs: Sequence[PartitionLog]) -> Activity:
        """What is mined of a topic now; ``logs`` are its partitions'."""
        now_s, now_ms = time.monotonic(), time.time_ns() // 1_000_000
        meter = self._meters.get(topic) or Meter()
        counts = self._counts.get(topic, Counts())
        lags = [log.mining_lag for log in logs if log.mining_lag is not None]
        firsts = [timestamp_at(log, log.log_start_offset) for log in logs]
        lasts = [newest_timestamp_ms(log) for log in logs]
        return Activity(
            meter.records_10s.per_s(now_s),
            meter.bytes_10s.per_s(now_s),
            meter.records_60s.per_s(now_s),
            meter.bytes_60s.per_s(now_s),
            sum(lags) if lags else None,
            sum(map(mining_lag_bytes, logs)),
            max((mining_lag_s(log, now_ms) or 0.0 for log in logs), default=0.0),
            min((each for each in firsts if each), default=None),
            max((each for each in lasts if each), default=None),
            counts.total,
            counts.today(now_ms),
        )

    async def run(self) -> None:
        """Stores counts until cancelled, and then once more."""
        try:
            while True:
                await asyncio.sleep(_STORE_INTERVAL_S)
                await self._store()
        finally:
            await self._store()

    async def _store(self) -> None:
        changed, self._changed = self._changed, set()
        counts = {topic: self._counts[topic] for topic in changed}
        try:
            await self._catalogue.call(lambda port: port.counts.put(counts))
        except PreconditionFailed as error:
            self._changed |= changed
            _log.warning(
                "counts cannot be stored, trying again",
                extra={"event": "counts_not_stored", "error": str(error)},
            )
