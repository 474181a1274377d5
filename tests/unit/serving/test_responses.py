"""Ready bytes are what protobuf would have made of the same message."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest

from cachesvc.model import Encoding
from cachesvc.serving.responses import (
    arrow_response,
    encoded_size,
    records_body,
    records_response,
)
from cachesvc.store.frames import Frame
from cachesvc.store.record_schema import RECORD_SCHEMA
from cachesvc.v1 import log_cache_pb2 as pb
from tests.support.frames import (
    NOW_MS,
    ORDERS,
    Record,
    Reject,
    frame,
    full_frames,
    record,
    records,
    records_of,
    table_records,
)

EVERY_KIND = [
    Record(3, '{"ü":"🎉"}', None, 0, None, 0),
    Record(4, None, b"tombstone", -1, (("trace", b"\x00\xff"), ("trace", None)), 1),
    Record(5, "", b"", 2**63 - 1, (), 0),
    Record(7, '"' + "x" * 200_000 + '"', b"\xff", NOW_MS, (("", b""),), 1),
]
FRAMES = {
    "every kind": [frame(3, 9, EVERY_KIND)],
    "several frames": full_frames(0, 100, 7),
    "holes and rejects": [
        frame(0, 5),
        frame(5, 9, [record(6)], [Reject(5)]),
        frame(9, 12, rejects=[Reject(9)]),
        frame(12, 14, [record(12)]),
        frame(14, 300),
    ],
    "offset 0": [frame(0, 1, [record(0)])],
    "largest offset": [frame(2**63 - 2, 2**63 - 1, [Record(2**63 - 2)])],
}


def arrow(frames: Sequence[Frame]) -> pb.SubscribeResponse:
    return pb.SubscribeResponse.FromString(arrow_response(ORDERS, frames))


def as_records(frames: Sequence[Frame]) -> pb.SubscribeResponse:
    bodies = [records_body(each) for each in frames]
    return pb.SubscribeResponse.FromString(records_response(ORDERS, frames, bodies))


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("make", [arrow, as_records])
def test_a_batch_tells_what_it_covers(name: str, make: object) -> None:
    assert callable(make)
    frames = FRAMES[name]
    response = make(frames)
    assert response.WhichOneof("event") == "batch"
    batch = response.batch
    rows = records_of(frames)
    assert (batch.topic, batch.partition, batch.incarnation) == ("orders", 0, 1)
    assert batch.base_offset == rows[0].offset
    assert batch.next_position == frames[-1].end_offset
    assert batch.record_count == len(rows)


@pytest.mark.parametrize("name", FRAMES)
def test_arrow_ipc_is_a_stream_that_any_arrow_reads(name: str) -> None:
    batch = arrow(FRAMES[name]).batch
    assert not batch.records
    with pa.ipc.open_stream(batch.arrow_ipc) as stream:
        assert stream.schema.equals(RECORD_SCHEMA)
        assert table_records(stream.read_all()) == records_of(FRAMES[name])


def expected(row: Record) -> pb.Record:
    return pb.Record(
        offset=row.offset,
        timestamp_ms=row.timestamp_ms,
        key=row.key,
        value=None if row.value is None else row.value.encode(),
        headers=[pb.Header(key=key, value=value) for key, value in row.headers or ()],
        timestamp_type=row.timestamp_type,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("name", FRAMES)
def test_records_are_one_message_each(name: str) -> None:
    batch = as_records(FRAMES[name]).batch
    assert not batch.arrow_ipc
    assert list(batch.records) == [expected(row) for row in records_of(FRAMES[name])]


def test_a_header_key_that_is_not_utf8_comes_byte_for_byte_too() -> None:
    headers = (("bytes:cl%E9", b"1"), ("clé", b"2"), ("bytes:sent", None))
    (record,) = as_records([frame(0, 1, [Record(0, headers=headers)])]).batch.records
    assert list(record.headers) == [
        pb.Header(key="bytes:cl%E9", key_bytes=b"cl\xe9", value=b"1"),
        pb.Header(key="clé", value=b"2"),
        pb.Header(key="bytes:sent"),
    ]


def test_what_is_absent_is_not_what_is_empty() -> None:
    tombstone, empty = list(as_records([frame(3, 9, EVERY_KIND)]).batch.records)[1:3]
    assert not tombstone.HasField("value")
    assert [header.HasField("value") for header in tombstone.headers] == [True, False]
    assert empty.HasField("value")
    assert empty.HasField("key")


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("make", [arrow_response, None], ids=["arrow", "records"])
def test_the_bytes_are_those_of_protobuf(name: str, make: object) -> None:
    frames = FRAMES[name]
    if make is None:
        data = records_response(ORDERS, frames, [records_body(each) for each in frames])
    else:
        data = arrow_response(ORDERS, frames)
    assert pb.SubscribeResponse.FromString(data).SerializeToString(deterministic=True) == data


def test_a_frame_without_records_has_no_body() -> None:
    assert records_body(frame(0, 9)) == b""
    assert records_body(frame(0, 9, rejects=[Reject(3)])) == b""


def test_payloads_may_be_views() -> None:
    whole = frame(0, 5, records(0, 5))
    viewed = Frame(
        0, 5, 0, whole.min_timestamp_ms, whole.max_timestamp_ms, 5, 0, memoryview(whole.payload)
    )
    assert arrow_response(ORDERS, [viewed]) == arrow_response(ORDERS, [whole])
    assert records_body(viewed) == records_body(whole)


def test_counts_payloads_and_no_rejects() -> None:
    frames = [frame(0, 5, records(0, 5)), frame(5, 9, rejects=[Reject(6)]), frame(9, 20)]
    assert encoded_size(frames, Encoding.ARROW_IPC) == len(frames[0].payload)
    assert encoded_size(frames, Encoding.RECORDS) > len(frames[0].payload)
    assert encoded_size([], Encoding.RECORDS) == 0
