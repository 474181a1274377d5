"""From what happens to records in the service to the spans that tell it."""

import asyncio
import time
from collections.abc import Callable, Mapping

from opentelemetry.trace import Span

from cachesvc.errors import CacheError
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import PartitionId
from cachesvc.settings.traces import TracesConfig
from cachesvc.store.frames import Frame
from cachesvc.tracing.export import Export
from cachesvc.tracing.remembered import Delivery, Remembered, Traced
from cachesvc.tracing.spans import Spans
from cachesvc.v1 import mining_pb2 as pb


class Traces:
    """Is told of appends that readers have traced, and of all that is sent and committed.

    Belongs to one event loop. Nothing waits: what the collector does not take in time is dropped.

    Args:
        spans: Makes the spans.
        subscriptions_max: Whose deliveries and commits one trace has at most.
        clock_ns: As ``time.time_ns``.
        clock_s: As ``time.monotonic``.
    """

    def __init__(
        self,
        spans: Spans,
        subscriptions_max: int,
        clock_ns: Callable[[], int] = time.time_ns,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spans = spans
        self._subscriptions_max = subscriptions_max
        self._clock_ns = clock_ns
        self._clock_s = clock_s
        self._remembered: Remembered[Span] = Remembered()

    def appended(
        self,
        partition: PartitionId,
        request: pb.AppendRequest,
        done: "asyncio.Future[None] | CacheError",
    ) -> None:
        """An append has come that is traced; it is published, or ``done`` says why it is not."""
        now_ns = self._clock_ns()
        span = self._spans.mine(partition, request, now_ns)
        if isinstance(done, CacheError):
            self._spans.refused(span, done.reason, now_ns)
            return
        traced = Traced(partition, request.end_offset, span, self._clock_s(), now_ns)
        self._remembered.add(traced)
        done.add_done_callback(lambda future: self._settled(traced, future))

    def published(self, log: PartitionLog, frame: Frame) -> None:
        """A frame is in the journal, and its records can be read from now on."""
        for traced in self._remembered.ending_in(log.id, frame.base_offset, frame.end_offset):
            if traced.written_ns is None:
                traced.written_ns = self._clock_ns()
                self._spans.written(traced.span, traced.came_ns, traced.written_ns)

    def _settled(self, traced: Traced[Span], done: "asyncio.Future[None]") -> None:
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is not None and traced.written_ns is None:
            reason = error.reason if isinstance(error, CacheError) else type(error).__name__
            self._spans.refused(traced.span, reason, self._clock_ns())
            self._remembered.forget(traced)  # the range comes again

    def sent(self, subscription: str, partition: PartitionId, begin: int, end: int) -> None:
        """A subscription was sent what it wants of ``[begin, end)``."""
        for traced in self._remembered.ending_in(partition, begin, end):
            known = traced.subscriptions
            if subscription in known or len(known) >= self._subscriptions_max:
                continue
            now_ns = self._clock_ns()
            times_ns = now_ns if traced.written_ns is None else traced.written_ns, now_ns
            span = self._spans.delivered(traced.span, partition, subscription, times_ns)
            self._remembered.delivered(subscription, Delivery(traced, span, now_ns))

    def committed(self, subscription: str, positions: Mapping[PartitionId, int]) -> None:
        """A subscription has positions that are durable by now."""
        now_ns = self._clock_ns()
        for partition, position in positions.items():
            for each in self._remembered.committed(subscription, partition, position):
                self._spans.committed(each.span, subscription, (each.sent_ns, now_ns))


def open_traces(config: TracesConfig, version: str) -> tuple[Traces, Export]:
    """Traces as the settings say, and what sends them."""
    export = Export(config, version)
    return Traces(Spans(export.tracer), config.subscriptions_max), export
