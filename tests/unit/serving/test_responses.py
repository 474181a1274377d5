"""Ready bytes are what protobuf would have made of the same message."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest

from cachesvc.serving.forms import Form, Part, body, estimated_bytes
from cachesvc.serving.responses import batch_response
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


ARROW = [form for form in Form if form is not Form.RECORDS]
CODECS = {Form.ARROW_LZ4: "lz4", Form.ARROW_ZSTD: "zstd", Form.ARROW_NONE: None}


def response(frames: Sequence[Frame], form: Form) -> bytes:
    return batch_response(ORDERS, [Part(each, body(each, form)) for each in frames], form)


def batch(frames: Sequence[Frame], form: Form) -> pb.Batch:
    message = pb.SubscribeResponse.FromString(response(frames, form))
    assert message.WhichOneof("event") == "batch"
    return message.batch


def as_records(frames: Sequence[Frame]) -> pb.Batch:
    return batch(frames, Form.RECORDS)


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("form", Form)
def test_a_batch_tells_what_it_covers(name: str, form: Form) -> None:
    frames = FRAMES[name]
    found = batch(frames, form)
    rows = records_of(frames)
    assert (found.topic, found.partition, found.incarnation) == ("orders", 0, 1)
    assert found.base_offset == rows[0].offset
    assert found.next_position == frames[-1].end_offset
    assert found.record_count == len(rows)


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("form", ARROW)
def test_arrow_ipc_is_a_stream_that_any_arrow_reads(name: str, form: Form) -> None:
    found = batch(FRAMES[name], form)
    assert not found.records
    with pa.ipc.open_stream(found.arrow_ipc) as stream:
        assert stream.schema.equals(RECORD_SCHEMA)
        assert table_records(stream.read_all()) == records_of(FRAMES[name])


@pytest.mark.parametrize("form", ARROW)
def test_buffers_are_compressed_as_the_form_says(form: Form) -> None:
    """What any Arrow library makes of the same records with that codec, to the byte."""
    frames = [frame(0, 500, records(0, 500))]
    found = batch(frames, form).arrow_ipc
    with pa.ipc.open_stream(found) as stream:
        (read,) = stream
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=CODECS[form], use_threads=False)
    with pa.ipc.new_stream(sink, read.schema, options=options) as writer:
        writer.write_batch(read)
    assert found == sink.getvalue().to_pybytes()


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
    found = as_records(FRAMES[name])
    assert not found.arrow_ipc
    assert list(found.records) == [expected(row) for row in records_of(FRAMES[name])]


def test_a_header_key_that_is_not_utf8_comes_byte_for_byte_too() -> None:
    headers = (("bytes:cl%E9", b"1"), ("clé", b"2"), ("bytes:sent", None))
    (record,) = as_records([frame(0, 1, [Record(0, headers=headers)])]).records
    assert list(record.headers) == [
        pb.Header(key="bytes:cl%E9", raw_key=b"cl\xe9", value=b"1"),
        pb.Header(key="clé", value=b"2"),
        pb.Header(key="bytes:sent"),
    ]


def test_what_is_absent_is_not_what_is_empty() -> None:
    tombstone, empty = list(as_records([frame(3, 9, EVERY_KIND)]).records)[1:3]
    assert not tombstone.HasField("value")
    assert [header.HasField("value") for header in tombstone.headers] == [True, False]
    assert empty.HasField("value")
    assert empty.HasField("key")


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("form", Form)
def test_the_bytes_are_those_of_protobuf(name: str, form: Form) -> None:
    data = response(FRAMES[name], form)
    assert pb.SubscribeResponse.FromString(data).SerializeToString(deterministic=True) == data


@pytest.mark.parametrize("form", Form)
def test_a_frame_without_records_has_no_body(form: Form) -> None:
    assert body(frame(0, 9), form) == b""
    assert body(frame(0, 9, rejects=[Reject(3)]), form) == b""


@pytest.mark.parametrize("form", Form)
def test_payloads_may_be_views(form: Form) -> None:
    whole = frame(0, 5, records(0, 5))
    viewed = Frame(
        0, 5, 0, whole.min_timestamp_ms, whole.max_timestamp_ms, 5, 0, memoryview(whole.payload)
    )
    assert response([viewed], form) == response([whole], form)


@pytest.mark.parametrize("form", Form)
def test_the_size_of_a_body_is_known_before_it_is_made(form: Form) -> None:
    large = frame(0, 2_000, records(0, 2_000), [])
    assert estimated_bytes(large, form) == pytest.approx(len(body(large, form)), rel=0.7)
    assert estimated_bytes(frame(0, 9, rejects=[Reject(3)]), form) == 0
