"""Record batches as a broker stores them, and what is decoded of them."""

import struct
from collections.abc import Sequence
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from crc32c import crc32c

from cachesvc.mining.kafka.record_batches import KafkaBatch, next_fetch
from cachesvc.mining.source import RecordColumns, SourcePartition

PARTITION = SourcePartition("orders", 0)
NO_PRODUCER = -1
ZSTD = 4
NO_COMPRESSION = 0


def record_batch(
    first: int,
    values: Sequence[bytes | None],
    *,
    offsets: Sequence[int] | None = None,
    end: int | None = None,
    producer: int = NO_PRODUCER,
    compression: int = ZSTD,
    headers: Sequence[Any] = (),
    epoch: int = -1,
) -> bytes:
    """One batch as a broker stores it, at ``first``; ``end`` leaves a hole behind its records."""
    builder = DefaultRecordBatchBuilder(
        2, compression, int(producer != NO_PRODUCER), producer, 0, 0, 1 << 30
    )
    for index, value in enumerate(values):
        offset = index if offsets is None else offsets[index] - first
        builder.append(offset, 1_000 + index, b"k%d" % index, value, list(headers))
    made = placed(bytes(builder.build()), first, None if end is None else end - first - 1)
    return made[:12] + struct.pack(">i", epoch) + made[16:]


def placed(batch: bytes, first: int, last_delta: int | None = None, control: bool = False) -> bytes:
    """The batch at another base offset, its checksum made good."""
    changed = bytearray(batch)
    struct.pack_into(">q", changed, 0, first)
    if last_delta is not None:
        struct.pack_into(">i", changed, 23, last_delta)
    if control:
        attributes = struct.unpack_from(">h", changed, 21)[0]
        struct.pack_into(">h", changed, 21, attributes | 0x20)
    struct.pack_into(">I", changed, 17, crc32c(bytes(changed[21:])))
    return bytes(changed)


def marker(offset: int, producer: int, *, commit: bool) -> bytes:
    builder = DefaultRecordBatchBuilder(2, NO_COMPRESSION, 1, producer, 0, -1, 1 << 20)
    builder.append(0, 1_000, struct.pack(">HH", 0, int(commit)), b"\x00" * 6, [])
    return placed(bytes(builder.build()), offset, control=True)


def chunks(
    data: bytes,
    fetch_offset: int = 0,
    records_max: int = 1_000,
    aborted: Sequence[tuple[int, int]] = (),
) -> list[RecordColumns]:
    end, _ = next_fetch(data, fetch_offset)
    return list(KafkaBatch(PARTITION, fetch_offset, end, data, aborted).chunks(records_max))


def ranges(found: Sequence[RecordColumns]) -> list[tuple[int, int, list[int]]]:
    return [(chunk.base_offset, chunk.end_offset, list(chunk.offsets)) for chunk in found]
