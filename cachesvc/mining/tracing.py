"""Which appends a reader has traced, and what it tells the service of them.

The spans are made by the service, so that a reader, on whichever machine, needs neither a library
nor a way to the collector.
"""

import random
import time
from collections.abc import Callable

import msgspec

from cachesvc.mining.encode import EncodedAppend
from cachesvc.mining.source import FetchTimes
from cachesvc.policy.sampling import Sampler
from cachesvc.v1 import mining_pb2 as pb


class TraceSettings(msgspec.Struct, frozen=True):
    """What the service tells a reader about traces; unknown fields are for newer readers.

    Attributes:
        ratio: Of all appends, the share that is traced.
        per_s_max: Appends traced in a second at most.
        follow_producers: Whether appends are traced besides whose producers were.
    """

    ratio: float
    per_s_max: float
    follow_producers: bool


class Tracing:
    """Chooses appends, and tells what happened to them. Belongs to one event loop.

    Args:
        settings: Which.
        draw: Draws evenly from [0, 1).
        clock_s: As ``time.monotonic``.
        clock_ns: As ``time.time_ns``.
    """

    def __init__(
        self,
        settings: TraceSettings,
        draw: Callable[[], float] = random.random,
        clock_s: Callable[[], float] = time.monotonic,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._sampler = Sampler(settings.ratio, settings.per_s_max)
        self._follow = settings.follow_producers
        self._draw = draw
        self._clock_s = clock_s
        self._clock_ns = clock_ns

    def of(
        self, append: EncodedAppend, fetched: FetchTimes | None, taken_s: float
    ) -> pb.AppendTrace | None:
        """What to tell of an append that is about to be sent; None of one that is not traced.

        Args:
            append: With records, or nothing is told.
            fetched: When they were.
            taken_s: When they were taken up.
        """
        if fetched is None or not append.record_count:
            return None
        now_s = self._clock_s()
        wanted = self._follow and bool(append.producers)
        if not self._sampler.takes(self._draw(), now_s, wanted=wanted):
            return None
        now_ns = self._clock_ns()

        def at_ns(moment_s: float) -> int:
            return now_ns - round((now_s - moment_s) * 1e9)

        trace = pb.AppendTrace(
            fetch_began_ns=at_ns(fetched.began_s),
            fetched_ns=at_ns(fetched.answered_s),
            taken_ns=at_ns(taken_s),
            sent_ns=now_ns,
        )
        for each in append.producers:
            trace.producers.add(
                offset=each.offset, trace_id=each.trace_id.to_bytes(16), span_id=each.span_id
            )
        return trace
