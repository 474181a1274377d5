import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from cachesvc.mining.encode import ROWS_MAX, VALUE_BYTES_MAX, EncodedAppend, EncodingRules, encode
from cachesvc.mining.source import RecordColumns
from cachesvc.model import NonJsonPolicy, RejectReason
from cachesvc.store.record_schema import (
    RECORD_SCHEMA,
    REJECT_SCHEMA,
    decode_payloads,
    join_stream,
)
from tests.unit.mining.fake_source import FakeRecord, columns

REJECT, STOP = EncodingRules(NonJsonPolicy.REJECT), EncodingRules(NonJsonPolicy.STOP)


def records(*values: bytes | None, first: int = 0) -> list[FakeRecord]:
    return [
        FakeRecord(first + index, value, 1_000 + index, b"k%d" % index)
        for index, value in enumerate(values)
    ]


def rows(append: EncodedAppend) -> list[dict[str, Any]]:
    return list(decode_payloads([append.payload]).to_pylist()) if append.payload else []


def rejects(append: EncodedAppend) -> list[dict[str, Any]]:
    return list(decode_payloads([append.rejects], REJECT_SCHEMA).to_pylist())


def ranges(appends: Sequence[EncodedAppend]) -> list[tuple[int, int]]:
    return [(append.base_offset, append.end_offset) for append in appends]


def only(run: RecordColumns, policy: EncodingRules = REJECT) -> EncodedAppend:
    encoded = encode(run, policy)
    (append,) = encoded.appends
    assert encoded.blocked_by is None
    return append


def test_good_records_become_one_append() -> None:
    append = only(columns(records(b'{"a":1}', None, b"{}", first=7)))

    assert (append.base_offset, append.end_offset) == (7, 10)
    assert (append.record_count, append.first_offset) == (3, 7)
    assert (append.min_timestamp_ms, append.max_timestamp_ms) == (1_000, 1_002)
    assert (append.reject_count, append.rejects) == (0, b"")
    assert [row["value"] for row in rows(append)] == ['{"a":1}', None, "{}"]
    assert [row["key"] for row in rows(append)] == [b"k0", b"k1", b"k2"]
    assert append.bytes == len(append.payload)


def test_a_payload_has_the_schema_of_the_store() -> None:
    table = decode_payloads([only(columns(records(b"{}"))).payload])

    assert table.schema.equals(RECORD_SCHEMA)
    table.validate(full=True)


def test_payloads_can_be_joined() -> None:
    payloads = [only(columns(records(b"{}", first=n))).payload for n in range(3)]

    assert join_stream(payloads)
    assert decode_payloads(payloads).column("offset").to_pylist() == [0, 1, 2]


def test_dense_and_holey_offsets() -> None:
    dense = replace(columns(records(b"{}", b"{}", first=5)), offsets=range(5, 7))
    holey = columns([FakeRecord(5, b"{}"), FakeRecord(9, b"{}")])

    assert [row["offset"] for row in rows(only(dense))] == [5, 6]
    assert [row["offset"] for row in rows(only(holey))] == [5, 9]
    assert ranges([only(holey)]) == [(5, 10)]


def test_timestamps_and_their_types() -> None:
    run = replace(
        columns(records(b"{}", b"{}", b"{}")),
        timestamps_ms=[1_700_000_000_000, -1, 5],
        timestamp_types=[1, -1, 0],
    )

    append = only(run)

    table = decode_payloads([append.payload])
    assert table.column("timestamp").cast("int64").to_pylist() == [1_700_000_000_000, -1, 5]
    assert table.column("timestamp_type").to_pylist() == [1, -1, 0]
    assert (append.min_timestamp_ms, append.max_timestamp_ms) == (-1, 1_700_000_000_000)


def test_headers_keep_order_duplicates_and_missing_values() -> None:
    headers: list[list[tuple[str, bytes | None]]] = [
        [("a", b"1"), ("a", b"2"), ("n", None), ("e", b"")],
        [],
        [("ü", b"\xff")],
    ]
    run = replace(columns(records(b"{}", b"{}", b"{}")), headers=headers)

    found = [row["headers"] for row in rows(only(run))]

    assert found[1] is None
    assert [(h["key"], h["value"]) for h in found[0]] == headers[0]
    assert [(h["key"], h["value"]) for h in found[2]] == headers[2]


