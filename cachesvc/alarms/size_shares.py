"""How near limits of size have come to what a subscription has still to read."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter

from cachesvc.log.log_store import LogStore
from cachesvc.model import Segment
from cachesvc.policy.shedding import TopicName
from cachesvc.policy.size_limits import SizeLimits, held_by

_KEPT_MS = 60_000
"""A topic is looked at anew after that; sizes do not change much faster than that."""


@dataclass(frozen=True, slots=True)
class _Newer:
    """The segments of a topic by their times of mining, rising, and what is in each and newer."""

    made_ms: int
    times_ms: list[int]
    bytes: list[int]
    records: list[int]


class SizeShares:
    """Looks at topics that have limits. Belongs to one event loop.

    Args:
        store: The logs.
    """

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._topics: dict[TopicName, _Newer] = {}

    def used(self, segment: Segment, limits: SizeLimits, now_ms: int) -> float:
        """Of the limit that takes a segment first, how much is as new as that or newer.

        Args:
            segment: Which; a protected subscription has still to read it, if there are any.
            limits: Of its topic.
            now_ms: The present.
        """
        if limits.protection is not None:
            bytes_max = limits.protection.bytes_max
            if bytes_max is None:
                return 0.0
            bytes_max, records_max = max(bytes_max, limits.bytes_max or 0), None
        else:
            bytes_max, records_max = limits.bytes_max, limits.records_max
        newer = self._newer(segment, now_ms)
        at = min(bisect_left(newer.times_ms, segment.newest_mined_ms), len(newer.times_ms) - 1)
        return max(
            newer.bytes[at] / bytes_max if bytes_max else 0.0,
            newer.records[at] / records_max if records_max else 0.0,
        )

    def _newer(self, segment: Segment, now_ms: int) -> _Newer:
        topic = segment.partition.connection, segment.partition.topic
        known = self._topics.get(topic)
        if known is None or not 0 <= now_ms - known.made_ms < _KEPT_MS:
            known = self._topics[topic] = self._look(topic, now_ms)
        return known

    def _look(self, topic: TopicName, now_ms: int) -> _Newer:
        logs = self._store.in_order(*topic)
        newest_first = sorted(
            (segment for log in logs for segment in log.segments),
            key=attrgetter("newest_mined_ms"),
            reverse=True,
        )
        return _Newer(
            now_ms,
            [segment.newest_mined_ms for segment in reversed(newest_first)],
            _rising(held_by(segment) for segment in newest_first),
            _rising(segment.record_count for segment in newest_first),
        )


def _rising(newest_first: Iterable[int]) -> list[int]:
    """Sums from the newest on, the oldest first."""
    return list(accumulate(newest_first))[::-1]
