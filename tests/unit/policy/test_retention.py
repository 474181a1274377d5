from __future__ import annotations

import pytest

from cachesvc.model import PartitionId
from cachesvc.policy.retention import RetentionPlan, plan_retention
from tests.unit.policy.notation import segment

AGE_MS = 100
NOW_MS = 1_000


@pytest.mark.parametrize(
    ("newest", "dropped", "log_start"),
    [
        ([], 0, None),
        ([950], 0, None),
        # Exactly as old as the limit stays, as in Kafka.
        ([900], 0, None),
        ([899], 1, 10),
        ([100, 200, 899, 901, 999], 3, 30),
        # Everything is old: everything goes, and the log goes on at its end.
        ([100, 200, 300], 3, 30),
        # A newer record protects what comes after it.
        ([100, 950, 200, 300], 1, 10),
        ([950, 100], 0, None),
        # Timestamps of the future never expire.
        ([10_000, 100], 0, None),
    ],
)
def test_prefix(newest: list[int], dropped: int, log_start: int | None) -> None:
    before = [
        segment(10 * number, 10 * number + 10, 1, newest_ms=newest_ms, created_ms=NOW_MS)
        for number, newest_ms in enumerate(newest)
    ]
    plan = plan_retention(before, NOW_MS, AGE_MS)
    assert plan == RetentionPlan(tuple(before[:dropped]), log_start)
    assert plan_retention(before[::-1], NOW_MS, AGE_MS) == plan


@pytest.mark.parametrize(("created_ms", "dropped"), [(899, 1), (900, 0), (950, 0)])
def test_a_segment_without_records_counts_from_when_it_was_made(
    created_ms: int, dropped: int
) -> None:
    empty = segment(0, 10, 1, records=0, created_ms=created_ms)
    assert len(plan_retention([empty], NOW_MS, AGE_MS).dropped) == dropped


def test_records_without_a_time_count_from_when_their_segment_was_made() -> None:
    before = segment(0, 10, 1, newest_ms=-1, created_ms=950)
    assert plan_retention([before], NOW_MS, AGE_MS) == RetentionPlan()


def test_refuses_several_partitions() -> None:
    before = [segment(0, 10, 1), segment(0, 10, 1, partition=PartitionId("a", "b", 1, 0))]
    with pytest.raises(ValueError, match="several partitions"):
        plan_retention(before, NOW_MS, AGE_MS)