@pytest.mark.parametrize("headers", [None, [[], []]])
def test_a_column_without_headers_is_all_null(headers: Any) -> None:
    run = replace(columns(records(b"{}", b"{}")), headers=headers)

    assert decode_payloads([only(run).payload]).column("headers").null_count == 2


def test_a_range_without_records_is_covered() -> None:
    append = only(columns((), 3, 9))

    assert append == EncodedAppend(3, 9)


def test_holes_before_and_behind_records_are_covered() -> None:
    append = only(columns(records(b"{}", first=5), 2, 20))

    assert (append.base_offset, append.end_offset, append.first_offset) == (2, 20, 5)


def test_rejects_are_kept_apart_with_everything_they_had() -> None:
    run = columns(records(b"{}", b"[1]", b"{}", b"\xff", first=10))
    run = replace(run, headers=[[], [("h", b"v")], [], []])

    append = only(run)

    assert [row["offset"] for row in rows(append)] == [10, 12]
    assert (append.record_count, append.reject_count, append.end_offset) == (2, 2, 14)
    first, second = rejects(append)
    assert (first["offset"], first["reason"]) == (11, RejectReason.NOT_AN_OBJECT.value)
    assert (first["key"], first["value"]) == (b"k1", b"[1]")
    assert first["headers"] == [{"key": "h", "value": b"v"}]
    assert (second["offset"], second["reason"]) == (13, RejectReason.INVALID_UTF8.value)
    assert second["value"] == b"\xff"
    assert second["detail"]
    assert append.bytes == len(append.payload) + len(append.rejects)


def test_a_range_of_nothing_but_rejects() -> None:
    append = only(columns(records(b"", b"[]", first=4)))

    assert (append.record_count, append.payload, append.reject_count) == (0, b"", 2)
    assert (append.min_timestamp_ms, append.max_timestamp_ms, append.first_offset) == (0, 0, 0)
    assert (append.base_offset, append.end_offset) == (4, 6)


def test_stop_ends_just_before_the_first_bad_record() -> None:
    encoded = encode(columns(records(b"{}", b"{}", b"[1]", b"{}", b"", first=10)), STOP)

    (append,) = encoded.appends
    assert (append.base_offset, append.end_offset, append.record_count) == (10, 12, 2)
    assert append.reject_count == 0
    assert encoded.blocked_offset == 12
    assert encoded.blocked_by is not None
    assert encoded.blocked_by.reason is RejectReason.NOT_AN_OBJECT


def test_stop_covers_a_hole_before_the_bad_record() -> None:
    encoded = encode(columns(records(b"[1]", first=10), 4, 20), STOP)

    assert ranges(encoded.appends) == [(4, 10)]
    assert encoded.appends[0].record_count == 0
    assert encoded.blocked_offset == 10


def test_stop_at_the_very_first_record_appends_nothing() -> None:
    encoded = encode(columns(records(b"[1]", b"{}", first=10)), STOP)

    assert not encoded.appends
    assert encoded.blocked_offset == 10


def test_stop_without_bad_records_is_like_reject() -> None:
    run = columns(records(b"{}", None))

    assert encode(run, STOP) == encode(run, REJECT)


def test_rows_are_limited() -> None:
    run = columns(records(*[b"{}"] * (2 * ROWS_MAX + 1), first=100))

    encoded = encode(run, REJECT)

    begin, end = 100, 100 + 2 * ROWS_MAX + 1
    middle = [begin + ROWS_MAX, begin + 2 * ROWS_MAX]
    assert ranges(encoded.appends) == [(begin, middle[0]), (middle[0], middle[1]), (middle[1], end)]
    assert [append.record_count for append in encoded.appends] == [ROWS_MAX, ROWS_MAX, 1]
    assert [append.first_offset for append in encoded.appends] == [begin, *middle]


