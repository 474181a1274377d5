import pytest

from cachesvc.mining.nesting import NESTING_MAX, may_nest_too_deep, nests_too_deep


def nested(levels: int, inner: bytes = b"1") -> bytes:
    return b'{"a":' + b"[" * (levels - 1) + inner + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize("levels", [1, 2, NESTING_MAX - 1, NESTING_MAX])
def test_up_to_the_limit(levels: int) -> None:
    assert not nests_too_deep(nested(levels))


@pytest.mark.parametrize("levels", [NESTING_MAX + 1, NESTING_MAX + 2, 5_000, 1_000_000])
def test_beyond_the_limit(levels: int) -> None:
    assert may_nest_too_deep(nested(levels))
    assert nests_too_deep(nested(levels))


@pytest.mark.parametrize(
    "string",
    [
        b'"' + b"[" * 600 + b'"',
        b'"' + b'\\"[' * 600 + b'"',
        b'"' + b"\\\\" * 3 + b"[" * 600 + b'"',
        b'"' + b"]" * 600 + b'"',
        b'"\\\\\\""',
    ],
)
def test_brackets_in_strings_do_not_count(string: bytes) -> None:
    assert not nests_too_deep(nested(NESTING_MAX, string))
    assert nests_too_deep(nested(NESTING_MAX + 1, string))
    assert nests_too_deep(nested(NESTING_MAX + 1, b"[" + string + b"]"))


def test_many_shallow_objects_are_not_deep() -> None:
    assert not nests_too_deep(b'{"a":[' + b",".join([b'{"b":[{}]}'] * 10_000) + b"]}")


def test_what_never_closes_counts_as_far_as_it_goes() -> None:
    assert nests_too_deep(b'{"a":' + b"[" * NESTING_MAX)
    assert not nests_too_deep(b'{"a":' + b"[" * (NESTING_MAX - 1))


def test_short_texts_cannot_nest_too_deep() -> None:
    assert not may_nest_too_deep(b"[" * NESTING_MAX)
    assert not may_nest_too_deep(b" " * 10_000)
