from __future__ import annotations

import pytest

from cachesvc.policy.model_refresh import LoadTimes, Stored, next_refresh_ms, sample_begin

HOUR = 3_600_000
DAY = 24 * HOUR
TIMES = LoadTimes(10 * DAY, 11 * DAY)
NOW = 10 * DAY + 5 * HOUR


@pytest.mark.parametrize(
    ("models", "refreshed", "expected"),
    [
        (0, None, NOW),
        (50_000, None, NOW),
        (0, NOW, NOW + HOUR),
        (9_999, NOW - HOUR, NOW),
        (9_999, NOW - 3 * DAY, NOW - 3 * DAY + HOUR),
        # From 10,000 on: at the load time, and at once where one was missed.
        (10_000, NOW - HOUR, 11 * DAY),
        (10_000, TIMES.previous_ms, 11 * DAY),
        (10_000, TIMES.previous_ms - 1, TIMES.previous_ms),
        (10_001, NOW - 3 * DAY, TIMES.previous_ms),
        # A clock that was set back.
        (5, NOW + 7 * DAY, NOW + HOUR),
        (10_000, NOW + 7 * DAY, 11 * DAY),
    ],
)
def test_next_refresh(models: int, refreshed: int | None, expected: int) -> None:
    assert next_refresh_ms(models, refreshed, NOW, TIMES, HOUR) == expected


DENSE = [Stored(0, 100, 100, 1_000), Stored(100, 200, 100, 1_000), Stored(200, 250, 50, 500)]


@pytest.mark.parametrize(
    ("files", "begin", "end", "records_max", "bytes_max", "expected"),
    [
        ([], 5, 5, 10, 10_000, 5),
        (DENSE, 0, 250, 1_000, 10_000, 0),
        (DENSE, 120, 250, 1_000, 10_000, 120),
        (DENSE, 0, 250, 60, 10_000, 190),
        (DENSE, 0, 230, 60, 10_000, 170),
        (DENSE, 0, 250, 1_000, 600, 190),
        (DENSE[::-1], 0, 250, 60, 10_000, 190),
        # A compacted topic: a tenth of the offsets is left.
        ([Stored(0, 1_000, 100, 1_000)], 0, 1_000, 10, 10_000, 900),
        # A range without records costs nothing.
        ([*DENSE, Stored(250, 900, 0, 0)], 0, 900, 60, 10_000, 190),
        # A journal is kept beside its segment: what both have counts once.
        ([*DENSE, Stored(100, 250, 150, 9_000)], 0, 250, 160, 100_000, 90),
        # One large record is looked at all the same.
        ([Stored(0, 10, 10, 10_000_000)], 0, 10, 60, 600, 9),
    ],
)
def test_sample_begin(
    files: list[Stored], begin: int, end: int, records_max: int, bytes_max: int, expected: int
) -> None:
    assert sample_begin(files, begin, end, records_max, bytes_max) == expected
