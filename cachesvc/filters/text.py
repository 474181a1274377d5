"""Filters as text, in a small part of Python's own grammar, like the conditions of sync tasks.

    value.op in ["c", "u"] and value.after.distance >= 2000 and not exists(header("internal"))

Python parses it; nothing else of the language is taken. docs/filters.md has the whole of it.
"""

import ast
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, NoReturn, TypeAlias

from cachesvc.filters.conditions import (
    Condition,
    Path,
    Test,
    all_of,
    any_of,
    check,
    invalid,
    negated,
    number,
    of_header,
    of_key,
    of_time,
    of_value,
)

TEXT_MAX = 8_192
"""Characters of a filter."""

_CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
_ORDER: Mapping[type[ast.cmpop], Test] = {
    ast.Lt: Test.LESS,
    ast.LtE: Test.AT_MOST,
    ast.Gt: Test.GREATER,
    ast.GtE: Test.AT_LEAST,
}
_MIRRORED: Mapping[Test, Test] = {
    Test.LESS: Test.GREATER,
    Test.AT_MOST: Test.AT_LEAST,
    Test.GREATER: Test.LESS,
    Test.AT_LEAST: Test.AT_MOST,
}
_TEXT_TESTS = {test.value: test for test in (Test.STARTS_WITH, Test.MATCHES)}
_ORIGIN = "<filter>"
_TIME_END = 1 << 63
_EPOCH = datetime.fromtimestamp(0, UTC)

_Make: TypeAlias = Callable[[Test, Sequence[Any]], Condition]
"""The condition that puts what it is about to a test."""


def parse(text: str) -> Condition:
    """The condition that a text means, within all bounds.

    Raises:
        InvalidRequest: It means none; the message says what is wrong (``INVALID_FILTER``).
    """
    if len(text) > TEXT_MAX:
        raise invalid(f"a text of {len(text):,} characters is longer than {TEXT_MAX:,}")
    if not text.strip():
        raise invalid("the text is empty")
    within = f"({text.rstrip()}\n)"  # may have several lines
    try:
        tree = _parsed(within)
        found = _Reader(within).condition(tree)
    except SyntaxError as error:
        raise invalid(f"{_place(error, within)}: {error.msg}") from None
    except (ValueError, UnicodeError) as error:
        raise invalid(f"cannot be read: {error}") from None
    except (RecursionError, MemoryError):
        raise invalid("it is nested too deeply") from None
    check(found)
    return found


def _parsed(within: str) -> ast.expr:
    """The tree of an expression; what the parser only warns of is refused.

    Warnings are kept instead of raised, for other threads may have some at the same moment.
    """
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        tree = ast.parse(within, _ORIGIN, mode="eval").body
    for each in noted:
        if each.filename == _ORIGIN:
            hint = '; in r"…" a backslash is itself' if "escape" in str(each.message) else ""
            raise invalid(f"{each.message}{hint}")
    return tree


