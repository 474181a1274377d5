"""What docs/filters.md says a filter means, in plain Python: one record, no batch, no short cut."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import re2

from cachesvc.filters.conditions import (
    AllOf,
    AnyOf,
    Condition,
    Not,
    OfHeader,
    OfKey,
    OfTime,
    OfValue,
    Test,
)

NOTHING = object()
_EXPONENT_MAX = 10**6  # far beyond what a filter can name


@dataclass(frozen=True)
class Row:
    """A record as a filter sees it."""

    offset: int
    value: bytes | None = b"{}"
    key: bytes | None = None
    timestamp_ms: int = 0
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


def passes(condition: Condition, row: Row) -> bool:
    """Whether a record meets a condition."""
    match condition:
        case AllOf():
            return all(passes(part, row) for part in condition.parts)
        case AnyOf():
            return any(passes(part, row) for part in condition.parts)
        case Not():
            return not passes(condition.part, row)
        case OfTime():
            return _numbers(condition.test, row.timestamp_ms, condition.literals)
        case OfKey():
            return _bytes(condition, row.key) if row.key is not None else False
        case OfHeader():
            return any(
                condition.test is Test.EXISTS or (value is not None and _bytes(condition, value))
                for name, value in row.headers
                if name == condition.name
            )
        case OfValue():
            return _field(condition, _at(row.value, condition.path))
    raise AssertionError(condition)


def _bytes(condition: OfKey | OfHeader, found: bytes) -> bool:
    match condition.test:
        case Test.EXISTS:
            return True
        case Test.ONE_OF:
            return found in condition.literals
        case Test.STARTS_WITH:
            return found.startswith(condition.literals[0])
    try:
        text = found.decode()
    except UnicodeDecodeError:
        return False
    return re2.fullmatch(condition.literals[0].decode(), text) is not None


def _at(value: bytes | None, path: tuple[str | int, ...]) -> Any:
    """What lies at a path: text, number, true, false, null, object or array, or nothing."""
    if value is None:
        return NOTHING
    found: Any = json.loads(value, parse_int=_number, parse_float=_number)
    for step in path:
        if isinstance(step, str):
            there = isinstance(found, dict) and step in found
        else:
            there = isinstance(found, list) and step < len(found)
        if not there:
            return NOTHING
        found = found[step]
    return found


def _number(text: str) -> Decimal:
    """What its digits say; exponents beyond all that a filter can name are cut there."""
    mantissa, _, exponent = text.lower().partition("e")
    size = max(-_EXPONENT_MAX, min(_EXPONENT_MAX, int(exponent or "0")))
    return Decimal(f"{mantissa}e{size}")


def _field(condition: OfValue, found: Any) -> bool:
    if condition.test is Test.EXISTS:
        return found is not NOTHING
    if condition.test is Test.ONE_OF:
        return any(_equal(found, literal) for literal in condition.literals)
    (literal,) = condition.literals
    if isinstance(literal, str):
        if not isinstance(found, str):
            return False
        if condition.test is Test.STARTS_WITH:
            return found.startswith(literal)
        if condition.test is Test.MATCHES:
            return re2.fullmatch(literal, found) is not None
        return _ordered(condition.test, [ord(c) for c in found], [ord(c) for c in literal])
    return isinstance(found, Decimal) and _ordered(condition.test, found, literal)


def _equal(found: Any, literal: Any) -> bool:
    if literal is None:
        return found is None or found is NOTHING
    return type(found) is type(literal) and bool(found == literal)


def _numbers(test: Test, found: int, literals: tuple[int, ...]) -> bool:
    return found in literals if test is Test.ONE_OF else _ordered(test, found, literals[0])


def _ordered(test: Test, found: Any, literal: Any) -> bool:
    match test:
        case Test.LESS:
            return bool(found < literal)
        case Test.AT_MOST:
            return bool(found <= literal)
        case Test.GREATER:
            return bool(found > literal)
    assert test is Test.AT_LEAST
    return bool(found >= literal)
