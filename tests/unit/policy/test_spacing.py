from __future__ import annotations

import pytest

from cachesvc.policy.spacing import SPACING_MS, fetch_spacing_ms


@pytest.mark.parametrize(
    ("streams", "spacing_ms"),
    [(0, 20), (1, 20), (4, 20), (5, 40), (16, 80), (17, 100), (100, 100)],
)
def test_more_streams_are_spaced_further(streams: int, spacing_ms: int) -> None:
    assert fetch_spacing_ms(streams) == spacing_ms


def test_a_reader_that_was_told_nothing_spaces_as_for_one_stream() -> None:
    assert fetch_spacing_ms(1) == SPACING_MS
