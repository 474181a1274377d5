"""Which appends are traced, and whose traces their records carry."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesvc.policy.sampling import (
    LINKS_MAX,
    SAMPLED_PATTERN,
    Producer,
    Sampler,
    producer_of,
    producers_of,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def header(trace: str = TRACE, span: str = SPAN, flags: str = "01", version: str = "00") -> bytes:
    return f"{version}-{trace}-{span}-{flags}".encode()


def test_a_header_names_the_span_of_its_producer() -> None:
    assert producer_of(7, header()) == Producer(7, int(TRACE, 16), int(SPAN, 16))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (header(flags="03"), True),
        (header(version="01") + b"-more", True),  # of a version to come
        (header(flags="00"), False),
        (header(flags="02"), False),
        (header(version="ff"), False),
        (header() + b"-more", False),
        (header() + b"-", False),
        (header(trace="0" * 32), False),
        (header(span="0" * 16), False),
        (header(trace=TRACE.upper()), False),
        (header()[:-1], False),
        (header() + b"\n", False),
        (b"", False),
        (b"\xff\xfe", False),
    ],
)
def test_what_is_no_header_of_a_recorded_span_names_none(text: bytes, *, named: bool) -> None:
    assert (producer_of(0, text) is not None) is named


@given(
    st.binary(max_size=60) | st.from_regex(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
)
def test_what_names_a_span_begins_as_the_pattern_says(text: bytes) -> None:
    if producer_of(0, text) is not None:
        assert re.match(SAMPLED_PATTERN.encode(), text)


def test_each_span_counts_once_and_no_more_than_a_trace_may_name() -> None:
    texts = [(offset, header(span=f"{1 + offset // 2:016x}")) for offset in range(200)]
    found = producers_of([(-1, b"none"), *texts])
    assert [each.offset for each in found] == list(range(0, 2 * LINKS_MAX, 2))
    assert [each.span_id for each in found] == list(range(1, LINKS_MAX + 1))


def test_a_share_is_taken_and_what_is_wanted_besides() -> None:
    sampler = Sampler(0.25, 1_000)
    chances = [number / 100 for number in range(100)]
    assert sum(sampler.takes(chance, 0.0, wanted=False) for chance in chances) == 25
    assert sum(sampler.takes(chance, 1.0, wanted=True) for chance in chances) == 100


def test_nothing_is_taken_of_a_share_of_none() -> None:
    sampler = Sampler(0.0, 1_000)
    assert not sampler.takes(0.0, 0.0, wanted=False)


@given(
    st.floats(0.01, 50),
    st.lists(st.tuples(st.floats(0, 2), st.floats(0, 0.999), st.booleans()), max_size=200),
)
def test_no_more_is_taken_than_the_bound_says(
    per_s: float, asked: list[tuple[float, float, bool]]
) -> None:
    sampler, now_s, taken = Sampler(0.5, per_s), 0.0, 0
    for passed_s, chance, wanted in asked:
        now_s += passed_s
        taken += sampler.takes(chance, now_s, wanted=wanted)
        assert taken <= 1 + per_s * (1 + now_s) + 1e-6
