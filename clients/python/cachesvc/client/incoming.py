"""What a stream receives: bytes of messages to events.

The payload of a batch is most of what a stream receives, and it is used where it lies: a message
object would copy it twice, at a good part of the price of decoding it. So the few bytes before it
are parsed as the message, and the rest is left alone. A message of any other form goes through
the ordinary parser.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
from google.protobuf.message import DecodeError

from cachesvc.client import events
from cachesvc.client.batch import Batch
from cachesvc.client.errors import ServiceFault
from cachesvc.client.payload import ArrowPayload, ParquetPayload, Payload, RecordsPayload
from cachesvc.client.positions import Position, TopicPartition
from cachesvc.client.wire import position, positions
from cachesvc.v1 import log_cache_pb2 as pb

# Wire types of protobuf's encoding, https://protobuf.dev/programming-guides/encoding/.
_VARINT = 0
_LENGTH_DELIMITED = 2


def _tag(message: Any, field: str) -> int:
    number: int = message.DESCRIPTOR.fields_by_name[field].number
    return number << 3 | _LENGTH_DELIMITED


_BATCH_TAG = _tag(pb.SubscribeResponse, "batch")
_BATCHES_TAG = _tag(pb.SubscribeResponse, "batches")
_BODIES: Mapping[int, Callable[[pa.Buffer], Payload]] = {
    _tag(pb.Batch, "arrow_ipc"): ArrowPayload,
    _tag(pb.Batch, "parquet"): ParquetPayload,
}
"""What is made of a batch's last field, by its tag."""


class Lent(NamedTuple):
    """A batch whose records lie in shared memory.

    Attributes:
        batch: Makes it of its payload.
        block: Where they lie.
        length: Of which so many bytes.
    """

    batch: Callable[[Payload], Batch]
    block: int
    length: int


def received(data: bytes) -> Iterator[events.Event | Lent]:
    """The events in a serialized ``SubscribeResponse``; none for one this version does not know.

    Raises:
        ServiceFault: It is no such message.
    """
    try:
        batches = _batches(data)
        if batches is None:
            yield from _received(data, 0, len(data))
            return
        for begin, end in batches:
            yield from _received(data, begin, end)
    except DecodeError as error:
        raise ServiceFault(f"a message of the stream does not decode: {error}") from error


def _received(data: bytes, begin: int, end: int) -> Iterator[events.Event | Lent]:
    """What a message tells that carries one event, in a part of some bytes."""
    places = _arrow_batch(data, begin, end)
    if places is not None:
        head_begin, head_end, payload, make = places
        head = pb.Batch.FromString(data[head_begin:head_end])
        yield _batch(head, make(pa.py_buffer(data).slice(payload, end - payload)))
        return
    message = pb.SubscribeResponse.FromString(data[begin:end])
    kind = message.WhichOneof("event")
    if kind == "batches":
        yield from map(_any_batch, message.batches.batch)
    elif kind:
        yield _EVENTS[kind](getattr(message, kind))


def _batches(data: bytes) -> list[tuple[int, int]] | None:
    """Where the batches lie in a message of several, each as it would have come by itself.

    None if the message has another form.
    """
    try:
        if data[0] != _BATCHES_TAG:
            return None
        length, at = _varint(data, 1)
        if at + length != len(data):
            return None
        found = []
        while at < len(data):
            begin = at
            tag, at = _varint(data, at)
            if tag != _BATCH_TAG:
                return None
            length, at = _varint(data, at)
            at += length
            found.append((begin, at))
    except IndexError:
        return None
    return found if at == len(data) else None


def _arrow_batch(
    data: bytes, begin: int, end: int
) -> tuple[int, int, int, Callable[[pa.Buffer], Payload]] | None:
    """Takes a message apart that is one batch whose last field is ``arrow_ipc`` or ``parquet``.

    Returns:
        Where the batch's other fields begin and end, and where the payload begins, which ends with
        the message, and what it becomes. None if the message has another form.
    """
    try:
        if data[begin] != _BATCH_TAG:
            return None
        length, begin = _varint(data, begin + 1)
        if begin + length != end:
            return None
        at = begin
        while at < end:
            head_end = at
            tag, at = _varint(data, at)
            value, at = _varint(data, at)
            if tag in _BODIES:
                return (begin, head_end, at, _BODIES[tag]) if at + value == end else None
            if tag & 7 == _LENGTH_DELIMITED:
                at += value
            elif tag & 7 != _VARINT:
                return None
    except IndexError:
        pass
    return None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in base 128, lowest digits first, and the index behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _started(message: pb.Started) -> events.Started:
    return events.Started(
        message.epoch,
        positions(message.positions),
        positions(message.end),
        message.connection,
        snapshots=tuple(map(_snapshot_start, message.snapshots)),
        member=message.member,
    )


def _snapshot_start(message: pb.SnapshotStart) -> events.SnapshotStart:
    return events.SnapshotStart(
        message.topic,
        message.partition,
        message.incarnation,
        message.base_offset,
        message.end_offset,
        message.complete_from_offset,
        message.record_count,
        message.created_ms,
        message.resumed,
    )


def _any_batch(message: pb.Batch) -> Batch | Lent:
    if message.HasField("shared"):
        return Lent(partial(_batch, message), message.shared.block, message.shared.length)
    # Reading one of these fields copies it.
    if data := message.parquet:
        return _batch(message, ParquetPayload(pa.py_buffer(data)))
    data = message.arrow_ipc
    return _batch(
        message, ArrowPayload(pa.py_buffer(data)) if data else RecordsPayload(message.records)
    )


def _batch(message: pb.Batch, payload: Payload) -> Batch:
    return Batch(
        TopicPartition(message.topic, message.partition, message.incarnation),
        message.base_offset,
        message.next_position,
        message.record_count,
        payload,
        message.snapshot,
    )


def _progress(message: pb.Progress) -> events.Progress:
    return events.Progress(
        tuple(
            events.PartitionProgress(
                Position(of.topic, of.partition, of.position, of.incarnation),
                of.log_end_offset,
                of.source_high_watermark if of.HasField("source_high_watermark") else None,
                events.MiningState(of.mining_state),
                of.mining_error,
            )
            for of in message.partitions
        )
    )


def _gap(message: pb.Gap) -> events.Gap:
    return events.Gap(
        message.topic,
        message.partition,
        message.incarnation,
        message.begin_offset,
        message.end_offset,
        events.GapCause(message.cause),
    )


_EVENTS: Mapping[str, Callable[[Any], events.Event | Lent]] = {
    "started": _started,
    "batch": _any_batch,
    "caught_up": lambda message: events.CaughtUp(message.topic),
    "fell_behind": lambda message: events.FellBehind(message.topic),
    "progress": _progress,
    "gap": _gap,
    "partition_added": lambda message: events.PartitionAdded(position(message.start)),
    "partitions_assigned": lambda message: events.PartitionsAssigned(
        positions(message.positions),
        {(each.topic, each.partition): each.epoch for each in message.positions},
        tuple(map(_snapshot_start, message.snapshots)),
    ),
    "partitions_revoked": lambda message: events.PartitionsRevoked(positions(message.positions)),
    "ended": lambda message: events.Ended(positions(message.positions)),
}
