"""Which rows can hold what a filter insists on, found without parsing any.

A value matches at least one of a filter's *needles* if it passes; that is necessary, never enough.
JSON can write a character of a text or a name as an escape, so rows with an escape that could stand
for one of a needle's are taken as well.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import re2

from cachesvc.filters.conditions import AllOf, AnyOf, Condition, Literal, OfValue, Test
from cachesvc.filters.number_patterns import number_pattern

Rows: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

_NEEDLES_MAX = 6
"""Beyond that, looking for them costs as much as parsing."""
_PATTERN_LENGTH_MAX = 8_192
_SHARE_MAX = 8
"""Where more than one row in so many is a candidate, parsing all of them costs no more."""
_LONE_TEXT_MIN = 3
"""Bytes of a text that is looked for by itself; a shorter one is looked for at its name."""
_SPACE = "[ \\t\\r\\n]*"
_ESCAPE = r"\\"
_UNICODE_ESCAPE = r"\\u"
_BACKSLASH = re2.compile(_ESCAPE)
_SHORT_ESCAPES = frozenset('"\\/') | frozenset(map(chr, range(0x20)))
"""Characters that can be written as an escape other than with a number."""


@dataclass(frozen=True, slots=True)
class Needles:
    """What a value matches at least one of.

    Attributes:
        patterns: RE2 expressions. They begin with letters of a name or a text, without the quote,
            which RE2 looks for by vector instructions, ten times faster than for what is
            everywhere.
        weight: The greater, the fewer values match by chance.
        short_escapes: Whether escapes other than with a number can stand for one of their letters.
    """

    patterns: frozenset[str]
    weight: int
    short_escapes: bool = False


def needles(condition: Condition) -> Needles | None:
    """What every value matches that passes; None where nothing can be said, or it is too much."""
    match condition:
        case AllOf():
            each = [found for part in condition.parts if (found := needles(part))]
            return max(each, key=lambda one: one.weight, default=None)
        case AnyOf():
            return _united([needles(part) for part in condition.parts])
        case OfValue() if condition.path:
            return _of_value(condition)
    return None


def _united(found: Sequence[Needles | None]) -> Needles | None:
    known = [each for each in found if each is not None]
    patterns = frozenset[str]().union(*(each.patterns for each in known))
    if len(known) < len(found) or len(patterns) > _NEEDLES_MAX:
        return None
    weight = min(each.weight for each in known)
    return Needles(patterns, weight, any(each.short_escapes for each in known))


def _of_value(condition: OfValue) -> Needles | None:
    if condition.test not in (Test.ONE_OF, Test.STARTS_WITH) and not _of_number(condition):
        return _of_name(condition, "", 1)  # something has to be there
    alone: list[Needles] = []
    named: list[str] = []
    for literal in condition.literals:
        if isinstance(literal, str) and len(_inner(literal)) >= _LONE_TEXT_MIN:
            text = _inner(literal)
            escapes = not _SHORT_ESCAPES.isdisjoint(literal)
            alone.append(Needles(frozenset({re2.escape(text)}), 10 * len(text), escapes))
            continue
        pattern = _literal_pattern(condition.test, literal)
        if pattern is None:
            return None
        named.append(pattern)
    at_name = [_of_name(condition, f"(?:{'|'.join(named)})", 20)] if named else []
    return _united([*alone, *at_name])


def _of_number(condition: OfValue) -> bool:
    return condition.test.is_order and isinstance(condition.literals[0], Decimal)


def _literal_pattern(test: Test, literal: Literal) -> str | None:
    match literal:
        case str():
            end = "" if test is Test.STARTS_WITH else '"'
            # A text with an escape is not looked for, its row is found by the escape.
            return f'"{re2.escape(_inner(literal))}{end}'
        case bool():
            return "true" if literal else "false"
        case Decimal():
            return number_pattern(test, literal)
    return None  # null may be missing


def _of_name(condition: OfValue, pattern: str, weight: int) -> Needles | None:
    """Something right behind the name that the path ends with."""
    name = condition.path[-1]
    if not isinstance(name, str):
        return None
    whole = f'{re2.escape(_inner(name))}"{_SPACE}:{_SPACE}{pattern}'
    if len(whole) > _PATTERN_LENGTH_MAX:
        return None
    letters = [name, *(each for each in condition.literals if isinstance(each, str))]
    escapes = any(not _SHORT_ESCAPES.isdisjoint(each) for each in letters)
    return Needles(frozenset({whole}), weight, escapes)


def _inner(text: str) -> str:
    """A text as JSON has it, without the quotes and with no escape that it does not need."""
    return msgspec.json.encode(text)[1:-1].decode()


class Search:
    """Looks for needles.

    Args:
        wanted: What to look for.
    """

    def __init__(self, wanted: Needles) -> None:
        options = re2.Options()
        options.log_errors = False
        # One by one: for several texts at once RE2 has no fast way.
        self._patterns = [re2.compile(each, options) for each in sorted(wanted.patterns)]
        self._escape = re2.compile(_ESCAPE if wanted.short_escapes else _UNICODE_ESCAPE)

    @classmethod
    def of(cls, wanted: Needles) -> "Search | None":
        """A search; None where RE2 finds the patterns too large."""
        try:
            return cls(wanted)
        except re2.error:
            return None

    def rows(self, values: pa.StringArray) -> "Rows | None":
        """The rows that can pass, rising; None for all, where too many can."""
        data = values.buffers()[2]
        if data is None or not len(values):
            return np.empty(0, np.int64)
        whole = np.frombuffer(values.buffers()[1], np.int32)
        ends = whole[values.offset : values.offset + len(values) + 1].astype(np.int64)
        window = data.slice(0, int(ends[-1]))
        limit = max(1, len(values) // _SHARE_MAX)
        found: set[int] = set()
        for pattern in (*self._patterns, *self._escapes(window)):
            for row in _rows_with(pattern, window, ends):
                found.add(row)
                if len(found) > limit:
                    return None
        return np.fromiter(sorted(found), np.int64, len(found))

    def _escapes(self, window: pa.Buffer) -> Iterable["re2._Regexp"]:
        """Escapes are looked for where there is any; mostly there is none."""
        return (self._escape,) if _BACKSLASH.search(window) else ()


def _rows_with(pattern: "re2._Regexp", window: pa.Buffer, ends: Rows) -> Iterable[int]:
    position, stop = int(ends[0]), int(ends[-1])
    while position < stop:
        match = pattern.search(window, position)
        if match is None:
            return
        row = int(ends.searchsorted(match.start(), side="right")) - 1
        yield row
        position = int(ends[row + 1])
