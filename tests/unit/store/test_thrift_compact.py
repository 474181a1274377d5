"""Structs of Thrift, read and written again."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesvc.errors import DamagedFile
from cachesvc.store.parquet_file import read_checked_footer
from cachesvc.store.thrift_compact import (
    BINARY,
    BYTE,
    DOUBLE,
    FALSE,
    I16,
    I32,
    I64,
    LIST,
    STRUCT,
    TRUE,
    Items,
    Struct,
    read_struct,
    write_struct,
)
from tests.support.frames import full_frames, seal

_INTEGERS = st.sampled_from([I16, I32, I64])
_NUMBERS = st.integers(-(2**63), 2**63 - 1)


def _typed(children: st.SearchStrategy[Struct]) -> st.SearchStrategy[tuple[int, object]]:
    """Types with values; those of booleans are their values."""
    lists = st.one_of(
        st.builds(Items, _INTEGERS, st.lists(_NUMBERS, max_size=40)),
        st.builds(Items, st.just(TRUE), st.lists(st.booleans(), max_size=20)),
        st.builds(Items, st.just(BINARY), st.lists(st.binary(max_size=20), max_size=20)),
        st.builds(Items, st.just(STRUCT), st.lists(children, max_size=20)),
    )
    return st.one_of(
        st.sampled_from([(TRUE, True), (FALSE, False)]),
        st.tuples(_INTEGERS, _NUMBERS),
        st.tuples(st.just(BYTE), st.integers(0, 255)),
        st.tuples(st.just(DOUBLE), st.binary(min_size=8, max_size=8)),
        st.tuples(st.just(BINARY), st.binary(max_size=300)),
        st.tuples(st.just(LIST), lists),
        st.tuples(st.just(STRUCT), children),
    )


def _structs(children: st.SearchStrategy[Struct]) -> st.SearchStrategy[Struct]:
    fields = st.dictionaries(st.integers(1, 300), _typed(children), max_size=8)
    return fields.map(lambda found: Struct(dict(sorted(found.items()))))


structs = st.recursive(st.just(Struct()), _structs, max_leaves=12)


@given(structs, st.binary(max_size=9))
def test_what_is_written_is_read(struct: Struct, behind: bytes) -> None:
    data = write_struct(struct)
    assert read_struct(b"xx" + data + behind, 2) == (struct, 2 + len(data))


def test_bytes_of_the_specification() -> None:
    """By hand: a short form of a field, a long one, zigzag, a list of fifteen."""
    struct = Struct(
        {1: (I32, -1), 2: (TRUE, True), 40: (LIST, Items(I64, [*range(15)])), 41: (BINARY, b"a")}
    )
    items = bytes(2 * number for number in range(15))
    data = b"\x15\x01" + b"\x11" + b"\x09\x50\xf6\x0f" + items + b"\x18\x01a" + b"\x00"
    assert write_struct(struct) == data
    assert read_struct(data) == (struct, len(data))


def test_a_real_footer_comes_back_to_the_byte(tmp_path: Path) -> None:
    footer = read_checked_footer(tmp_path / seal(tmp_path, full_frames(0, 90, 7)).path)
    struct, end = read_struct(footer)
    assert footer[end + 4 :] == b"PAR1"
    assert write_struct(struct) == footer[:end]


@given(st.binary(max_size=200))
def test_what_is_none_is_damage_and_nothing_worse(data: bytes) -> None:
    with contextlib.suppress(DamagedFile):
        _, end = read_struct(data)
        assert end <= len(data)


@given(structs)
def test_what_is_cut_off_is_damage(struct: Struct) -> None:
    data = write_struct(struct)
    for end in range(len(data)):
        with pytest.raises(DamagedFile):
            read_struct(data[:end])
