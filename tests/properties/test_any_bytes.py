"""Batches of every kind, decoded and encoded as they would be mined, without a broker."""

import struct

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cachesvc.mining.encode import EncodingRules, encode
from cachesvc.mining.kafka.record_batches import KafkaBatch, next_fetch
from cachesvc.mining.source import RecordColumns, SourcePartition
from cachesvc.model import NonJsonPolicy
from cachesvc.store.header_keys import header_key_bytes
from cachesvc.store.record_schema import REJECT_SCHEMA, decode_payloads
from tests.support.raw_batches import BatchMaker, Made, Meant

PARTITION = SourcePartition("orders", 0)


def stored(made: Made, base_offset: int) -> bytes:
    """A batch as a broker keeps it, at its offset. It is no part of the checksum."""
    return struct.pack(">q", base_offset) + made.data[8:]


def columns_of(
    data: bytes, begin: int, end: int, records_max: int
) -> tuple[list[int], list[Meant]]:
    offsets: list[int] = []
    found: list[Meant] = []
    position = begin
    for chunk in KafkaBatch(PARTITION, begin, end, data).chunks(records_max):
        assert chunk.base_offset == position
        assert len(chunk) <= records_max
        position = chunk.end_offset
        headers = chunk.headers or [()] * len(chunk)
        offsets += chunk.offsets
        for row, pairs in enumerate(headers):
            keys = [key.encode(errors="surrogateescape") for key, _ in pairs]
            found.append(
                Meant(
                    chunk.timestamps_ms[row],
                    chunk.timestamp_types[row],
                    chunk.keys[row],
                    chunk.values[row],
                    tuple(zip(keys, (value for _, value in pairs), strict=True)),
                )
            )
        assert encoded(chunk) == [
            (each.key, each.value, each.headers) for each in found[len(found) - len(chunk) :]
        ]
    assert position == end
    return offsets, found


def encoded(chunk: RecordColumns) -> list[tuple[object, object, object]]:
    """Key, value and headers of all records, the rejected ones too, as the store gets them."""
    rows = {}
    for append in encode(chunk, EncodingRules(NonJsonPolicy.REJECT)).appends:
        tables = []
        if append.record_count:
            tables.append(decode_payloads([append.payload]))
        if append.reject_count:
            tables.append(decode_payloads([append.rejects], REJECT_SCHEMA))
        for table in tables:
            for row in table.select(["offset", "key", "value", "headers"]).to_pylist():
                value = row["value"]
                headers = row["headers"] or ()
                rows[row["offset"]] = (
                    row["key"],
                    value.encode() if isinstance(value, str) else value,
                    tuple((header_key_bytes(h["key"]), h["value"]) for h in headers),
                )
    return [rows[offset] for offset in sorted(rows)]


@settings(max_examples=150)
@example(seed=11311, count=3, records_max=1, skip=0)  # times that wrap around
@given(
    seed=st.integers(0, 1 << 32),
    count=st.integers(1, 6),
    records_max=st.sampled_from([1, 2, 5, 1_000]),
    skip=st.integers(0, 3),
)
def test_what_went_in_comes_out(seed: int, count: int, records_max: int, skip: int) -> None:
    maker = BatchMaker(seed)
    data = b""
    meant: list[Meant] = []
    for _ in range(count):
        made = maker.batch()
        data += stored(made, len(meant))
        meant += made.meant
    begin = min(skip, len(meant) - 1)

    assert next_fetch(data, begin)[0] == len(meant)
    offsets, found = columns_of(data, begin, len(meant), records_max)

    assert offsets == list(range(begin, len(meant)))
    assert found == meant[begin:]


@settings(max_examples=60)
@given(seed=st.integers(0, 1 << 32), magic=st.sampled_from([0, 1]))
def test_old_formats(seed: int, magic: int) -> None:
    made = BatchMaker(seed).message_set(magic)

    offsets, found = columns_of(made.data, 0, len(made.meant), 1_000)

    assert next_fetch(made.data, 0)[0] == len(made.meant)
    assert offsets == list(range(len(made.meant)))
    assert found == list(made.meant)
