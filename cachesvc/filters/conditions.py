"""Conditions over a record, as values in one canonical form.

Two conditions that are written differently but mean the same by the simple laws of logic (order,
repetition, nesting of one kind within itself, double negation) are equal, and have the same text:
subscribers share what is made for it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any, TypeAlias

import re2

from cachesvc.errors import InvalidRequest

NODES_MAX = 500
"""Conditions that a filter may have in all."""
DEPTH_MAX = 32
"""How deep they may nest."""
LITERALS_MAX = 1_000
"""Values that a filter may compare with in all."""
LITERAL_BYTES_MAX = 4_096
"""Length of one of them, of a name, or of an expression in UTF-8."""
EXPRESSION_LENGTH_MAX = 256
"""Characters of an expression, as for topics."""
EXPRESSIONS_MAX = 16
"""Expressions that a filter may have in all."""
STEPS_MAX = 64
"""Steps of a path."""
ALL_STEPS_MAX = 1_000
"""Steps of all paths of a filter together."""
_EXPRESSION_MEMORY_MAX = 256 << 10
_EXPONENT_MAX = 10_000
_SHOWN_MAX = 40

Literal: TypeAlias = str | Decimal | bool | None
"""What a field of a value is compared with; numbers are exact."""
Path: TypeAlias = tuple[str | int, ...]
"""Names of members and indexes of elements, outermost first; empty for the value itself."""


class Test(Enum):
    """How something is compared; the value is how it is written."""

    __test__ = False  # no class of tests

    EXISTS = "exists"
    ONE_OF = "in"
    STARTS_WITH = "starts_with"
    MATCHES = "matches"
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="

    @property
    def is_order(self) -> bool:
        """Whether it asks which one is greater."""
        return self in _ORDER


_ORDER = (Test.LESS, Test.AT_MOST, Test.GREATER, Test.AT_LEAST)


def invalid(problem: str, **metadata: object) -> InvalidRequest:
    """A filter that is refused, and why."""
    return InvalidRequest(f"filter: {problem}", reason="INVALID_FILTER", metadata=metadata)


@dataclass(frozen=True)
class AllOf:
    """Every one of at least two, in the order of their texts."""

    parts: tuple["Condition", ...]

    @cached_property
    def text(self) -> str:
        return " and ".join(f"({part.text})" for part in self.parts)


@dataclass(frozen=True)
class AnyOf:
    """One of at least two, in the order of their texts."""

    parts: tuple["Condition", ...]

    @cached_property
    def text(self) -> str:
        return " or ".join(f"({part.text})" for part in self.parts)


@dataclass(frozen=True)
class Not:
    """The opposite; never of a ``Not``."""

    part: "Condition"

    @cached_property
    def text(self) -> str:
        return f"not ({self.part.text})"


@dataclass(frozen=True)
class OfKey:
    """About a record's key: EXISTS, ONE_OF, STARTS_WITH (one), MATCHES (one, UTF-8)."""

    test: Test
    literals: tuple[bytes, ...] = ()

    @cached_property
    def text(self) -> str:
        return _written("key", self.test, self.literals)


@dataclass(frozen=True)
class OfHeader:
    """About the headers of a name: one of them has to pass. Tests as for keys."""

    name: str
    test: Test
    literals: tuple[bytes, ...] = ()

    @cached_property
    def text(self) -> str:
        return _written(f"header({self.name!r})", self.test, self.literals)


@dataclass(frozen=True)
class OfTime:
    """About a record's timestamp in milliseconds: ONE_OF, or an order with one."""

    test: Test
    literals: tuple[int, ...]

    @cached_property
    def text(self) -> str:
        return _written("timestamp", self.test, self.literals)


@dataclass(frozen=True)
class OfValue:
    """About what lies at a path of the value: any test; an order with one number or one text."""

    path: Path
    test: Test
    literals: tuple[Literal, ...] = ()

    @cached_property
    def text(self) -> str:
        steps = "".join(f"[{step!r}]" for step in self.path)
        return _written(f"value{steps}", self.test, self.literals)


Condition: TypeAlias = AllOf | AnyOf | Not | OfKey | OfHeader | OfTime | OfValue
Leaf: TypeAlias = OfKey | OfHeader | OfTime | OfValue


def all_of(parts: Iterable[Condition]) -> Condition:
    """Every one of some; at least one is needed."""
    flat = _flat(parts, AllOf)
    return flat[0] if len(flat) == 1 else AllOf(flat)


def any_of(parts: Iterable[Condition]) -> Condition:
    """One of some; at least one is needed."""
    flat = _flat(parts, AnyOf)
    return flat[0] if len(flat) == 1 else AnyOf(flat)


def negated(part: Condition) -> Condition:
    """The opposite."""
    return part.part if isinstance(part, Not) else Not(part)


def of_key(test: Test, literals: Iterable[bytes] = ()) -> Condition:
    """A condition about the key."""
    return OfKey(test, _distinct(test, literals))


def of_header(name: str, test: Test, literals: Iterable[bytes] = ()) -> Condition:
    """A condition about headers."""
    return OfHeader(name, test, _distinct(test, literals))


def of_time(test: Test, literals: Iterable[int]) -> Condition:
    """A condition about the timestamp."""
    return OfTime(test, _distinct(test, literals))


def of_value(path: Path, test: Test, literals: Iterable[Literal] = ()) -> Condition:
    """A condition about a field of the value."""
    return OfValue(path, test, _distinct(test, literals))


