"""The JSON rule against Python's own parser, on valid documents and damaged ones."""

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cachesvc.mining.json_rule import DETAIL_LENGTH_MAX, check
from cachesvc.mining.nesting import NESTING_MAX, nests_too_deep
from cachesvc.model import RejectReason

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)
SNIPPETS = st.sampled_from(
    [
        *(b"", b" ", b"\n", b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"\\x"),
        *(b"\\ud800", b"\\ud83d\\ude00", b"\\/", b"0", b"-", b".", b"e", b"1e999", b"null"),
        *(b"NaN", b"\x00", b"\x7f", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
        *(b"{}", b'"a":1,'),
    ]
)


class Pairs(list[tuple[str, Any]]):
    """An object, duplicate names included."""


def refuse(constant: str) -> None:
    raise ValueError(constant)


def has_half_a_surrogate_pair(parsed: object) -> bool:
    if isinstance(parsed, str):
        return any("\ud800" <= character <= "\udfff" for character in parsed)
    if isinstance(parsed, list | tuple):
        return any(has_half_a_surrogate_pair(item) for item in parsed)
    return False


def oracle(value: bytes | None) -> RejectReason | None:
    if value is None:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return RejectReason.INVALID_UTF8
    try:
        parsed = json.loads(
            text,
            object_pairs_hook=Pairs,
            parse_constant=refuse,
            parse_int=len,
            parse_float=len,
        )
    except ValueError:
        return RejectReason.MALFORMED_JSON
    if has_half_a_surrogate_pair(parsed):
        return RejectReason.MALFORMED_JSON
    return None if isinstance(parsed, Pairs) else RejectReason.NOT_AN_OBJECT


@st.composite
def values(draw: st.DrawFn) -> bytes | None:
    if draw(st.integers(0, 9)) == 0:
        return draw(st.none() | st.binary(max_size=12))
    document = draw(st.dictionaries(st.text(max_size=4), DOCUMENTS, max_size=4) | DOCUMENTS)
    text = json.dumps(
        document,
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 1])),
        separators=draw(st.sampled_from([None, (",", ":")])),
    )
    value = text.encode(errors="surrogatepass")
    for _ in range(draw(st.integers(0, 2))):
        begin = draw(st.integers(0, len(value)))
        end = draw(st.integers(begin, min(begin + 3, len(value))))
        value = value[:begin] + draw(SNIPPETS) + value[end:]
    return value


@settings(max_examples=150, deadline=None)
@given(batch=st.lists(values(), max_size=12))
@example(batch=[])
@example(batch=[b'{"a":"\\ud800"}', b"{}", None, b"", b"[1,", b'{"a":1,"a":2}'])
def test_agrees_with_pythons_parser(batch: list[bytes | None]) -> None:
    expected = {
        index: reason for index, value in enumerate(batch) if (reason := oracle(value)) is not None
    }

    verdict = check(batch)

    assert {reject.index: reject.reason for reject in verdict.rejects} == expected
    assert [reject.index for reject in verdict.rejects] == sorted(expected)
    assert all(0 < len(reject.detail) <= DETAIL_LENGTH_MAX for reject in verdict.rejects)
    accepted = [index for index in range(len(batch)) if index not in expected]
    assert verdict.accepted == (accepted if expected else None)
    texts = [None if (value := batch[index]) is None else value.decode() for index in accepted]
    assert verdict.text.to_pylist() == texts


@settings(max_examples=60, deadline=None)
@given(batch=st.lists(values(), min_size=1, max_size=6), more=st.lists(values(), max_size=6))
def test_the_verdict_on_a_value_does_not_depend_on_its_neighbours(
    batch: list[bytes | None], more: list[bytes | None]
) -> None:
    together = {reject.index: reject for reject in check([*batch, *more]).rejects}

    alone = [check([value]).rejects for value in batch]

    for index, rejects in enumerate(alone):
        found = together.get(index)
        assert [(r.reason, r.detail) for r in rejects] == (
            [] if found is None else [(found.reason, found.detail)]
        )


def depth(parsed: object) -> int:
    """Levels of objects and arrays, without recursion."""
    deepest, level = 0, [parsed]
    while level := [item for item in level if isinstance(item, dict | list)]:
        deepest += 1
        level = [
            child for item in level for child in (item.values() if isinstance(item, dict) else item)
        ]
    return deepest


@st.composite
def deep_documents(draw: st.DrawFn) -> bytes:
    """Documents around the limit, with brackets, quotes and backslashes in their strings."""
    trap = json.dumps(draw(st.text(alphabet='[]{}"\\a,:', max_size=6)))
    levels = draw(st.integers(NESTING_MAX - 3, NESTING_MAX + 3))
    objects = draw(st.integers(0, levels))
    text = draw(st.sampled_from(["1", trap, "[]", "{}", "[[]]", '{"":{}}']))
    siblings = [trap] * draw(st.integers(0, 2)) + ["{}", "[]", "[{}]"] * draw(st.integers(0, 200))
    for level in range(levels):
        beside = siblings if level == levels // 2 else []
        if level < objects:
            members = [f"{trap}:{item}" for item in [*beside, text]]
            text = "{" + ",".join(members) + "}"
        else:
            text = "[" + ",".join([*beside, text]) + "]"
    return text.encode()


@settings(max_examples=150, deadline=None)
@given(document=deep_documents())
def test_nesting_is_measured_exactly(document: bytes) -> None:
    levels, in_string, deepest, escaped = 0, False, 0, False
    for byte in document:
        if in_string:
            in_string = escaped or byte != ord('"')
            escaped = not escaped and byte == ord("\\")
        elif byte == ord('"'):
            in_string = True
        elif byte in b"{[":
            levels += 1
            deepest = max(deepest, levels)
        elif byte in b"}]":
            levels -= 1

    assert nests_too_deep(document) == (deepest > NESTING_MAX)


@settings(max_examples=200, deadline=None)
@given(document=DOCUMENTS)
def test_shallow_documents_never_nest_too_deep(document: object) -> None:
    assert depth(document) <= NESTING_MAX
    assert not nests_too_deep(json.dumps(document).encode())
