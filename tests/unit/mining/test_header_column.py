"""Headers on their way into the store."""

import pytest

from cachesvc.mining.header_column import header_column
from cachesvc.mining.source import Headers
from cachesvc.store.record_schema import HEADERS_TYPE


def listed(*rows: Headers) -> list[object]:
    column = header_column(len(rows), rows)
    column.validate(full=True)
    assert column.type == HEADERS_TYPE
    return [
        None if pairs is None else [(pair["key"], pair["value"]) for pair in pairs]
        for pairs in column.to_pylist()
    ]


def test_keys_that_are_utf8_are_as_they_are() -> None:
    assert listed([("a", b"1"), ("a", None), ("", b"")], [], [("bytes:sent", b"x")]) == [
        [("a", b"1"), ("a", None), ("", b"")],
        None,
        [("bytes:sent", b"x")],
    ]


@pytest.mark.parametrize("rows", [None, [(), ()]])
def test_no_headers_at_all(rows: list[Headers] | None) -> None:
    assert header_column(2, rows).to_pylist() == [None, None]


def test_bytes_that_are_not_utf8_become_text() -> None:
    assert listed([("cl\udce9", b"v")], [], [("clé", b"w")]) == [
        [("bytes:cl%E9", b"v")],
        None,
        [("clé", b"w")],
    ]


def test_text_that_looks_like_that_does_not_mean_it() -> None:
    assert listed([("bytes:cl%E9", b"v"), ("plain", b"w")]) == [
        [("bytes:bytes:cl%25E9", b"v"), ("plain", b"w")]
    ]
