"""From the records of one partition to what goes over the wire: check, split, encode.

One append carries at most ``ROWS_MAX`` records and about ``VALUE_BYTES_MAX`` bytes of values, or a
single record that is larger. Batches of that size decode two to three times as fast as larger ones,
because the reading side's allocator can reuse its memory.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.errors import DataLoss
from cachesvc.mining.header_column import header_column
from cachesvc.mining.json_rule import Reject, Verdict, check
from cachesvc.mining.source import RecordColumns, SourceBatch
from cachesvc.model import NonJsonPolicy
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH
from cachesvc.store.record_schema import (
    RECORD_SCHEMA,
    REJECT_SCHEMA,
    encode_payload,
)

ROWS_MAX = 4_000
VALUE_BYTES_MAX = 4 << 20

_TIMESTAMP_TYPE = RECORD_SCHEMA.field("timestamp").type


@dataclass(frozen=True, slots=True)
class EncodedAppend:
    """The part of an append that depends on its records alone.

    Attributes:
        base_offset: Begin of the covered range.
        end_offset: End of the covered range.
        record_count: Records in ``payload``.
        min_timestamp_ms: Smallest timestamp in ``payload``; 0 without records.
        max_timestamp_ms: Largest timestamp in ``payload``; 0 without records.
        first_offset: Offset of the first record in ``payload``; 0 without records.
        payload: Records that passed, see ``store.record_schema``; empty without any.
        reject_count: Records in ``rejects``.
        rejects: Records that were turned away; empty without any.
        gap: Whether the source had deleted the range before it was mined; it has no records then.
        leader_epoch: Of the source's leader that took the records.
    """

    base_offset: int
    end_offset: int
    record_count: int = 0
    min_timestamp_ms: int = 0
    max_timestamp_ms: int = 0
    first_offset: int = 0
    payload: bytes = field(default=b"", repr=False)
    reject_count: int = 0
    rejects: bytes = field(default=b"", repr=False)
    gap: bool = False
    leader_epoch: int = UNKNOWN_EPOCH

    @property
    def bytes(self) -> int:
        """Its size, as far as it matters."""
        return len(self.payload) + len(self.rejects)


@dataclass(frozen=True, slots=True)
class Encoded:
    """What became of a run of records.

    Attributes:
        appends: One behind the other, covering the run, or what lies before ``blocked_offset``.
        blocked_offset: The record that mining has to stop at; None if there is none.
        blocked_by: Why it was turned away.
    """

    appends: Sequence[EncodedAppend]
    blocked_offset: int | None = None
    blocked_by: Reject | None = None


def encode_batch(
    batch: SourceBatch, policy: NonJsonPolicy, records_max: int = ROWS_MAX
) -> tuple[list[Encoded], DataLoss | None]:
    """Decodes and encodes a batch as far as that goes, and says what kept it from the rest.

    For small batches, where handing chunks from thread to thread costs more than it gains.
    """
    done: list[Encoded] = []
    try:
        for chunk in batch.chunks(records_max):
            done.append(encode(chunk, policy))
            if done[-1].blocked_by is not None:
                break
    except DataLoss as damage:
        return done, damage
    return done, None


def encode(columns: RecordColumns, policy: NonJsonPolicy) -> Encoded:
    """Applies the JSON rule and encodes. Pure, and meant for a worker thread.

    With ``REJECT`` bad records are kept apart in the append that covers them. With ``STOP`` the
    appends end just before the first bad record; without anything before it there are none.
    """
    appends: list[EncodedAppend] = []
    for part, binary in _split(columns):
        verdict = check(part.values, binary)
        if verdict.rejects and policy is NonJsonPolicy.STOP:
            stop = verdict.rejects[0]
            offset = part.offsets[stop.index]
            if offset > part.base_offset:
                good = part.part(0, stop.index, part.base_offset, offset)
                appends.append(_encode_part(good, check(good.values)))
            return Encoded(appends, offset, stop)
        appends.append(_encode_part(part, verdict))
    return Encoded(appends)


def _split(columns: RecordColumns) -> Iterator[tuple[RecordColumns, Any]]:
    """Parts within both limits, with their values as an Arrow array."""
    binary = pa.array(columns.values, pa.binary())
    rows = len(columns)
    ends = memoryview(binary.buffers()[1]).cast("i") if rows else (0,)
    begin = 0
    while True:
        end = min(begin + ROWS_MAX, rows)
        if rows and ends[end] - ends[begin] > VALUE_BYTES_MAX:
            end = bisect_right(ends, ends[begin] + VALUE_BYTES_MAX, begin, end) - 1
            end = max(end, begin + 1)
        base = columns.offsets[begin] if begin else columns.base_offset
        last = end == rows
        limit = columns.end_offset if last else columns.offsets[end]
        yield columns.part(begin, end, base, limit), binary.slice(begin, end - begin)
        if last:
            return
        begin = end


def _encode_part(part: RecordColumns, verdict: Verdict) -> EncodedAppend:
    rejects = b""
    if verdict.rejects:
        rejects = encode_payload(_reject_batch(part, verdict.rejects))
    passed = part if verdict.accepted is None else _take(part, verdict.accepted)
    if not len(passed):
        return EncodedAppend(
            part.base_offset,
            part.end_offset,
            reject_count=len(verdict.rejects),
            rejects=rejects,
            leader_epoch=part.leader_epoch,
        )
    timestamps = pa.array(passed.timestamps_ms, pa.int64())
    bounds = pc.min_max(timestamps)
    headers = header_column(len(passed), passed.headers)
    columns = [*_leading_columns(passed, timestamps), verdict.text, headers]
    return EncodedAppend(
        part.base_offset,
        part.end_offset,
        record_count=len(passed),
        min_timestamp_ms=bounds["min"].as_py(),
        max_timestamp_ms=bounds["max"].as_py(),
        first_offset=passed.offsets[0],
        payload=encode_payload(pa.RecordBatch.from_arrays(columns, schema=RECORD_SCHEMA)),
        reject_count=len(verdict.rejects),
        rejects=rejects,
        leader_epoch=part.leader_epoch,
    )


def _reject_batch(part: RecordColumns, rejects: Sequence[Reject]) -> Any:
    rows = _take(part, [reject.index for reject in rejects])
    columns = [
        *_leading_columns(rows, pa.array(rows.timestamps_ms, pa.int64())),
        pa.array(rows.values, pa.binary()),
        header_column(len(rows), rows.headers),
        pa.array([reject.reason.value for reject in rejects], pa.string()),
        pa.array([reject.detail for reject in rejects], pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=REJECT_SCHEMA)


def _leading_columns(rows: RecordColumns, timestamps: Any) -> list[Any]:
    """Offset, timestamp, timestamp type and key, which both schemas begin with."""
    offsets = rows.offsets
    return [
        pa.arange(offsets.start, offsets.stop)
        if isinstance(offsets, range)
        else pa.array(offsets, pa.int64()),
        timestamps.view(_TIMESTAMP_TYPE),
        pa.array(rows.timestamp_types, pa.int8()),
        pa.array(rows.keys, pa.binary()),
    ]


def _take(rows: RecordColumns, indices: Sequence[int]) -> RecordColumns:
    def pick(column: Sequence[Any]) -> list[Any]:
        return [column[index] for index in indices]

    return RecordColumns(
        rows.base_offset,
        rows.end_offset,
        pick(rows.offsets),
        pick(rows.timestamps_ms),
        pick(rows.timestamp_types),
        pick(rows.keys),
        pick(rows.values),
        None if rows.headers is None else pick(rows.headers),
    )
