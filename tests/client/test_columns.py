"""What a batch gives in columns, without an object per record."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cachesvc.client import RECORD_SCHEMA, Batch, FieldType, InvalidRequest, TopicPartition
from cachesvc.client import payload as payload_module
from cachesvc.client.incoming import received
from cachesvc.v1 import log_cache_pb2 as pb
from tests.client import fake_log

KEY = ("orders", 3)
OFFSETS = [0, 1, 2, 3, 4, 6, 9, 13, 14, 20]
BIG = 2**80 + 1
VALUES: list[str | None] = [
    '{"id":1,"after":{"price":1.50,"name":"caf\\u00e9"},"a.b":{"c\\\\d":true}}',
    '{"id":2,"after":null}',
    None,
    '{"id":3,"after":{"price":2,"tags":["x", 1]},"after":{"price":3}}',
    "{}",
]

every_form = pytest.mark.parametrize(
    "encoding", [pb.ARROW_IPC, pb.RECORDS, fake_log.PARQUET], ids=["arrow", "records", "parquet"]
)


def batch_of(encoding: int, values: list[str | None] | None = None) -> Batch:
    """A batch as it is received, of the log that tests share, or with other values."""
    offsets = OFFSETS if values is None else range(len(values))
    records = [fake_log.record(KEY, each) for each in offsets]
    for record, value in zip(records, values or (), strict=False):
        record.ClearField("value")
        if value is not None:
            record.value = value.encode()
    message = fake_log.encode(KEY, records, 25, encoding)
    (batch,) = received(pb.SubscribeResponse(batch=message).SerializeToString())
    assert isinstance(batch, Batch)
    return batch


@pytest.fixture(params=[1, 3, 1000])
def _piece_records_max(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload_module, "PIECE_RECORDS_MAX", request.param)


@every_form
@pytest.mark.usefixtures("_piece_records_max")
def test_columns_are_those_of_the_records(encoding: int) -> None:
    batch = batch_of(encoding)
    records = batch.records()
    assert batch.offsets.dtype == batch.timestamps_ms.dtype == np.int64
    assert batch.offsets.tolist() == [record.offset for record in records]
    assert batch.timestamps_ms.tolist() == [record.timestamp_ms for record in records]
    assert batch.keys.to_pylist() == [record.key for record in records]
    assert batch.values.cast(pa.binary()).to_pylist() == [record.value for record in records]
    assert (batch.keys.type, batch.values.type) == (pa.binary(), pa.string())


@every_form
def test_some_columns_are_those_of_the_whole_table(encoding: int) -> None:
    batch = batch_of(encoding)
    whole = batch.to_arrow()
    for names in (["offset"], ["value", "key"], ["headers"], list(RECORD_SCHEMA.names)):
        expected = whole.select([name for name in RECORD_SCHEMA.names if name in names])
        assert batch.to_arrow(names) == expected
        assert pa.Table.from_batches(batch.arrow_batches(names)) == expected


@every_form
def test_columns_of_a_batch_that_was_cut(encoding: int) -> None:
    cut = batch_of(encoding).starting_at(5)
    assert cut.offsets.tolist() == OFFSETS[5:]
    assert cut.values.cast(pa.binary()).to_pylist() == [
        fake_log.value(KEY, offset) for offset in OFFSETS[5:]
    ]
    assert cut.to_arrow(["key"]).schema.names == ["key"]


def test_columns_of_a_batch_of_holes() -> None:
    batch = Batch(TopicPartition("orders", 3, 1), 5, 9, 0, payload_module.RecordsPayload([]))
    assert batch.offsets.tolist() == batch.timestamps_ms.tolist() == []
    assert len(batch.keys) == len(batch.values) == 0
    assert batch.fields({"a": pa.int64()}).num_rows == 0


def test_a_column_that_is_none() -> None:
    with pytest.raises(InvalidRequest, match="no column 'price'"):
        batch_of(pb.ARROW_IPC).to_arrow(["price"])


@every_form
@pytest.mark.usefixtures("_piece_records_max")
@pytest.mark.parametrize(
    ("path", "kind", "expected"),
    [
        ("id", None, [1, 2, None, 3, None]),
        ("id", pa.int16(), [1, 2, None, 3, None]),
        ("after.price", pa.float64(), [1.5, None, None, 3.0, None]),
        ("after.price", pa.decimal128(9, 2), [Decimal("1.50"), None, None, Decimal(3), None]),
        ("after.price", "json", ["1.50", None, None, "3", None]),
        ("after.name", pa.string(), ["café", None, None, None, None]),
        ("after.name", "json", ['"caf\\u00e9"', None, None, None, None]),
        (
            "after",
            "json",
            ['{"price":1.50,"name":"caf\\u00e9"}', "null", None, '{"price":3}', None],
        ),
        (r"a\.b.c\\d", pa.bool_(), [True, None, None, None, None]),
        ("id.of.nothing", pa.int64(), [None] * 5),
    ],
)
def test_a_field(encoding: int, path: str, kind: FieldType, expected: list[Any]) -> None:
    batch = batch_of(encoding, VALUES)
    column = batch.field(path, kind)
    assert column.to_pylist() == expected
    if isinstance(kind, pa.DataType):
        assert column.type == kind


@every_form
def test_fields_are_one_table(encoding: int) -> None:
    batch = batch_of(encoding, VALUES)
    table = batch.fields({"after.price": pa.float64(), "after": "json", "id": None})
    assert table.column_names == ["after.price", "after", "id"]
    assert all(
        table.column(name) == batch.field(name, kind)
        for name, kind in (("after.price", pa.float64()), ("after", "json"), ("id", None))
    )
    assert batch.fields(["id"]).column("id").to_pylist() == [1, 2, None, 3, None]


def test_numbers_of_any_size_are_there_as_text() -> None:
    batch = batch_of(pb.ARROW_IPC, [json.dumps({"n": BIG}), '{"n":1e400}'])
    assert batch.field("n", "json").to_pylist() == [str(BIG), "1e400"]
    with pytest.raises(InvalidRequest, match="field n"):
        batch.field("n", pa.int64())


@pytest.mark.parametrize(
    ("path", "kind", "told"),
    [
        ("id", pa.string(), "field id of row 0 cannot be read as string"),
        ("mixed", None, "values of field mixed do not fit into one type"),
        ("mixed", pa.int64(), "field mixed of row 1 cannot be read as int64"),
        ("id", pa.int8(), "values of field id do not fit into int8"),
    ],
)
def test_a_type_that_is_wrong_is_told(path: str, kind: FieldType, told: str) -> None:
    batch = batch_of(pb.ARROW_IPC, ['{"id":300,"mixed":1}', '{"id":1,"mixed":"x"}'])
    with pytest.raises(InvalidRequest, match=told) as caught:
        batch.field(path, kind)
    assert caught.value.reason == "FIELD_TYPE"


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", "a\\"])
def test_a_path_that_is_none(path: str) -> None:
    with pytest.raises(InvalidRequest, match="no path of a field"):
        batch_of(pb.ARROW_IPC, VALUES).field(path)
