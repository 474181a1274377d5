from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from cachesvc.store.digest import RowDigest
from cachesvc.store.record_schema import RECORD_SCHEMA

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
texts = st.text("abc", max_size=3)
headers = st.lists(
    st.fixed_dictionaries({"key": texts, "value": st.none() | st.binary(max_size=2)}), max_size=2
)
rows = st.fixed_dictionaries(
    {
        "offset": st.integers(0, 3),
        "timestamp": st.integers(0, 3).map(lambda ms: EPOCH + timedelta(milliseconds=ms)),
        "timestamp_type": st.integers(0, 1),
        "key": st.none() | st.binary(max_size=3),
        "value": st.none() | texts,
        "headers": st.none() | headers,
    }
)
many = st.lists(rows, max_size=6)
Row = dict[str, Any]


def digest(found: list[Row], cuts: set[int] = frozenset()) -> RowDigest:  # type: ignore[assignment]
    """Of some rows, cut before those numbers."""
    sums = RowDigest()
    bounds = [0, *sorted(cut for cut in cuts if cut < len(found)), len(found)]
    for begin, end in pairwise(bounds):
        # A slice of a larger table, as row groups may be.
        whole = pa.Table.from_pylist(found, RECORD_SCHEMA)
        sums.add(whole.slice(begin, end - begin))
    return sums


@given(many, st.sets(st.integers(0, 6)), st.sets(st.integers(0, 6)))
def test_how_rows_are_cut_does_not_matter(
    found: list[Row], cuts: set[int], others: set[int]
) -> None:
    assert digest(found, cuts) == digest(found, others)


@given(many, many)
def test_rows_that_differ_are_told_apart(found: list[Row], others: list[Row]) -> None:
    assert (digest(found) == digest(others)) == (found == others)


@given(many.filter(len), st.data())
def test_so_is_one_change(found: list[Row], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(found) - 1))
    name = data.draw(st.sampled_from(sorted(found[at])))
    changed = [dict(row) for row in found]
    changed[at][name] = data.draw(rows)[name]
    assert (digest(found) == digest(changed)) == (found == changed)
