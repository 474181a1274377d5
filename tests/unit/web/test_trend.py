"""What charts begin with."""

from __future__ import annotations

from cachesvc.v1.watching_pb2 import TrendPoint
from cachesvc.web.pages.trend import Trend

POINTS = [
    TrendPoint(at_ms=1_500, mined_records_per_s=1.23456, delivered_records_per_s=3, lag_records=0),
    TrendPoint(at_ms=2_000, delivered_records_per_s=0),
]


def test_figures_over_time() -> None:
    trend = Trend(POINTS)
    assert trend.of("lag_records") == {"x": [1.5, 2.0], "y": [[0, None]]}
    assert trend.of("mined_records_per_s", "delivered_records_per_s") == {
        "x": [1.5, 2.0],
        "y": [[1.235, None], [3, 0]],
    }
    assert trend.newest == POINTS[1]


def test_a_service_that_has_just_started() -> None:
    assert Trend(()).of("lag_records", "delivered_records_per_s") == {"x": [], "y": [[], []]}
    assert Trend(()).newest is None
