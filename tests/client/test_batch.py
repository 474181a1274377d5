from __future__ import annotations

import copy
import gc
import pickle
import sys

import pyarrow as pa
import pytest

from cachesvc.client import (
    RECORD_SCHEMA,
    Batch,
    DamagedBatch,
    Header,
    MissingLibrary,
    Position,
    Record,
    TimestampType,
    TopicPartition,
    incoming,
)
from cachesvc.client import payload as payload_module
from cachesvc.v1 import log_cache_pb2 as pb
from tests.client import fake_log

KEY = ("orders", 3)
OF = TopicPartition("orders", 3, 1)
OFFSETS = [0, 1, 2, 3, 4, 6, 9, 13, 14, 20]

every_form = pytest.mark.parametrize(
    "encoding", [pb.ARROW_IPC, pb.RECORDS, fake_log.PARQUET], ids=["arrow", "records", "parquet"]
)


def received(message: pb.Batch) -> Batch:
    (batch,) = incoming.received(pb.SubscribeResponse(batch=message).SerializeToString())
    assert isinstance(batch, Batch)
    return batch


def batch_of(encoding: int, offsets: list[int] | None = None) -> Batch:
    records = [fake_log.record(KEY, each) for each in (OFFSETS if offsets is None else offsets)]
    return received(fake_log.encode(KEY, records, 25, encoding))


def expected(offset: int) -> Record:
    message = fake_log.record(KEY, offset)
    return Record.of(
        OF,
        offset,
        message.key if message.HasField("key") else None,
        fake_log.value(KEY, offset),
        message.timestamp_ms,
        (Header("trace", b"\xff"), Header("empty", None)) if offset % 5 == 4 else (),
        TimestampType(message.timestamp_type),
    )


@pytest.fixture(params=[1, 3, 1000])
def _piece_records_max(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload_module, "PIECE_RECORDS_MAX", request.param)
    monkeypatch.setattr(payload_module, "DECODED_ROWS", 4)


@every_form
@pytest.mark.usefixtures("_piece_records_max")
def test_records_are_the_same_in_every_form(encoding: int) -> None:
    batch = batch_of(encoding)
    records = [expected(offset) for offset in OFFSETS]
    assert list(batch) == records
    assert list(batch) == records, "a batch can be gone through again"
    assert batch.records() == records
    assert len(batch) == 10
    assert {type(record.value) for record in batch} == {bytes, type(None)}


@every_form
def test_records_are_equal_if_all_that_they_have_is(encoding: int) -> None:
    records = batch_of(encoding).records()
    assert len(set(records + batch_of(encoding).records())) == len(records) == 10
    for record in records:
        for other in (copy.copy(record), pickle.loads(pickle.dumps(record))):
            assert other == record
            assert (hash(other), repr(other)) == (hash(record), repr(record))
    first = records[0]
    whole = (OF, first.offset, first.key, first.value, first.timestamp_ms, first.headers)
    assert first == Record.of(*whole, first.timestamp_type)
    others = [TopicPartition("x", 3), 99, b"x", b"x", 99, (Header("", None),)]
    for place, different in enumerate(others):
        changed = (*whole[:place], different, *whole[place + 1 :])
        assert first != Record.of(*changed, first.timestamp_type)  # type: ignore[arg-type, call-arg]
    assert first != Record.of(*whole, TimestampType.NO_TIMESTAMP_TYPE)
    assert first != first.offset
    assert "timestamp_ms=" in repr(first) and "facts" not in repr(first)


def test_a_record_that_is_kept_keeps_no_values_of_others() -> None:
    rows = batch_of(pb.ARROW_IPC).to_arrow().slice(0, 1).to_pylist() * 1_000
    rows = [{**row, "offset": offset, "value": "x" * 10_000} for offset, row in enumerate(rows)]
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, RECORD_SCHEMA, options=options) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=RECORD_SCHEMA))
    batch = Batch(OF, 0, 1_000, 1_000, payload_module.ArrowPayload(sink.getvalue()))
    gc.collect()
    before = pa.total_allocated_bytes()
    records = iter(batch)
    kept = next(records)
    assert pa.total_allocated_bytes() - before > 10_000_000
    del records
    gc.collect()
    assert pa.total_allocated_bytes() - before < 100_000
    assert kept.timestamp_ms == rows[0]["timestamp"].timestamp() * 1_000


