"""What the times of some records say about a filter, before any of them is looked at."""

from typing import NamedTuple

from cachesvc.filters.conditions import AllOf, AnyOf, Condition, Not, OfTime, Test


class _Possible(NamedTuple):
    """Whether a condition can hold for some record, and whether it can fail for some."""

    holds: bool
    fails: bool


def may_hold(condition: Condition, oldest_ms: int, newest_ms: int) -> bool:
    """Whether a record with a timestamp in ``[oldest_ms, newest_ms]`` can pass."""
    return _possible(condition, oldest_ms, newest_ms).holds


def _possible(condition: Condition, low: int, high: int) -> _Possible:
    match condition:
        case AllOf():
            parts = [_possible(part, low, high) for part in condition.parts]
            return _Possible(all(p.holds for p in parts), any(p.fails for p in parts))
        case AnyOf():
            parts = [_possible(part, low, high) for part in condition.parts]
            return _Possible(any(p.holds for p in parts), all(p.fails for p in parts))
        case Not():
            inside = _possible(condition.part, low, high)
            return _Possible(inside.fails, inside.holds)
        case OfTime(test=Test.ONE_OF, literals=literals):
            within = any(low <= literal <= high for literal in literals)
            return _Possible(within, not (low == high and within))
        case OfTime(literals=(literal,)):
            return _ordered(condition.test, literal, low, high)
    return _Possible(holds=True, fails=True)


def _ordered(test: Test, literal: int, low: int, high: int) -> _Possible:
    match test:
        case Test.LESS:
            return _Possible(low < literal, high >= literal)
        case Test.AT_MOST:
            return _Possible(low <= literal, high > literal)
        case Test.GREATER:
            return _Possible(high > literal, low <= literal)
    return _Possible(high >= literal, low < literal)
