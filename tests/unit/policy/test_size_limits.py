"""Literal segments in, how many go out."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import replace

import pytest

from cachesvc.model import Segment
from cachesvc.policy.shedding import TopicSegments, plan_shedding
from cachesvc.policy.size_limits import (
    Held,
    LogSegments,
    Protection,
    SizeLimits,
    plan_topic_limits,
)
from tests.unit.policy.notation import segment

NOW_MS = 1_000


def log(
    *sizes: int, first_ms: int = 0, unread_from: int | None = None, journal: int = 0
) -> LogSegments:
    """Ten records a segment, mined one after the other, ten milliseconds apart."""
    segments = [
        segment(10 * n, 10 * n + 10, size, records=10, mined_ms=(0, first_ms + 10 * n))
        for n, size in enumerate(sizes)
    ]
    return LogSegments(segments, lambda: unread_from, Held(journal, journal))


@pytest.mark.parametrize(
    ("logs", "limits", "expected"),
    [
        ([log(5, 5, 5)], SizeLimits(), [0]),
        ([log(5, 5, 5)], SizeLimits(bytes_max=15), [0]),
        ([log(5, 5, 5)], SizeLimits(bytes_max=14), [1]),
        ([log(5, 5, 5)], SizeLimits(records_max=20), [1]),
        # Whichever comes first.
        ([log(5, 5, 5)], SizeLimits(bytes_max=10, records_max=10), [2]),
        ([log(5, 5, 5)], SizeLimits(bytes_max=5, records_max=20), [2]),
        # Journals count, and do not go.
        ([log(5, 5, 5, journal=9)], SizeLimits(bytes_max=15), [2]),
        ([log(5, 5, journal=99)], SizeLimits(bytes_max=15), [2]),
        # The oldest of all partitions goes first.
        ([log(5, 5, first_ms=5), log(5, 5)], SizeLimits(bytes_max=15), [0, 1]),
        ([log(5, 5, first_ms=5), log(5, 5)], SizeLimits(bytes_max=10), [1, 1]),
        # What is unread is not protected by itself,
        ([log(5, 5, 5, unread_from=0)], SizeLimits(bytes_max=5), [2]),
        # and with a limit of its own up to that, and it takes nothing away from others.
        ([log(5, 5, 5, unread_from=0)], SizeLimits(5, None, Protection(NOW_MS)), [0]),
        ([log(5, 5, 5, unread_from=15)], SizeLimits(5, None, Protection(NOW_MS)), [1]),
        ([log(5, 5, 5, unread_from=0)], SizeLimits(5, None, Protection(NOW_MS, 10)), [1]),
        ([log(5, 5, 5, unread_from=0)], SizeLimits(5, None, Protection(NOW_MS - 5)), [1]),
        (
            [log(5, 5, unread_from=0), log(5, 5, first_ms=5)],
            SizeLimits(10, None, Protection(NOW_MS)),
            [0, 1],
        ),
    ],
)
def test_limits_of_a_topic(
    logs: list[LogSegments], limits: SizeLimits, expected: list[int]
) -> None:
    assert plan_topic_limits(logs, limits, NOW_MS) == expected


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (SizeLimits(), 1_000),
        (SizeLimits(bytes_max=100), 25),
        (SizeLimits(bytes_max=10_000), 1_000),
        # Twenty records take ten bytes, so forty that stay take twenty.
        (SizeLimits(records_max=40), 5),
        (SizeLimits(records_max=1), 1),
    ],
)
def test_no_merged_segment_is_much_of_what_stays(limits: SizeLimits, expected: int) -> None:
    assert limits.merged_bytes_max(1_000, log(5, 5).segments) == expected
    assert SizeLimits(records_max=4).merged_bytes_max(1_000, []) == 1_000


def topic(name: str, *logs: LogSegments, protection: Protection | None = None) -> TopicSegments:
    return TopicSegments(("main", name), logs, protection)


@pytest.mark.parametrize(
    ("topics", "over_bytes", "expected", "left"),
    [
        ([topic("a", log(5, 5))], 0, {}, 0),
        ([topic("a", log(5, 5))], 1, {"a": [1]}, 0),
        # The largest sheds, down to the level of the others, and then in turn.
        ([topic("a", log(5, 5, 5, 5)), topic("b", log(5, 5))], 10, {"a": [2]}, 0),
        ([topic("a", log(5, 5, 5)), topic("b", log(5, 5))], 15, {"a": [2], "b": [1]}, 0),
        ([topic("a", log(1, 1)), topic("b", log(50, 50, 50))], 100, {"b": [2]}, 0),
        # Who may not shed is passed over.
        (
            [
                topic("a", log(5, 5, 5, unread_from=0), protection=Protection(NOW_MS)),
                topic("b", log(5)),
            ],
            8,
            {"b": [1]},
            3,
        ),
        ([topic("a", log(5, journal=20))], 10, {"a": [1]}, 5),
    ],
)
def test_shedding(
    topics: list[TopicSegments], over_bytes: int, expected: dict[str, list[int]], left: int
) -> None:
    plan = plan_shedding(topics, "local", over_bytes, NOW_MS)
    assert {name: counts for (_, name), counts in plan.dropped.items()} == expected
    assert plan.over_bytes == left


def test_what_lies_elsewhere_goes_only_with_what_it_precedes() -> None:
    mixed = log(5, 5, 5)
    cold, warm, last = mixed.segments
    elsewhere = [replace(cold, store="cold"), warm, replace(last, store="cold")]
    given = topic("a", LogSegments(elsewhere, lambda: None))
    assert plan_shedding([given], "local", 1, NOW_MS).dropped == {("main", "a"): [2]}
    assert plan_shedding([given], "local", 9, NOW_MS).dropped == {("main", "a"): [2]}
    assert plan_shedding([given], "cold", 6, NOW_MS).dropped == {("main", "a"): [3]}


def test_a_hundred_thousand_segments_need_no_copy_of_them() -> None:
    many = [_many(first_ms) for first_ms in range(100)]
    limits = SizeLimits(500_000, None, Protection(10**9))
    tracemalloc.start()
    try:
        began_s = time.process_time()
        plan = plan_topic_limits(many, limits, NOW_MS)
        shed = plan_shedding([topic("a", *many)], "local", 500_000, NOW_MS)
        took_s = time.process_time() - began_s
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(plan) == 50_000
    assert [sum(counts) for counts in shed.dropped.values()] == [50_000]
    assert peak < 200_000, "a few bytes a log, none a segment"
    assert took_s < 20, "under a tracer; some tenths of a second without one"


def _many(first_ms: int) -> LogSegments:
    one = segment(0, 1, 10, mined_ms=(0, first_ms))
    segments: list[Segment] = [
        replace(one, base_offset=n, end_offset=n + 1, newest_mined_ms=first_ms + 100 * n)
        for n in range(1_000)
    ]
    return LogSegments(segments, lambda: 1_000)