def number(text: str) -> Decimal:
    """A number as it is written in JSON, in the form in which equal ones look alike.

    Raises:
        InvalidRequest: It is none, or out of bounds.
    """
    shown = ascii(text) if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]!a}…"
    if len(text) > LITERAL_BYTES_MAX:
        raise invalid(f"the number {shown} is longer than {LITERAL_BYTES_MAX:,}")
    try:
        found = Decimal(text)
    except ArithmeticError:
        raise invalid(f"{shown} is no number") from None
    if not found.is_finite():
        raise invalid(f"{shown} is no number of JSON")
    if abs(found.adjusted()) > _EXPONENT_MAX:
        raise invalid(f"the number {shown} has more than {_EXPONENT_MAX:,} places")
    if not found:
        return Decimal(0)
    sign, digits, places = found.as_tuple()
    exponent = int(places)
    while not digits[-1]:
        digits, exponent = digits[:-1], exponent + 1
    return Decimal((sign, digits, exponent))


def check(condition: Condition) -> None:
    """Accepts a condition within all bounds.

    Raises:
        InvalidRequest: It exceeds one, or has an expression that is none (``INVALID_FILTER``).
    """
    leaves, nodes = [], 0
    waiting: list[tuple[Condition, int]] = [(condition, 1)]
    while waiting:
        node, depth = waiting.pop()
        nodes += 1
        if depth > DEPTH_MAX:
            raise invalid(f"conditions nest more than {DEPTH_MAX} deep")
        match node:
            case AllOf() | AnyOf():
                waiting += [(part, depth + 1) for part in node.parts]
            case Not():
                waiting.append((node.part, depth + 1))
            case _:
                leaves.append(node)
    if nodes > NODES_MAX:
        raise invalid(f"{nodes:,} conditions are more than {NODES_MAX}")
    literals = sum(len(leaf.literals) for leaf in leaves)
    if literals > LITERALS_MAX:
        raise invalid(f"{literals:,} values are more than {LITERALS_MAX:,}")
    expressions = sum(leaf.test is Test.MATCHES for leaf in leaves)
    if expressions > EXPRESSIONS_MAX:
        raise invalid(f"{expressions} expressions are more than {EXPRESSIONS_MAX}")
    steps = sum(len(leaf.path) for leaf in leaves if isinstance(leaf, OfValue))
    if steps > ALL_STEPS_MAX:
        raise invalid(f"paths of {steps:,} steps in all are longer than {ALL_STEPS_MAX:,}")
    for leaf in leaves:
        _check_leaf(leaf)


def expression(literal: Any) -> "re2._Regexp":
    """The compiled RE2 expression of a MATCHES.

    Raises:
        InvalidRequest: It is none.
    """
    text = literal.decode() if isinstance(literal, bytes) else literal
    if not 1 <= len(text) <= EXPRESSION_LENGTH_MAX:
        raise invalid(f"an expression has 1 to {EXPRESSION_LENGTH_MAX} characters, not {len(text)}")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _EXPRESSION_MEMORY_MAX
    try:
        return re2.compile(text, options)
    except re2.error as error:
        detail = error.args[0]
        said = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
        raise invalid(f"{text!r} is no RE2 expression: {said}") from None


def _check_leaf(leaf: Leaf) -> None:
    texts: list[Any] = list(leaf.literals)
    if isinstance(leaf, OfHeader):
        texts.append(leaf.name)
    if isinstance(leaf, OfValue):
        if len(leaf.path) > STEPS_MAX:
            raise invalid(f"a path has at most {STEPS_MAX} steps")
        texts += leaf.path
    for text in texts:
        if isinstance(text, str | bytes):
            _check_text(text)
    if leaf.test is Test.MATCHES:
        try:
            expression(leaf.literals[0])
        except UnicodeDecodeError:
            raise invalid("an expression is text in UTF-8") from None


def _check_text(text: str | bytes) -> None:
    try:
        size = len(text.encode() if isinstance(text, str) else text)
    except UnicodeEncodeError:
        raise invalid(f"{text!a} is no Unicode text") from None
    if size > LITERAL_BYTES_MAX:
        raise invalid(f"a text of {size:,} bytes is longer than {LITERAL_BYTES_MAX:,}")


def _flat(parts: Iterable[Condition], kind: type[AllOf] | type[AnyOf]) -> tuple[Condition, ...]:
    found: dict[str, Condition] = {}
    for part in parts:
        for each in part.parts if isinstance(part, kind) else (part,):
            found[each.text] = each
    if not found:
        raise invalid("a group of conditions is empty")
    return tuple(found[text] for text in sorted(found))


def _distinct(test: Test, literals: Iterable[Any]) -> tuple[Any, ...]:
    """Each once and in one order; values of different types have none, but their texts do."""
    found = tuple({_literal_text(each): each for each in literals}.items())
    if test is Test.ONE_OF:
        if not found:
            raise invalid("a list of values is empty")
        return tuple(value for _, value in sorted(found, key=lambda each: each[0]))
    wanted = 0 if test is Test.EXISTS else 1
    if len(found) != wanted:
        raise invalid(f"{test.value} takes {wanted} values, not {len(found)}")
    return tuple(value for _, value in found)


def _literal_text(literal: Any) -> str:
    match literal:
        case None:
            return "null"
        case bool():
            return "true" if literal else "false"
        case Decimal():
            return str(literal)
    return repr(literal)


def _written(subject: str, test: Test, literals: Sequence[Any]) -> str:
    texts = ", ".join(map(_literal_text, literals))
    if test is Test.ONE_OF:
        return f"{subject} == {texts}" if len(literals) == 1 else f"{subject} in [{texts}]"
    if test.is_order:
        return f"{subject} {test.value} {texts}"
    return f"{test.value}({subject}, {texts})" if literals else f"{test.value}({subject})"
