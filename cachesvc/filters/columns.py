"""Conditions about keys, headers and times, over whole columns."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.filters.conditions import OfHeader, OfKey, OfTime, Test, expression

Mask: TypeAlias = Any
"""An Arrow boolean array: which rows pass, none of them null."""

_ORDERS: dict[Test, Callable[[Any, Any], Any]] = {
    Test.LESS: pc.less,
    Test.AT_MOST: pc.less_equal,
    Test.GREATER: pc.greater,
    Test.AT_LEAST: pc.greater_equal,
}


def of_times(condition: OfTime, times: pa.TimestampArray) -> Mask:
    """Which timestamps pass."""
    numbers = times.cast(pa.int64())
    if condition.test is Test.ONE_OF:
        return pc.is_in(numbers, pa.array(condition.literals, pa.int64()))
    return _ORDERS[condition.test](numbers, pa.scalar(condition.literals[0], pa.int64()))


def of_keys(condition: OfKey, keys: pa.BinaryArray) -> Mask:
    """Which keys pass; one that is null does not."""
    return _of_bytes(condition.test, condition.literals, keys)


def of_headers(condition: OfHeader, headers: pa.ListArray) -> Mask:
    """Which rows have a header of the name that passes."""
    rows = pc.list_parent_indices(headers)
    flat = pc.list_flatten(headers)
    passes = pc.equal(pc.struct_field(flat, "key"), condition.name)
    if condition.test is not Test.EXISTS:
        values = pc.struct_field(flat, "value")
        passes = pc.and_(passes, _of_bytes(condition.test, condition.literals, values))
    mask = np.zeros(len(headers), np.bool_)
    mask[rows.filter(passes).to_numpy()] = True
    return pa.array(mask)


def _of_bytes(test: Test, literals: Sequence[bytes], column: pa.BinaryArray) -> Mask:
    match test:
        case Test.EXISTS:
            return pc.is_valid(column)
        case Test.ONE_OF:
            return pc.is_in(column, pa.array(literals, pa.binary()))
        case Test.STARTS_WITH:
            return pc.fill_null(pc.starts_with(column, literals[0]), False)
    matches = expression(literals[0]).fullmatch
    # Not by Arrow, to which the bytes of a binary column are characters.
    found = [cell is not None and matches(cell) is not None for cell in column.to_pylist()]
    return pa.array(found, pa.bool_())
