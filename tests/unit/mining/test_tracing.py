"""Which appends a reader has traced, and what it tells of them."""

from __future__ import annotations

import pytest

from cachesvc.mining.encode import EncodedAppend, EncodingRules, encode
from cachesvc.mining.header_column import header_column, producers_in
from cachesvc.mining.source import FetchTimes, Headers, RecordColumns
from cachesvc.mining.tracing import TraceSettings, Tracing
from cachesvc.model import NonJsonPolicy
from cachesvc.policy.sampling import Producer

SPAN = b"00-0000000000000000000000000000000a-000000000000000b-"
NOT_UTF8 = b"\xff".decode(errors="surrogateescape")
MINUTE_NS = 60_000_000_000


def columns(headers: list[Headers] | None) -> RecordColumns:
    rows = 4 if headers is None else len(headers)
    return RecordColumns(
        10, 10 + rows, range(10, 10 + rows), [5] * rows, [0] * rows, [None] * rows,
        [b"{}"] * rows, headers,
    )  # fmt: skip


def tracing(ratio: float = 1.0, *, follow: bool = True, drawn: float = 0.5) -> Tracing:
    settings = TraceSettings(ratio, 10.0, follow)
    return Tracing(settings, lambda: drawn, lambda: 100.0, lambda: MINUTE_NS)


APPEND = EncodedAppend(10, 14, record_count=4)
PRODUCED = EncodedAppend(10, 14, record_count=4, producers=[Producer(12, 10, 11)])
FETCHED = FetchTimes(99.0, 99.5)


def test_producers_are_found_in_the_column_of_headers() -> None:
    headers: list[Headers] = [
        (),
        [("a", b"1"), ("traceparent", SPAN + b"01")],
        [("traceparent", SPAN + b"00")],
        [("traceparent", None), ("Traceparent", SPAN + b"01")],
        [("traceparent", SPAN.replace(b"b-", b"c-") + b"01"), ("z", None)],
    ]
    found = [Producer(101, 10, 11), Producer(104, 10, 12)]
    assert list(producers_in(header_column(5, headers), range(100, 105))) == found


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [(), ()],
        [[("a", b"1")], ()],
        [[(NOT_UTF8, SPAN + b"01")]],
        [[("traceparent", b"\xff")]],
    ],
)
def test_headers_that_name_no_producer(headers: list[Headers] | None) -> None:
    rows = 2 if headers is None else len(headers)
    assert not producers_in(header_column(rows, headers), range(rows))


def test_producers_are_looked_for_where_somebody_wants_to_know() -> None:
    headers: list[Headers] = [[("traceparent", SPAN + b"01")], ()]
    for traced, found in ((False, []), (True, [Producer(10, 10, 11)])):
        rules = EncodingRules(NonJsonPolicy.REJECT, traced=traced)
        (append,) = encode(columns(headers), rules).appends
        assert list(append.producers) == found


def test_what_is_told_of_an_append() -> None:
    trace = tracing().of(PRODUCED, FETCHED, 99.75)
    assert trace is not None
    second = 1_000_000_000
    assert trace.fetch_began_ns == MINUTE_NS - second
    assert trace.fetched_ns == MINUTE_NS - second // 2
    assert trace.taken_ns == MINUTE_NS - second // 4
    assert trace.sent_ns == MINUTE_NS
    (producer,) = trace.producers
    assert (producer.offset, producer.span_id) == (12, 11)
    assert producer.trace_id == (10).to_bytes(16)


@pytest.mark.parametrize(
    ("ratio", "follow", "append", "fetched", "told"),
    [
        (0.6, True, APPEND, FETCHED, True),
        (0.4, True, APPEND, FETCHED, False),
        (0.0, True, PRODUCED, FETCHED, True),
        (0.0, False, PRODUCED, FETCHED, False),
        (1.0, True, EncodedAppend(10, 14), FETCHED, False),
        (1.0, True, APPEND, None, False),
    ],
)
def test_which_appends_are_traced(
    ratio: float, append: EncodedAppend, fetched: FetchTimes | None, *, follow: bool, told: bool
) -> None:
    assert (tracing(ratio, follow=follow).of(append, fetched, 99.75) is not None) is told
