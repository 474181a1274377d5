"""What pages of a topic make of answers."""

from __future__ import annotations

import pytest

from cachesvc.v1.admin_pb2 import CachedRecord, ListRecordsResponse, Reject, Topic
from cachesvc.v1.log_cache_pb2 import Header, MiningState, PartitionOffsets, Record
from cachesvc.v1.models_pb2 import (
    JsonType,
    Model,
    ModelChange,
    ModelChangeKind,
    ModelField,
    ModelType,
)
from cachesvc.web.pages.topic_model import change_rows, field_rows
from cachesvc.web.pages.topic_records import RECORDS, around, record_row, wanted_of
from cachesvc.web.pages.topic_rejects import reject_row
from cachesvc.web.pages.topics import topic_row
from cachesvc.web.words import mood_of, word_of


def test_the_row_of_a_topic() -> None:
    partitions = [
        PartitionOffsets(log_end_offset=10, source_high_watermark=15),
        PartitionOffsets(log_end_offset=10, source_high_watermark=9),
        PartitionOffsets(log_end_offset=10),
    ]
    state = MiningState.SOURCE_UNREACHABLE
    row = topic_row(Topic(name="orders", mining_state=state, partitions=partitions))
    assert (row.state, row.mood, row.lag) == ("source unreachable", "bad", 5)
    assert topic_row(Topic(partitions=partitions[2:])).lag is None


def test_words_of_what_a_newer_service_says() -> None:
    assert word_of(MiningState, 77) == "77"
    assert mood_of(77) == ""


def test_the_row_of_a_record() -> None:
    record = Record(
        offset=7,
        timestamp_ms=1,
        key=b"k\xff",
        value=b'{"b":1,\n"a":[2]}',
        headers=[Header(key="h", value=b"v"), Header(key="n")],
    )
    row = record_row(CachedRecord(record=record, value_bytes=16))
    assert (row.offset, row.key, row.short) == (7, "k\\xff", '{"b":1,\\n"a":[2]}')
    assert row.value == '{\n  "b": 1,\n  "a": [\n    2\n  ]\n}'
    assert (row.headers, row.is_cut) == ([("h", "v"), ("n", None)], False)


def test_the_row_of_what_has_no_value_or_is_cut() -> None:
    tombstone = record_row(CachedRecord(record=Record(offset=1)))
    assert (tombstone.key, tombstone.value, tombstone.short) == (None, None, "")
    cut = record_row(CachedRecord(record=Record(value=b'{"a": "' + b"x" * 300), value_bytes=900))
    assert cut.is_cut
    assert cut.value == '{"a": "' + "x" * 300
    assert len(cut.short) == 140 and cut.short.endswith("…")


@pytest.mark.parametrize(
    ("fields", "request_"),
    [
        ({}, {}),
        ({"partition": "3"}, {"partition": 3}),
        ({"partition": "-1", "from": "else"}, {}),
        ({"partition": "9" * 30}, {"partition": 2**31 - 1}),
        ({"from": "offset", "at": " 12 "}, {"offset": 12}),
        ({"from": "time", "at": "1970-01-01T00:00:02"}, {"timestamp_ms": 2_000}),
        ({"from": "time", "at": "1500"}, {"timestamp_ms": 1_500}),
    ],
)
def test_which_records_are_wanted(fields: dict[str, str], request_: dict[str, int]) -> None:
    wanted = wanted_of(fields)
    request = wanted.request("c", "t")
    assert not wanted.wrong
    assert {field.name: value for field, value in request.ListFields()} == {
        "connection": "c",
        "topic": "t",
        "limit": RECORDS,
    } | request_


@pytest.mark.parametrize(
    ("start", "at"),
    [("offset", ""), ("offset", "x"), ("offset", "9" * 20), ("offset", "²")]
    + [("time", ""), ("time", "tomorrow"), ("time", "9" * 19), ("time", "1960-01-01")],
)
def test_what_is_wrong_is_said_and_the_newest_are_shown(start: str, at: str) -> None:
    wanted = wanted_of({"from": start, "at": at})
    assert wanted.wrong.startswith("give")
    assert wanted.request("c", "t").WhichOneof("from") is None


def test_ways_to_more_records() -> None:
    records = [CachedRecord(record=Record(offset=120))]
    middle = ListRecordsResponse(
        records=records, next_offset=121, first_offset=90, log_end_offset=300
    )
    assert around(middle) == (90, 121)
    middle.first_offset = 0
    assert around(middle) == (70, 121)
    assert around(ListRecordsResponse(next_offset=300, log_end_offset=300)) == (250, None)
    assert around(ListRecordsResponse()) == (None, None)


def test_fields_and_history_in_words() -> None:
    types = [ModelType(type=JsonType.JSON_INTEGER), ModelType(type=JsonType.JSON_NULL)]
    changes = [
        ModelChange(kind=ModelChangeKind.FIELD_ADDED, types=[JsonType.JSON_ARRAY]),
        ModelChange(
            kind=ModelChangeKind.TYPE_ADDED, types=[JsonType.JSON_STRING, JsonType.JSON_NUMBER]
        ),
        ModelChange(kind=ModelChangeKind.FIELD_OPTIONAL),
    ]
    model = Model(fields=[ModelField(depth=30, types=types)], changes=changes)
    (field,) = field_rows(model)
    assert (field.types, field.depth) == (["integer", "null"], 8)
    assert [row.what for row in change_rows(model)] == [
        "a new field: array",
        "is string or number now, too",
        "may be absent now",
    ]


def test_the_row_of_a_reject() -> None:
    reject = Reject(offset=9, reason="MALFORMED_JSON", key=b"a\nb", value=b"x" * 100_000)
    row = reject_row(reject)
    assert (row.key, len(row.value), row.value_bytes) == ("a\\nb", 65_536, 100_000)
    assert "malformed_json" in row.words.casefold()
    assert reject_row(Reject()).key is None