@every_form
def test_a_batch_knows_where_it_belongs_and_what_comes_next(encoding: int) -> None:
    batch = batch_of(encoding)
    assert (batch.topic, batch.partition, batch.incarnation) == ("orders", 3, 1)
    assert batch.base_offset == 0
    assert batch.position == Position("orders", 3, 25, 1)
    record = batch.records()[6]
    assert (record.topic, record.partition) == ("orders", 3)
    assert record.position == Position("orders", 3, 10, 1)
    assert "payload" not in repr(batch)


@every_form
@pytest.mark.usefixtures("_piece_records_max")
def test_tables_are_the_same_in_every_form(encoding: int) -> None:
    batch = batch_of(encoding)
    table = batch.to_arrow()
    assert table.schema == RECORD_SCHEMA
    table.validate(full=True)
    assert table.column("offset").to_pylist() == OFFSETS
    values = [fake_log.value(KEY, offset) for offset in OFFSETS]
    assert table.column("value").cast(pa.binary()).to_pylist() == values
    assert table.column("headers").to_pylist()[4] == [
        {"key": "trace", "value": b"\xff"},
        {"key": "empty", "value": None},
    ]
    assert pa.Table.from_batches(batch.arrow_batches()) == table
    assert table == batch_of(pb.ARROW_IPC).to_arrow()


def test_a_header_key_is_had_as_kafka_has_it() -> None:
    keys = ["trace", "clé", "bytes:cl%E9", "bytes:bytes:cl%25E9", "bytes:sent"]
    assert [Header(key, None).key_bytes for key in keys] == [
        b"trace",
        "clé".encode(),
        b"cl\xe9",
        b"bytes:cl%E9",
        b"bytes:sent",
    ]


@every_form
def test_data_frames(encoding: int) -> None:
    batch = batch_of(encoding)
    assert batch.to_pandas()["offset"].tolist() == OFFSETS
    assert batch.to_polars()["offset"].to_list() == OFFSETS


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_a_missing_library_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingLibrary, match=rf"pip install 'cachesvc-client\[{name}\]'") as caught:
        getattr(batch_of(pb.ARROW_IPC), f"to_{name}")()
    assert isinstance(caught.value, ImportError)


@every_form
@pytest.mark.parametrize("begin", range(-1, 26))
def test_a_batch_can_be_cut_at_any_offset(encoding: int, begin: int) -> None:
    left = [offset for offset in OFFSETS if offset >= begin]
    cut = batch_of(encoding).starting_at(begin)
    assert [record.offset for record in cut] == left
    assert cut.to_arrow().column("offset").to_pylist() == left
    assert len(cut) == len(left)
    assert cut.base_offset == (left[0] if left else 25)
    assert cut.position.offset == 25


@every_form
def test_an_empty_batch_only_moves_the_position(encoding: int) -> None:
    batch = batch_of(encoding, [])
    assert batch.records() == []
    assert batch.to_arrow().num_rows == 0
    assert batch.position.offset == 25


def test_bytes_that_do_not_decode_are_named_damage() -> None:
    message = fake_log.encode(KEY, [fake_log.record(KEY, each) for each in OFFSETS], 25)
    message.arrow_ipc = message.arrow_ipc[: len(message.arrow_ipc) // 2]
    batch = received(message)
    with pytest.raises(DamagedBatch):
        batch.records()
    with pytest.raises(DamagedBatch):
        batch.to_arrow()


@every_form
def test_a_wrong_number_of_records_is_named_damage(encoding: int) -> None:
    message = fake_log.encode(KEY, [fake_log.record(KEY, each) for each in OFFSETS], 25, encoding)
    message.record_count = 11
    batch = received(message)
    for look in (batch.records, batch.to_arrow, lambda: batch.starting_at(4)):
        with pytest.raises(DamagedBatch, match="10 records instead of 11"):
            look()


def test_columns_of_a_newer_service_are_left_out() -> None:
    table = batch_of(pb.ARROW_IPC).to_arrow()
    newer = table.append_column("size", pa.array(range(10)))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, newer.schema) as writer:
        writer.write_table(newer)
    message = fake_log.encode(KEY, [], 25)
    message.arrow_ipc, message.record_count = sink.getvalue().to_pybytes(), 10
    assert received(message).to_arrow() == table
    assert received(message).records() == [expected(offset) for offset in OFFSETS]
