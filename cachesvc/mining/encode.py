"""From the records of one partition to what goes over the wire: check, split, encode.

One append carries at most ``ROWS_MAX`` records and about ``VALUE_BYTES_MAX`` bytes of values, or a
single record that is larger. Batches of that size decode two to three times as fast as larger ones,
because the reading side's allocator can reuse its memory. Keys and headers count where they are
large, so that nothing but a large record makes a large append.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.mining.header_column import header_column, producers_in
from cachesvc.mining.json_rule import Reject, Verdict, check
from cachesvc.mining.record_sizes import (
    RECORD_BYTES_MAX,
    headers_bytes,
    sizes_of,
    stripped,
    too_large,
)
from cachesvc.mining.source import RecordColumns, SourceBatch
from cachesvc.model import NonJsonPolicy
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH
from cachesvc.policy.sampling import Producer
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
        producers: Spans in which records were produced, as far as somebody wants to know.
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
    producers: Sequence[Producer] = ()

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
        blocked_bytes: Its size.
    """

    appends: Sequence[EncodedAppend]
    blocked_offset: int | None = None
    blocked_by: Reject | None = None
    blocked_bytes: int = 0

    @property
    def end_offset(self) -> int:
        """Where the run ends, as far as it was encoded; -1 for nothing."""
        return self.appends[-1].end_offset if self.appends else -1


@dataclass(frozen=True, slots=True)
class EncodingRules:
    """How records are encoded.

    Attributes:
        policy: What becomes of a record that is turned away.
        record_bytes_max: A larger record is turned away.
        traced: Whether somebody wants to know where records were produced.
    """

    policy: NonJsonPolicy
    record_bytes_max: int = RECORD_BYTES_MAX
    traced: bool = False


def encode_batch(
    batch: SourceBatch,
    rules: EncodingRules,
    records_max: int = ROWS_MAX,
    at: Callable[[int], None] = lambda offset: None,
) -> tuple[list[Encoded], Exception | None]:
    """Decodes and encodes a batch as far as that goes, and says what kept it from the rest.

    For small batches, where handing chunks from thread to thread costs more than it gains. What
    some bytes do to a decoder is anybody's guess, so it may be any exception. ``at`` is called with
    the offset where each chunk begins, before it is decoded.
    """
    done: list[Encoded] = []
    try:
        at(batch.base_offset)
        for chunk in batch.chunks(records_max):
            done.append(encode(chunk, rules))
            if done[-1].blocked_by is not None:
                break
            if chunk.end_offset < batch.end_offset:
                at(chunk.end_offset)
    except Exception as failure:
        return done, failure
    return done, None


def encode(columns: RecordColumns, rules: EncodingRules) -> Encoded:
    """Applies size limit and JSON rule, and encodes. Pure, and meant for a worker thread.

    With ``REJECT`` bad records are kept apart in the append that covers them. With ``STOP`` the
    appends end just before the first bad record; without anything before it there are none.
    """
    values, keys = pa.array(columns.values, pa.binary()), pa.array(columns.keys, pa.binary())
    if isinstance(values, pa.ChunkedArray) or isinstance(keys, pa.ChunkedArray):
        return _encode_halves(columns, rules)
    beside = _bytes(keys) + sum(map(headers_bytes, filter(None, columns.headers or ())))
    large: Mapping[int, Reject] = {}
    if _bytes(values) + beside > rules.record_bytes_max:
        large = too_large(columns, rules.record_bytes_max)
    original = columns
    if large:
        columns = stripped(columns, large)
        values, keys = pa.array(columns.values, pa.binary()), pa.array(columns.keys, pa.binary())
    ends = _ends(columns, values, beside)
    appends: list[EncodedAppend] = []
    for begin, part, binary in _split(replace(columns, keys=keys), values, ends):
        verdict = check(part.values, binary)
        if large:
            found = {
                row - begin: large[row] for row in range(begin, begin + len(part)) if row in large
            }
            verdict = _with(verdict, found, len(part))
        if verdict.rejects and rules.policy is NonJsonPolicy.STOP:
            stop = verdict.rejects[0]
            offset = part.offsets[stop.index]
            if offset > part.base_offset:
                good = part.part(0, stop.index, part.base_offset, offset)
                appends.append(_encode_part(good, check(good.values), traced=rules.traced))
            return Encoded(appends, offset, stop, sizes_of(original, begin + stop.index).total)
        appends.append(_encode_part(part, verdict, traced=rules.traced))
    return Encoded(appends)


def _encode_halves(columns: RecordColumns, rules: EncodingRules) -> Encoded:
    """More bytes than an Arrow array has offsets for, 2 GiB; a single record never has."""
    middle = len(columns) // 2
    border = columns.offsets[middle]
    first = encode(columns.part(0, middle, columns.base_offset, border), rules)
    if first.blocked_by is not None:
        return first
    last = encode(columns.part(middle, len(columns), border, columns.end_offset), rules)
    return replace(last, appends=[*first.appends, *last.appends])


def _bytes(binary: Any) -> int:
    """Of the elements of an Arrow binary array that is no slice."""
    return memoryview(binary.buffers()[1]).cast("i")[len(binary)] if len(binary) else 0


def _ends(columns: RecordColumns, values: Any, beside: int) -> Sequence[int]:
    """Where each row ends, and from which byte the first begins, in bytes that count."""
    if not len(columns):
        return (0,)
    if beside <= VALUE_BYTES_MAX:
        return memoryview(values.buffers()[1]).cast("i")
    sizes = (sizes_of(columns, row).total for row in range(len(columns)))
    return list(accumulate(sizes, initial=0))


def _split(
    columns: RecordColumns, values: Any, ends: Sequence[int]
) -> Iterator[tuple[int, RecordColumns, Any]]:
    """Parts within both limits: first row, records, and their values as an Arrow array."""
    rows = len(columns)
    begin = 0
    while True:
        end = min(begin + ROWS_MAX, rows)
        if rows and ends[end] - ends[begin] > VALUE_BYTES_MAX:
            end = bisect_right(ends, ends[begin] + VALUE_BYTES_MAX, begin, end) - 1
            end = max(end, begin + 1)
        base = columns.offsets[begin] if begin else columns.base_offset
        last = end == rows
        limit = columns.end_offset if last else columns.offsets[end]
        yield begin, columns.part(begin, end, base, limit), values.slice(begin, end - begin)
        if last:
            return
        begin = end


def _with(verdict: Verdict, large: Mapping[int, Reject], rows: int) -> Verdict:
    """A verdict with further rejects, whose values it has not seen."""
    if not large:
        return verdict
    rejects = [*verdict.rejects, *(replace(each, index=row) for row, each in large.items())]
    seen = range(rows) if verdict.accepted is None else verdict.accepted
    kept = [number for number, row in enumerate(seen) if row not in large]
    return Verdict(
        tuple(sorted(rejects, key=lambda reject: reject.index)),
        [seen[number] for number in kept],
        verdict.text.take(pa.array(kept, pa.int64())),
    )


def _encode_part(part: RecordColumns, verdict: Verdict, *, traced: bool) -> EncodedAppend:
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
        producers=producers_in(headers, passed.offsets) if traced else (),
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
        rows.keys if isinstance(rows.keys, pa.Array) else pa.array(rows.keys, pa.binary()),
    ]


def _take(rows: RecordColumns, indices: Sequence[int]) -> RecordColumns:
    def pick(column: Sequence[Any]) -> Any:
        if isinstance(column, pa.Array):
            return column.take(pa.array(indices, pa.int64()))
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
