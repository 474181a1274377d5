"""Why a range is gone that neither the cache nor the source has."""

from collections.abc import Iterable
from itertools import pairwise

from cachesvc.model import GapCause, LostRange
from cachesvc.policy.coverage import Coverage, OffsetRange


def causes(
    begin: int, end: int, mined_from: int, damaged: Iterable[OffsetRange]
) -> list[LostRange]:
    """``[begin, end)`` in parts of one cause each, in offset order.

    Args:
        begin: Begin of what was asked for.
        end: Where the source begins to have records again.
        mined_from: Where mining of the partition began: what lies before was never cached, so that
            it was the source that has lost it. What lies behind was, and retention took it.
        damaged: What the cache had, in a file that was damaged.
    """
    hurt = Coverage.of(damaged)
    edges = {begin, end, mined_from}.union(*((part.begin, part.end) for part in hurt.ranges))
    within = sorted(edge for edge in edges if begin <= edge <= end)
    return [LostRange(one, other, _cause(one, mined_from, hurt)) for one, other in pairwise(within)]


def _cause(offset: int, mined_from: int, damaged: Coverage) -> GapCause:
    if offset in damaged:
        return GapCause.STORE_DAMAGED
    return GapCause.CACHE_RETENTION if offset >= mined_from else GapCause.SOURCE_RETENTION
