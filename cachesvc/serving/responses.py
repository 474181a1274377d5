"""SubscribeResponses as ready bytes.

A batch is the bulk of all traffic: its message is put together around bodies that were made once,
without ever parsing or copying them field by field. Protobuf's wire format allows that.
"""

from collections.abc import Sequence

from cachesvc.model import PartitionId
from cachesvc.serving.forms import Form, Part
from cachesvc.serving.wire_format import tag, varint
from cachesvc.shared_memory.filling import Filled
from cachesvc.store.record_schema import END_OF_STREAM, RECORD_SCHEMA_MESSAGE
from cachesvc.v1 import log_cache_pb2 as pb

_BATCH = tag(pb.SubscribeResponse.DESCRIPTOR.fields_by_name["batch"].number)
_ARROW_IPC = tag(pb.Batch.DESCRIPTOR.fields_by_name["arrow_ipc"].number)
_PARQUET = tag(pb.Batch.DESCRIPTOR.fields_by_name["parquet"].number)


def batch_response(
    partition: PartitionId,
    parts: Sequence[Part],
    form: Form,
    *,
    snapshot: bool = False,
    base_offset: int | None = None,
) -> bytes:
    """A ``batch`` event with the records of contiguous parts, at least one of which has some.

    Args:
        partition: Whose.
        parts: What it has; one that is a file comes alone.
        form: How it carries records.
        snapshot: Whether they are of a snapshot.
        base_offset: What it says it begins with; without it the first record it has.
    """
    head = _batch_head(partition, parts, snapshot, base_offset)
    bodies = [part.body for part in parts if part.frame.record_count]
    if parts[0].is_file:
        head += _PARQUET + varint(sum(map(len, bodies)))
    elif form is not Form.RECORDS:
        bodies = [RECORD_SCHEMA_MESSAGE, *bodies, END_OF_STREAM]
        head += _ARROW_IPC + varint(sum(map(len, bodies)))
    size = len(head) + sum(map(len, bodies))
    return b"".join((_BATCH, varint(size), head, *bodies))


def shared_response(
    partition: PartitionId,
    parts: Sequence[Part],
    filled: Filled,
    *,
    snapshot: bool = False,
    base_offset: int | None = None,
) -> bytes:
    """The same where the records lie in shared memory."""
    message = pb.Batch.FromString(_batch_head(partition, parts, snapshot, base_offset))
    message.shared.block, message.shared.length = filled.block.number, filled.length
    return pb.SubscribeResponse(batch=message).SerializeToString()


def _batch_head(
    partition: PartitionId, parts: Sequence[Part], snapshot: bool, base_offset: int | None
) -> bytes:
    first = next(part.frame.first_offset for part in parts if part.frame.record_count)
    return pb.Batch(
        topic=partition.topic,
        partition=partition.partition,
        incarnation=partition.incarnation,
        base_offset=first if base_offset is None else base_offset,
        next_position=parts[-1].frame.end_offset,
        record_count=sum(part.frame.record_count for part in parts),
        snapshot=snapshot,
    ).SerializeToString()
