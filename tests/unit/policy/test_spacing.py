from __future__ import annotations

import pytest

from cachesvc.policy.spacing import SPACING_MS, fetch_spacing_ms, progress_spacing_s


@pytest.mark.parametrize(
    ("streams", "spacing_ms"),
    [(0, 20), (1, 20), (6, 20), (7, 40), (16, 60), (24, 80), (25, 100), (100, 100)],
)
def test_more_streams_are_spaced_further(streams: int, spacing_ms: int) -> None:
    assert fetch_spacing_ms(streams) == spacing_ms


def test_a_reader_that_was_told_nothing_spaces_as_for_one_stream() -> None:
    assert fetch_spacing_ms(1) == SPACING_MS


@pytest.mark.parametrize(
    ("interval_s", "streams", "expected_s"),
    [(2, 1, 2), (2, 2_000, 2), (2, 3_000, 3), (2, 5_000, 5), (2, 50_000, 5), (0.2, 100, 0.2)],
)
def test_many_quiet_streams_are_told_less_often(
    interval_s: float, streams: int, expected_s: float
) -> None:
    assert progress_spacing_s(interval_s, streams) == expected_s


def test_what_is_asked_for_is_never_undercut() -> None:
    assert progress_spacing_s(60, 100_000) == 60
