"""What charts begin with: how things were before the page was opened."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from cachesvc.v1.watching_pb2 import TrendPoint
from cachesvc.web.visit import Visit

Drawn = Mapping[str, Sequence[object]]
"""``x`` are seconds since the epoch, ``y`` lists of amounts by figure, None where unknown."""
_NEWEST_MS = 60_000


class Trend:
    """How something was of late.

    Args:
        points: The oldest first.
    """

    def __init__(self, points: Sequence[TrendPoint]) -> None:
        self._points = points

    @property
    def newest(self) -> TrendPoint | None:
        """The last one."""
        return self._points[-1] if self._points else None

    def of(self, *figures: str) -> Drawn:
        """These figures over time."""
        return {
            "x": [point.at_ms / 1000 for point in self._points],
            "y": [[_amount(point, figure) for point in self._points] for figure in figures],
        }


async def trend_of(visit: Visit, request: Any, *, goes_on: bool = False) -> Trend:
    """What a call for a trend tells; nothing where it may not be seen.

    Args:
        visit: Whose page has the chart.
        request: The call.
        goes_on: Whether parts of the page are told the newest points: where the page has no figures
            of its own to go on with. Otherwise parts are told nothing.

    Raises:
        CallFailed: Nobody has signed in, or not any more.
    """
    if visit.is_part:
        if not goes_on:
            return Trend(())
        request.since_ms = time.time_ns() // 1_000_000 - _NEWEST_MS
    found = await visit.attempt(request)
    return Trend(() if found.answer is None else found.answer.points)


def _amount(point: Any, figure: str) -> float | None:
    field = TrendPoint.DESCRIPTOR.fields_by_name[figure]
    if field.has_presence and not point.HasField(figure):
        return None
    return round(float(getattr(point, figure)), 3)