def test_bytes_are_limited_and_a_larger_record_travels_alone() -> None:
    large = b'{"a":"' + b"x" * (3 * VALUE_BYTES_MAX) + b'"}'
    half = b'{"a":"' + b"x" * (VALUE_BYTES_MAX // 2 - 20) + b'"}'
    values = [b"{}", half, half, half, large, b"{}", None, large, large]
    run = columns(records(*values, first=10), 8, 30)

    appends = encode(run, REJECT).appends

    assert ranges(appends) == [(8, 13), (13, 14), (14, 15), (15, 17), (17, 18), (18, 30)]
    joined = [row["value"] for append in appends for row in rows(append)]
    assert joined == [None if value is None else value.decode() for value in values]


def test_holes_at_the_boundary_of_a_split_stay_covered() -> None:
    half = b'{"a":"' + b"x" * (VALUE_BYTES_MAX * 2 // 3) + b'"}'
    run = columns([FakeRecord(5, half), FakeRecord(50, half)], 5, 60)

    assert ranges(encode(run, REJECT).appends) == [(5, 50), (50, 60)]


def test_stop_in_a_later_part_keeps_the_earlier_ones() -> None:
    values = [b"{}"] * (ROWS_MAX + 2) + [b"[]"] + [b"{}"] * ROWS_MAX

    encoded = encode(columns(records(*values)), STOP)

    assert ranges(encoded.appends) == [(0, ROWS_MAX), (ROWS_MAX, ROWS_MAX + 2)]
    assert encoded.blocked_offset == ROWS_MAX + 2


def test_neither_values_nor_payloads_show_in_a_repr() -> None:
    run = columns(records(b'{"a":"hunter2"}'))

    assert "hunter2" not in repr(run)
    assert "hunter2" not in repr(encode(run, REJECT))
    assert len(repr(encode(run, REJECT))) < 1_000


def limited(bytes_max: int, policy: NonJsonPolicy = NonJsonPolicy.REJECT) -> EncodingRules:
    return EncodingRules(policy, bytes_max)


def test_what_is_larger_than_the_limit_is_kept_apart_without_its_value() -> None:
    large = b'{"v":"%s"}' % (b"x" * 100)
    run = columns(records(b"{}", large, b"[]", b'{"a":1}', first=10))
    (append,) = encode(run, limited(100)).appends
    assert (append.base_offset, append.end_offset) == (10, 14)
    assert [row["offset"] for row in rows(append)] == [10, 13]
    too_large, no_object = rejects(append)
    assert (too_large["offset"], too_large["reason"]) == (11, "TOO_LARGE")
    assert (too_large["key"], too_large["value"], too_large["headers"]) == (b"k1", None, None)
    assert too_large["detail"].startswith("110 bytes (key 2, value 108, headers 0)")
    assert hashlib.sha256(large).hexdigest() in too_large["detail"]
    assert (no_object["reason"], no_object["value"]) == ("NOT_AN_OBJECT", b"[]")


@pytest.mark.parametrize("size", [99, 100])
def test_key_value_and_headers_count_together(size: int) -> None:
    value, key = b'{"v":1}', b"k" * 50
    headers = [[("name", b"h" * (size - len(value) - len(key) - 4))]]
    run = replace(columns([FakeRecord(0, value, 1, key)]), headers=headers)
    (append,) = encode(run, limited(99)).appends
    assert append.record_count == (1 if size <= 99 else 0)
    assert append.reject_count == (0 if size <= 99 else 1)


def test_a_tombstone_whose_key_is_too_large_is_kept_apart_without_it() -> None:
    run = columns([FakeRecord(0, None, 1, b"k" * 70_000), FakeRecord(1, None, 1, b"k")])
    (append,) = encode(run, limited(60_000)).appends
    (reject,) = rejects(append)
    assert (reject["offset"], reject["key"], reject["reason"]) == (0, None, "TOO_LARGE")
    assert len(reject["detail"]) <= 200
    assert [row["offset"] for row in rows(append)] == [1]


def test_stop_stops_at_what_is_too_large_or_no_object_whichever_comes_first() -> None:
    run = columns(records(b"{}", b'{"v":"%s"}' % (b"x" * 100), b"[]", first=10))
    stopped = encode(run, limited(100, NonJsonPolicy.STOP))
    assert ranges(stopped.appends) == [(10, 11)]
    assert (stopped.blocked_offset, stopped.blocked_bytes) == (11, 110)
    assert stopped.blocked_by is not None
    assert stopped.blocked_by.reason is RejectReason.TOO_LARGE
    first = encode(columns(records(b"[]", b"x" * 200, first=10)), limited(100, NonJsonPolicy.STOP))
    assert first.blocked_by is not None
    assert first.blocked_by.reason is RejectReason.NOT_AN_OBJECT


def test_large_keys_are_split_over_appends_as_large_values_are() -> None:
    run = columns([FakeRecord(number, b"{}", 1, b"k" * (1 << 20)) for number in range(10)])
    appends = encode(run, REJECT).appends
    assert [(append.base_offset, append.record_count) for append in appends] == [
        (0, 3),
        (3, 3),
        (6, 3),
        (9, 1),
    ]
