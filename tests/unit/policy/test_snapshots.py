"""What a snapshot is made of, from where it is complete, and which ones stay."""

from __future__ import annotations

import pytest

from cachesvc.model import GapCause, LostRange, Segment, Snapshot
from cachesvc.policy.coverage import OffsetRange
from cachesvc.policy.snapshots import SnapshotPlan, complete_from, plan_snapshot, superseded
from tests.support.frames import ORDERS


def snapshot(base: int, end: int, complete_from_offset: int | None = None) -> Snapshot:
    file = Segment(ORDERS, base, end, 1, 1, 0, 0, 0, 0, f"{base}-{end}")
    return Snapshot(file, base if complete_from_offset is None else complete_from_offset, 1)


OLD, NEW = snapshot(0, 50), snapshot(0, 80)


@pytest.mark.parametrize(
    ("log", "snapshots", "plan"),
    [
        (OffsetRange(0, 0), [], None),
        (OffsetRange(0, 90), [], SnapshotPlan(OffsetRange(0, 90))),
        (OffsetRange(0, 90), [NEW, OLD], SnapshotPlan(OffsetRange(0, 90), NEW)),
        (OffsetRange(0, 80), [OLD, NEW], None),
        (OffsetRange(80, 80), [NEW], None),
        # The log begins where the snapshot ends: nothing is missing.
        (OffsetRange(80, 90), [NEW], SnapshotPlan(OffsetRange(0, 90), NEW)),
        # What lies between went before a snapshot had it: begin anew, and say from where.
        (OffsetRange(81, 90), [NEW], SnapshotPlan(OffsetRange(81, 90))),
        # What lies below was mined afterwards: begin anew from there.
        (OffsetRange(0, 90), [snapshot(10, 80)], SnapshotPlan(OffsetRange(0, 90))),
        (OffsetRange(0, 90), [snapshot(10, 80), OLD], SnapshotPlan(OffsetRange(0, 90), OLD)),
        # The log has lost its end to damage, and mines it again.
        (OffsetRange(0, 70), [NEW], None),
    ],
)
def test_plan(log: OffsetRange, snapshots: list[Snapshot], plan: SnapshotPlan | None) -> None:
    assert plan_snapshot(log, snapshots) == plan


@pytest.mark.parametrize(
    ("previous", "lost", "offset"),
    [
        (None, [], 10),
        (None, [(10, 20)], 20),
        (None, [(0, 10)], 10),
        (None, [(12, 15), (40, 60)], 60),
        (None, [(90, 95)], 10),
        (snapshot(0, 50, 30), [(20, 30)], 30),
        (snapshot(0, 50, 30), [(60, 70)], 70),
    ],
)
def test_complete_from(previous: Snapshot | None, lost: list[tuple[int, int]], offset: int) -> None:
    plan = SnapshotPlan(OffsetRange(previous.base_offset if previous else 10, 90), previous)
    ranges = [LostRange(begin, end, GapCause.SOURCE_RETENTION) for begin, end in lost]
    assert complete_from(plan, ranges) == offset


def test_the_newest_stay_and_what_is_read() -> None:
    each = [snapshot(0, end) for end in (10, 20, 30, 40)]
    assert superseded([each[2], each[0], each[3], each[1]], 2, set()) == (each[0], each[1])
    assert superseded(each, 2, {"0-10"}) == (each[1],)
    assert superseded(each, 9, set()) == ()
