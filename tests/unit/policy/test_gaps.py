from __future__ import annotations

from cachesvc.model import GapCause, LostRange
from cachesvc.policy.coverage import OffsetRange
from cachesvc.policy.gaps import causes

SOURCE, CACHE = GapCause.SOURCE_RETENTION, GapCause.CACHE_RETENTION


def test_what_was_never_cached_and_what_was_are_told_apart() -> None:
    assert causes(0, 50, 100, []) == [LostRange(0, 50, SOURCE)]
    assert causes(100, 150, 100, []) == [LostRange(100, 150, CACHE)]
    assert causes(50, 150, 100, []) == [LostRange(50, 100, SOURCE), LostRange(100, 150, CACHE)]


def test_what_was_in_a_damaged_file_is_told_apart() -> None:
    damaged = [OffsetRange(110, 120), OffsetRange(120, 130), OffsetRange(170, 180)]
    assert causes(50, 150, 100, damaged) == [
        LostRange(50, 100, SOURCE),
        LostRange(100, 110, CACHE),
        LostRange(110, 130, GapCause.STORE_DAMAGED),
        LostRange(130, 150, CACHE),
    ]
    assert causes(115, 118, 0, damaged) == [LostRange(115, 118, GapCause.STORE_DAMAGED)]