class _Reader:
    """From the tree of Python's parser to conditions.

    Args:
        text: What was parsed, for its numbers as they are written, and for errors.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def condition(self, node: ast.expr) -> Condition:
        match node:
            case ast.BoolOp(op=ast.And()):
                return all_of(map(self.condition, node.values))
            case ast.BoolOp():
                return any_of(map(self.condition, node.values))
            case ast.UnaryOp(op=ast.Not()):
                return negated(self.condition(node.operand))
            case ast.Compare():
                sides = pairwise((node.left, *node.comparators))
                pairs = zip(sides, node.ops, strict=True)
                return all_of(self._compared(left, op, right, node) for (left, right), op in pairs)
            case ast.Call(func=ast.Name(id=name)) if not node.keywords:
                return self._called(name, node)
        self._refuse(node, "is no condition")

    def _compared(
        self, left: ast.expr, op: ast.cmpop, right: ast.expr, whole: ast.expr
    ) -> Condition:
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple | ast.Set):
                self._refuse(right, "is no list, such as [1, 2]")
            values = [self._literal(each) for each in right.elts]
            found = self._subject(left)(Test.ONE_OF, values)
            return found if isinstance(op, ast.In) else negated(found)
        mirrored = not self._is_subject(left) and self._is_subject(right)
        subject, literal = (right, left) if mirrored else (left, right)
        make = self._subject(subject)
        value = self._literal(literal)
        if isinstance(op, ast.Eq | ast.NotEq):
            found = make(Test.ONE_OF, [value])
            return found if isinstance(op, ast.Eq) else negated(found)
        test = _ORDER.get(type(op))
        if test is None:
            self._refuse(whole, "compares by what is no comparison here")
        return make(_MIRRORED[test] if mirrored else test, [value])

    def _called(self, name: str, node: ast.Call) -> Condition:
        match name, node.args:
            case "exists", [subject]:
                return self._subject(subject)(Test.EXISTS, ())
            case _, [subject, literal] if name in _TEXT_TESTS:
                value = self._literal(literal)
                if not isinstance(value, str | bytes):
                    self._refuse(literal, "is no text")
                return self._subject(subject)(_TEXT_TESTS[name], [value])
        self._refuse(node, "is no condition")

    def _is_subject(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        return isinstance(node, ast.Call) or (
            isinstance(node, ast.Name) and node.id in ("key", "timestamp", "value")
        )

    def _subject(self, node: ast.expr) -> _Make:
        """What a comparison is about, as a function that makes the condition."""
        match node:
            case ast.Name(id="key"):
                return lambda test, values: of_key(test, self._bytes(node, test, values))
            case ast.Name(id="timestamp"):
                return lambda test, values: of_time(test, self._times(node, test, values))
            case ast.Call(func=ast.Name(id="header"), args=[ast.Constant(value=str(name))]):
                if not node.keywords:
                    return lambda test, values: of_header(
                        name, test, self._bytes(node, test, values)
                    )
        path = self._path(node)
        return lambda test, values: of_value(path, test, self._values(node, test, values))

    def _path(self, node: ast.expr) -> Path:
        steps: list[str | int] = []
        inner = node
        while True:
            match inner:
                case ast.Attribute(value=outer, attr=name):
                    if not self._text.isascii() and not self._segment(inner).endswith(name):
                        self._refuse(inner, 'has a name to be written as value["…"]')
                    steps.append(name)
                case ast.Subscript(value=outer, slice=ast.Constant(value=str(step))):
                    steps.append(step)
                case ast.Subscript(value=outer, slice=ast.Constant(value=int(step))) if not (
                    isinstance(step, bool)
                ):
                    steps.append(step)
                case ast.Name(id="value"):
                    return tuple(reversed(steps))
                case _:
                    self._refuse(
                        node, 'is none of key, timestamp, header("…"), value and its fields'
                    )
            inner = outer

    def _literal(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=str() | bytes() | bool() | None as value):
                return value
            case ast.Constant(value=int() | float()):
                return self._number(node, "")
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float()) as inner):
                if not isinstance(inner.value, bool):
                    return self._number(inner, "-")
            case ast.Name(id=name) if name in _CONSTANTS:
                return _CONSTANTS[name]
        self._refuse(node, "is no text, number, true, false or null")

    def _number(self, node: ast.Constant, sign: str) -> Decimal:
        exact = str(node.value) if isinstance(node.value, int) else self._segment(node)
        return number(sign + exact.replace("_", ""))

    def _bytes(self, node: ast.expr, test: Test, values: Sequence[Any]) -> list[bytes]:
        if test.is_order:
            self._refuse(node, "has no order")
        found = []
        for value in values:
            if not isinstance(value, str | bytes):
                self._refuse(node, "is compared with texts; exists(…) asks whether it is there")
            found.append(value.encode() if isinstance(value, str) else value)
        return found

    def _times(self, node: ast.expr, test: Test, values: Sequence[Any]) -> list[int]:
        if not (test.is_order or test is Test.ONE_OF):
            self._refuse(node, "is a time, which is compared with ==, !=, <, <=, >, >= and in")
        found = []
        for value in values:
            try:
                found.append(time_ms(value))
            except (ValueError, OverflowError) as error:
                self._refuse(node, f"is compared with times: {error}")
        return found

    def _values(self, node: ast.expr, test: Test, values: Sequence[Any]) -> list[Any]:
        for value in values:
            if isinstance(value, bytes):
                self._refuse(node, "is compared with texts, not with bytes")
            if test.is_order and not isinstance(value, str | Decimal):
                self._refuse(node, "is less or greater than numbers and texts only")
        return list(values)

    def _segment(self, node: ast.AST) -> str:
        return ast.get_source_segment(self._text, node) or self._text

    def _refuse(self, node: ast.expr, problem: str) -> NoReturn:
        segment = self._segment(node)
        shown = segment if len(segment) <= 80 else f"{segment[:80]}…"
        raise invalid(f"{shown!r} {problem}")


def _place(error: SyntaxError, within: str) -> str:
    """Where an error is, in words of the text without what was put around it."""
    line, column = error.lineno or 1, error.offset or 1
    if line > within.count("\n"):
        return "at the end"
    return f"line {line}, character {max(1, column - (line == 1))}"


def time_ms(value: Any) -> int:
    """A time as milliseconds since the Unix epoch: a whole number, or ISO 8601 with a zone.

    Raises:
        ValueError: It is none.
        OverflowError: It is out of range.
    """
    if isinstance(value, Decimal) and -_TIME_END <= value < _TIME_END and _is_whole(value):
        return int(value)
    if not isinstance(value, str):
        raise ValueError('give milliseconds since 1970, or a text such as "2026-01-31T12:00:00Z"')
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone; put Z behind it for UTC")
    whole, rest = divmod(moment - _EPOCH, timedelta(milliseconds=1))
    if rest:
        raise ValueError(f"{value!r} is finer than a millisecond")
    return whole


def _is_whole(value: Decimal) -> bool:
    return value == value.to_integral_value()
