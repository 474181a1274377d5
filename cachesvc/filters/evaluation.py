"""Which rows of a record batch pass a filter."""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial, reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.filters.columns import Mask, of_headers, of_keys, of_times
from cachesvc.filters.conditions import (
    AllOf,
    AnyOf,
    Condition,
    Leaf,
    Not,
    OfHeader,
    OfKey,
    OfTime,
    OfValue,
    Path,
    Test,
    all_of,
    expression,
)
from cachesvc.filters.fields import MISSING, Cell, Fields
from cachesvc.filters.needles import Search, needles

# Asked of the literal: it is greater, where the cell is less.
_MIRRORED: Mapping[Test, str] = {
    Test.LESS: "__gt__",
    Test.AT_MOST: "__ge__",
    Test.GREATER: "__lt__",
    Test.AT_LEAST: "__le__",
}
_ORDERS: Mapping[Test, Callable[[Any, Any], bool]] = {
    Test.LESS: operator.gt,
    Test.AT_MOST: operator.ge,
    Test.GREATER: operator.lt,
    Test.AT_LEAST: operator.le,
}
_NUMBERS = (int, Decimal)
_Judge = Callable[[Sequence[Cell]], list[bool]]
_Tests = Mapping[type, Callable[[Any], bool]]
"""By the type of a field."""


