from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cachesvc.model import PartitionId, Segment
from cachesvc.policy.retention import (
    RetentionClock,
    RetentionPlan,
    RetentionRule,
    plan_retention,
)
from tests.unit.policy.notation import segment

AGE_MS = 100
NOW_MS = 1_000
MINED = RetentionRule(RetentionClock.MINED, AGE_MS, AGE_MS)
RECORD = replace(MINED, clock=RetentionClock.RECORD)
# What a clock, a database or a careless producer makes a timestamp of.
NONE, FIRST_OF_1970, LONG_AGO, FAR_FUTURE = -1, 0, 10, 1_795_000_000_000_000


def nobody() -> int | None:
    """Nobody has still to read anything."""
    return None


def never_asked() -> int | None:
    raise AssertionError("what somebody has still to read decides nothing here")


def needs(offset: int) -> Callable[[], int | None]:
    return lambda: offset


def mined(*times: int, timestamp_ms: int = LONG_AGO) -> list[Segment]:
    """Segments of ten offsets, mined at these times."""
    return [
        segment(10 * n, 10 * n + 10, 1, newest_ms=timestamp_ms, mined_ms=(time, time))
        for n, time in enumerate(times)
    ]


def at(timestamp_ms: int, mined_ms: int = NOW_MS, records: int = 1) -> Segment:
    times = mined_ms, mined_ms
    return segment(0, 10, 1, newest_ms=timestamp_ms, records=records, mined_ms=times)


@pytest.mark.parametrize(
    ("times", "dropped", "log_start"),
    [
        ([], 0, None),
        ([950], 0, None),
        # Exactly as old as the limit stays, as in Kafka.
        ([900], 0, None),
        ([899], 1, 10),
        ([100, 200, 899, 901, 999], 3, 30),
        # Everything is old: everything goes, and the log goes on at its end.
        ([100, 200, 300], 3, 30),
        # A range that was mined afterwards stays with all that its reader comes to next.
        ([100, 950, 200, 300], 1, 10),
        ([950, 100], 0, None),
    ],
)
def test_what_goes_is_a_prefix(times: list[int], dropped: int, log_start: int | None) -> None:
    before = mined(*times)
    plan = plan_retention(before, NOW_MS, MINED, never_asked)
    assert plan == RetentionPlan(tuple(before[:dropped]), log_start)
    assert plan_retention(before[::-1], NOW_MS, MINED, never_asked) == plan


@pytest.mark.parametrize("timestamp_ms", [NONE, FIRST_OF_1970, LONG_AGO, NOW_MS, FAR_FUTURE])
def test_the_time_of_mining_decides_whatever_the_timestamp_says(timestamp_ms: int) -> None:
    before = mined(899, 900, timestamp_ms=timestamp_ms)
    plan = plan_retention(before, NOW_MS, MINED, never_asked)
    assert plan == RetentionPlan((before[0],), 10)


def test_the_last_mined_part_of_a_segment_decides() -> None:
    before = segment(0, 10, 1, mined_ms=(100, 950))
    assert plan_retention([before], NOW_MS, MINED, never_asked) == RetentionPlan()


@pytest.mark.parametrize(
    ("timestamp_ms", "free_after_ms"),
    [
        (NONE, NOW_MS + AGE_MS),
        (FIRST_OF_1970, AGE_MS),
        (LONG_AGO, LONG_AGO + AGE_MS),
        (NOW_MS - 1, NOW_MS - 1 + AGE_MS),
        (FAR_FUTURE, NOW_MS + AGE_MS),
    ],
)
def test_by_the_clock_of_the_record_a_time_counts_up_to_that_of_mining(
    timestamp_ms: int, free_after_ms: int
) -> None:
    assert RECORD.free_after_ms(at(timestamp_ms), unread=False) == free_after_ms


def test_by_the_clock_of_the_record_a_segment_without_records_counts_from_its_mining() -> None:
    assert RECORD.free_after_ms(at(0, records=0), unread=False) == NOW_MS + AGE_MS


@pytest.mark.parametrize(
    ("lowest", "dropped"),
    [
        (0, 0),
        # The last record of the first one is still to be read.
        (9, 0),
        (10, 1),
        (15, 1),
        (30, 3),
    ],
)
def test_what_is_too_old_when_it_is_mined_stays_until_it_is_read(lowest: int, dropped: int) -> None:
    before = mined(NOW_MS, NOW_MS, NOW_MS)
    plan = plan_retention(before, NOW_MS + 1, RECORD, needs(lowest))
    assert plan.dropped == tuple(before[:dropped])
    assert plan_retention(before, NOW_MS + 1, RECORD, nobody).dropped == tuple(before)


def test_what_nobody_reads_stays_no_longer_than_the_bound() -> None:
    rule = replace(RECORD, unread_ms=30)
    before = mined(NOW_MS)
    assert not plan_retention(before, NOW_MS + 30, rule, needs(0)).dropped
    assert plan_retention(before, NOW_MS + 31, rule, never_asked).dropped == tuple(before)


def test_a_longer_bound_keeps_what_is_unread_by_either_clock() -> None:
    for rule in (replace(MINED, unread_ms=500), replace(RECORD, unread_ms=500)):
        before = mined(600, 700)
        assert not plan_retention(before, NOW_MS, rule, needs(0)).dropped
        assert plan_retention(before, NOW_MS, rule, needs(10)).dropped == (before[0],)
        assert plan_retention(before, 1_101, rule, needs(0)).dropped == (before[0],)


def test_refuses_several_partitions() -> None:
    before = [segment(0, 10, 1), segment(0, 10, 1, partition=PartitionId("a", "b", 1, 0))]
    with pytest.raises(ValueError, match="several partitions"):
        plan_retention(before, NOW_MS, MINED, nobody)
