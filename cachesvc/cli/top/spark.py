"""Small charts of one line."""

from collections.abc import Sequence
from itertools import pairwise

_BARS = "▁▂▃▄▅▆▇█"
_UNKNOWN = " "


def spark(values: Sequence[float | None], width: int) -> str:
    """Values as bars, the oldest first; of many, each bar is the largest of about as many.

    Args:
        values: None where one is not known.
        width: How many bars there are at most.
    """
    count = min(width, len(values))
    bounds = [len(values) * number // count for number in range(count + 1)] if count else []
    parts = [[v for v in values[begin:end] if v is not None] for begin, end in pairwise(bounds)]
    highest = max((max(part) for part in parts if part), default=0.0)
    return "".join(_bar(max(part), highest) if part else _UNKNOWN for part in parts)


def _bar(value: float, highest: float) -> str:
    if value <= 0 or highest <= 0:
        return _BARS[0]
    return _BARS[min(len(_BARS) - 1, 1 + int(value / highest * (len(_BARS) - 2)))]