class Evaluator:
    """Evaluates one condition. Holds no state between batches; several threads may use it.

    Args:
        condition: Within all bounds.
    """

    def __init__(self, condition: Condition) -> None:
        cheap, costly = _by_cost(condition)
        self._columns = all_of(cheap) if cheap else None
        self.columns = columns_before_values(condition)
        self._fields = _FieldConditions(all_of(costly)) if costly else None
        wanted = needles(condition)
        self._search = None if wanted is None else Search.of(wanted)

    def by_columns(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows that can pass by ``columns``, which the batch has to have. Blocking."""
        if self._columns is None or not batch.num_rows:
            return batch
        return _filtered(batch, _evaluated(self._columns, partial(_of_column, batch)))

    def by_values(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Of rows that can pass by columns, those that pass; the same batch if all do. Blocking."""
        if self._search is not None and batch.num_rows:
            rows = self._search.rows(batch.column("value"))
            batch = batch if rows is None else batch.take(pa.array(rows))
        if self._fields is not None and batch.num_rows:
            batch = _filtered(batch, self._fields.mask(batch))
        return batch


def columns_before_values(condition: Condition) -> list[str]:
    """What ``Evaluator.by_columns`` looks at; empty where a condition is about values alone."""
    cheap, _ = _by_cost(condition)
    return sorted({_column(leaf) for part in cheap for leaf in _leaves(part)})


def _by_cost(condition: Condition) -> tuple[list[Condition], list[Condition]]:
    """The parts that all have to hold: those that need no values, and those that do."""
    parts = condition.parts if isinstance(condition, AllOf) else (condition,)
    costly = [part for part in parts if _values_of(part)]
    return [part for part in parts if part not in costly], costly


class _FieldConditions:
    """Conditions that look into values, and perhaps at columns besides."""

    def __init__(self, condition: Condition) -> None:
        self._condition = condition
        leaves = _values_of(condition)
        paths = {leaf.path for leaf in leaves if leaf.path}
        looked_at = {leaf.path for leaf in leaves if leaf.test is not Test.EXISTS}
        self._reader = Fields(sorted(paths, key=repr), frozenset(paths - looked_at))
        self._judges = {leaf: _judge(leaf) for leaf in leaves}

    def mask(self, batch: pa.RecordBatch) -> Mask:
        column = batch.column("value")
        values = column.cast(pa.binary()).to_numpy(zero_copy_only=False).tolist()
        fields: dict[Path, list[Cell]] = dict(self._reader.read(values))
        # The value itself is an object, unless it is a tombstone.
        fields[()] = [MISSING if value is None else () for value in values]

        def of_leaf(leaf: Leaf) -> Mask:
            if isinstance(leaf, OfValue):
                return pa.array(self._judges[leaf](fields[leaf.path]), pa.bool_())
            return _of_column(batch, leaf)

        return _evaluated(self._condition, of_leaf)


def _filtered(batch: pa.RecordBatch, mask: Mask) -> pa.RecordBatch:
    return batch if mask.true_count == len(mask) else batch.filter(mask)


def _evaluated(condition: Condition, of_leaf: Callable[[Leaf], Mask]) -> Mask:
    match condition:
        case AllOf():
            return reduce(pc.and_, (_evaluated(part, of_leaf) for part in condition.parts))
        case AnyOf():
            return reduce(pc.or_, (_evaluated(part, of_leaf) for part in condition.parts))
        case Not():
            return pc.invert(_evaluated(condition.part, of_leaf))
    return of_leaf(condition)


def _of_column(batch: pa.RecordBatch, leaf: Leaf) -> Mask:
    match leaf:
        case OfTime():
            return of_times(leaf, batch.column("timestamp"))
        case OfKey():
            return of_keys(leaf, batch.column("key"))
        case OfHeader():
            return of_headers(leaf, batch.column("headers"))
    raise TypeError(f"{leaf.text} is about no column")


def _leaves(condition: Condition) -> Iterator[Leaf]:
    """The conditions within one that are not made of others."""
    match condition:
        case AllOf() | AnyOf():
            for part in condition.parts:
                yield from _leaves(part)
        case Not():
            yield from _leaves(condition.part)
        case _:
            yield condition


def _values_of(condition: Condition) -> list[OfValue]:
    """Those that look into values."""
    return [leaf for leaf in _leaves(condition) if isinstance(leaf, OfValue)]


def _column(leaf: Leaf) -> str:
    match leaf:
        case OfTime():
            return "timestamp"
        case OfKey():
            return "key"
        case OfHeader():
            return "headers"
    return "value"


def _judge(leaf: OfValue) -> _Judge:
    """A test of fields, one after the other."""
    if leaf.test is Test.EXISTS:
        return lambda cells: [cell is not MISSING for cell in cells]
    return partial(_judged, _tests(leaf.test, leaf.literals))


def _judged(tests: _Tests, cells: Sequence[Cell]) -> list[bool]:
    """The test of its type for every cell; a type without one never passes."""
    kinds = set(map(type, cells))
    if len(kinds) == 1:  # nearly always
        test = tests.get(*kinds)
        return [False] * len(cells) if test is None else list(map(test, cells))
    return [test is not None and test(cell) for cell in cells for test in (tests.get(type(cell)),)]


def _tests(test: Test, literals: Sequence[Any]) -> _Tests:
    if test is Test.ONE_OF:
        return {kind: found.__contains__ for kind, found in _by_type(literals).items()}
    (literal,) = literals
    if test is Test.STARTS_WITH:
        return {str: lambda cell: cell.startswith(literal)}
    if test is Test.MATCHES:
        matches = expression(literal).fullmatch
        return {str: lambda cell: matches(cell) is not None}
    if isinstance(literal, str):
        return {str: getattr(literal, _MIRRORED[test])}
    tests: dict[type, Callable[[Any], bool]] = {
        kind: partial(_ORDERS[test], literal) for kind in _NUMBERS
    }
    if literal == literal.to_integral_value():
        tests[int] = getattr(int(literal), _MIRRORED[test])
    return tests


def _by_type(literals: Iterable[Any]) -> Mapping[type, set[Any]]:
    """What equals one of them: of one type, numbers apart; what is missing is null."""
    found: dict[type, set[Any]] = {}
    for literal in literals:
        if literal is None:
            found |= {type(None): {None}, type(MISSING): {MISSING}}
            continue
        for kind in _NUMBERS if isinstance(literal, Decimal) else (type(literal),):
            found.setdefault(kind, set()).add(literal)
    return found
