"""The spans of a trace, with the names and attributes of OpenTelemetry's messaging conventions."""

from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from cachesvc.model import PartitionId
from cachesvc.v1 import mining_pb2 as pb

_PRODUCED_AGO_NS_MAX = 3_600_000_000_000
"""A record that lay in the source for longer is history, and its trace begins with its fetch."""
_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class AppendTimes:
    """When what happened to an append, in nanoseconds since the Unix epoch, in this order.

    Attributes:
        produced_ns: Its newest record, as its timestamp says; None if that is of no use.
        asked_ns: The fetch was asked for, or the record produced for which it waited.
        fetched_ns: It was answered.
        taken_ns: It was taken up to decode and encode it.
        sent_ns: The append was sent.
        received_ns: It came.
    """

    produced_ns: int | None
    asked_ns: int
    fetched_ns: int
    taken_ns: int
    sent_ns: int
    received_ns: int

    @property
    def began_ns(self) -> int:
        """The first of them."""
        return self.asked_ns if self.produced_ns is None else self.produced_ns


def times_of(request: pb.AppendRequest, received_ns: int) -> AppendTimes:
    """The times of an append, in order and by the service's clock.

    That of a reader on another machine may be ahead, which shows where something comes before it
    was sent. It may be behind as well, and that shows nowhere.
    """
    trace = request.trace
    ahead_ns = max(0, trace.sent_ns - received_ns)
    fetched_ns, sent_ns = trace.fetched_ns - ahead_ns, trace.sent_ns - ahead_ns
    asked_ns = min(trace.fetch_began_ns - ahead_ns, fetched_ns)
    taken_ns = max(fetched_ns, trace.taken_ns - ahead_ns)
    produced_ns: int | None = request.max_timestamp_ms * _NS
    if produced_ns is not None and 0 <= fetched_ns - produced_ns <= _PRODUCED_AGO_NS_MAX:
        # A fetch waits for records at the broker, which is no part of their way.
        asked_ns = max(asked_ns, produced_ns)
    else:
        produced_ns = None
    return AppendTimes(produced_ns, asked_ns, fetched_ns, taken_ns, sent_ns, received_ns)


class Spans:
    """Makes spans.

    Args:
        tracer: Of OpenTelemetry.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def mine(self, partition: PartitionId, request: pb.AppendRequest, received_ns: int) -> Span:
        """The span of an append as a whole, which is to end when it is written or refused.

        What happened before it came is within already.
        """
        times = times_of(request, received_ns)
        attributes: dict[str, str | int | bool] = _of(partition) | {
            "messaging.operation.name": "mine",
            "messaging.operation.type": "process",
            "messaging.batch.message_count": request.record_count,
            "messaging.kafka.offset": request.base_offset,
            "cachesvc.end_offset": request.end_offset,
            "cachesvc.bytes": request.payload_bytes or len(request.payload),
            "cachesvc.rejects": request.reject_count,
            "cachesvc.backfill": request.backfill,
        }
        root = self._tracer.start_span(
            f"mine {partition.topic}",
            Context(),
            SpanKind.CONSUMER,
            attributes=attributes,
            links=[_link(each) for each in request.trace.producers if len(each.trace_id) == 16],
            start_time=times.began_ns,
        )
        if times.produced_ns is not None:
            self._child(root, "in the source", times.produced_ns, times.asked_ns)
        self._child(root, "fetch", times.asked_ns, times.fetched_ns, SpanKind.CLIENT)
        self._child(root, "wait", times.fetched_ns, times.taken_ns)
        self._child(root, "encode", times.taken_ns, times.sent_ns)
        self._child(root, "append", times.sent_ns, times.received_ns)
        return root

    def written(self, root: Span, received_ns: int, now_ns: int) -> None:
        """Ends the span of an append that is in the journal, and can be read."""
        self._child(root, "journal", min(received_ns, now_ns), now_ns)
        root.end(now_ns)

    def refused(self, root: Span, reason: str, now_ns: int) -> None:
        """Ends the span of an append that was not taken."""
        root.set_attribute("error.type", reason)
        root.set_status(Status(StatusCode.ERROR, reason))
        root.end(now_ns)

    def delivered(
        self, root: Span, partition: PartitionId, subscription: str, times_ns: tuple[int, int]
    ) -> Span:
        """Of a batch with the append's last records, from when they could be read until sent."""
        attributes = _of(partition) | {
            "messaging.operation.name": "deliver",
            "messaging.operation.type": "send",
            "messaging.consumer.group.name": subscription,
        }
        name = f"deliver {subscription}"
        return self._child(root, name, *times_ns, SpanKind.PRODUCER, attributes)

    def committed(self, delivery: Span, subscription: str, times_ns: tuple[int, int]) -> None:
        """From when a subscriber was sent records until its position behind them is durable."""
        attributes = {
            "messaging.operation.name": "commit",
            "messaging.operation.type": "settle",
            "messaging.consumer.group.name": subscription,
        }
        name = f"commit {subscription}"
        self._child(delivery, name, *times_ns, SpanKind.INTERNAL, attributes)

    def _child(
        self,
        parent: Span,
        name: str,
        begin_ns: int,
        end_ns: int,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: dict[str, str | int | bool] | dict[str, str] | None = None,
    ) -> Span:
        span = self._tracer.start_span(
            name, set_span_in_context(parent), kind, attributes, start_time=begin_ns
        )
        span.end(max(begin_ns, end_ns))
        return span


def _of(partition: PartitionId) -> dict[str, str | int | bool]:
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": partition.topic,
        "messaging.destination.partition.id": str(partition.partition),
        "cachesvc.connection": partition.connection,
        "cachesvc.incarnation": partition.incarnation,
    }


def _link(producer: pb.TracedProducer) -> Link:
    context = SpanContext(
        int.from_bytes(producer.trace_id),
        producer.span_id,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return Link(context, {"messaging.kafka.offset": producer.offset})
