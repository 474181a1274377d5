"""Which appends are traced, and whose traces their records carry.

A record's header ``traceparent`` is that of the W3C (https://www.w3.org/TR/trace-context/):
version, trace, span and flags in hexadecimal digits, of which the lowest flag says whether the
producer's span was recorded.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from cachesvc.policy.caller_bounds import TokenBucket

TRACE_PARENT = "traceparent"
"""The header's key."""
SAMPLED_PATTERN = "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f][13579bdf]"
"""RE2: what ``producer_of`` takes begins so, and little else does."""
LINKS_MAX = 32
"""Producers that one trace names."""

_SAMPLED = 1
# Later versions may have more behind the flags, and ff is none.
_FORM = re.compile(rb"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


class Producer(NamedTuple):
    """The span in which a record was produced.

    Attributes:
        offset: The record's.
        trace_id: 16 bytes as a number, never 0.
        span_id: 8 bytes as a number, never 0.
    """

    offset: int
    trace_id: int
    span_id: int


def producer_of(offset: int, header: bytes) -> Producer | None:
    """The producer that a header names; None if it is no such header, or the span not recorded."""
    found = _FORM.fullmatch(header)
    if found is None or (found[1] == b"00" and len(header) != found.end(4)):
        return None
    trace_id, span_id, flags = (int(found[number], 16) for number in (2, 3, 4))
    if not trace_id or not span_id or not flags & _SAMPLED:
        return None
    return Producer(offset, trace_id, span_id)


def producers_of(headers: Sequence[tuple[int, bytes]]) -> tuple[Producer, ...]:
    """The producers that headers name, with their records' offsets: the first ``LINKS_MAX``.

    Of one span that produced several records the first one counts.
    """
    found: dict[tuple[int, int], Producer] = {}
    for offset, header in headers:
        producer = producer_of(offset, header)
        if producer is not None:
            found.setdefault((producer.trace_id, producer.span_id), producer)
            if len(found) == LINKS_MAX:
                break
    return tuple(found.values())


class Sampler:
    """Decides which appends are traced.

    Invariant: over any time t it takes at most ``1 + per_s_max * (1 + t)`` of them, whatever the
    producers do.

    Args:
        ratio: Of all appends, the share that is taken.
        per_s_max: The most in a second.
    """

    def __init__(self, ratio: float, per_s_max: float) -> None:
        self._ratio = ratio
        self._bucket = TokenBucket(per_s_max, max(1.0, per_s_max))

    def takes(self, chance: float, now_s: float, *, wanted: bool) -> bool:
        """Whether an append is traced.

        Args:
            chance: Drawn evenly from [0, 1).
            now_s: Of a clock that never goes back.
            wanted: Whether it is, whatever the share.
        """
        if chance >= self._ratio and not wanted:
            return False
        return self._bucket.take(1.0, now_s) == 0.0
