r"""The JSON rule: which records of a batch are JSON objects.

A value passes if it is UTF-8 text and, by RFC 8259, one JSON object with nothing but JSON
whitespace around it. Tombstones (no value at all) pass. Where RFC 8259 leaves room:

- Duplicate names pass, and numbers of any size or precision: nothing here interprets them.
- An escape of half a surrogate pair (``"\ud800"``) is malformed: it stands for no character, and
  query engines refuse the whole file over it. RFC 7493 forbids it too.
- A byte order mark is malformed, and so is the empty value.
- Objects and arrays may nest ``nesting.NESTING_MAX`` levels.

A value that breaks several rules is rejected for the first of: INVALID_UTF8, NESTED_TOO_DEEP,
MALFORMED_JSON, NOT_AN_OBJECT. The verdict depends on the value alone.

Structure is checked by msgspec, which skips over content without building objects and without
looking at its UTF-8; UTF-8 is checked by Arrow for the whole batch, when it casts the values to the
text column that is stored anyway.
"""

import json
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import length_hint
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.mining.nesting import NESTING_MAX, may_nest_too_deep, nests_too_deep
from cachesvc.model import RejectReason

DETAIL_LENGTH_MAX = 200

Values = Sequence[bytes | None]


class _Object(msgspec.Struct):
    """Any JSON object: the parser skips names that it does not know, and it knows none."""


_check_object: Callable[[bytes], object] = msgspec.json.Decoder(_Object).decode
_check_json: Callable[[bytes], object] = msgspec.json.Decoder(msgspec.Raw).decode


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that the rule turned away.

    Attributes:
        index: Its row in the batch.
        reason: Why, for programs.
        detail: Why, for people; at most ``DETAIL_LENGTH_MAX`` characters, none of the value's.
    """

    index: int
    reason: RejectReason
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rule found in a batch.

    Attributes:
        rejects: By index.
        accepted: Rows that passed, rising; None if all did.
        text: The values of the rows that passed, as an Arrow string array, null for tombstones.
    """

    rejects: tuple[Reject, ...]
    accepted: Sequence[int] | None
    text: Any


def check(values: Values, binary: Any = None) -> Verdict:
    """Applies the rule to a batch. Pure, and meant for a worker thread.

    Every value is parsed once; those that fail, and those that might nest too deep, once more.

    Args:
        values: Of the records, None for tombstones.
        binary: The same as an Arrow binary array, if there is one already.
    """
    if binary is None:
        binary = pa.array(values, pa.binary())
    suspects = _not_objects(values, binary.null_count) | _maybe_too_deep(values, binary)
    text = _as_text(binary)
    if text is None:
        suspects.update(index for index, value in enumerate(values) if not _is_utf8(value))
    judged = (_judge(index, values[index] or b"") for index in sorted(suspects))
    rejects = tuple(reject for reject in judged if reject is not None)
    if not rejects:
        return Verdict((), None, text)
    turned_away = {reject.index for reject in rejects}
    accepted = [index for index in range(len(values)) if index not in turned_away]
    text = _as_text(pa.array([values[index] for index in accepted], pa.binary()))
    assert text is not None, "what is not UTF-8 was turned away"
    return Verdict(rejects, accepted, text)


def _not_objects(values: Values, tombstones: int) -> set[int]:
    """Rows that the parser refuses. An iterator goes on behind the row that raised."""
    present = [b"{}" if value is None else value for value in values] if tombstones else values
    rows = iter(present)
    refused = set()
    while True:
        try:
            deque(map(_check_object, rows), maxlen=0)  # type: ignore[arg-type]
        except (msgspec.DecodeError, RecursionError):
            refused.add(len(present) - length_hint(rows) - 1)
        else:
            return refused


def _maybe_too_deep(values: Values, binary: Any) -> set[int]:
    lengths = pc.binary_length(binary)
    if (pc.max(lengths).as_py() or 0) <= NESTING_MAX:
        return set()
    return {index for index, value in enumerate(values) if value and may_nest_too_deep(value)}


def _as_text(binary: Any) -> Any:
    """The same array as strings; None if one of them is not UTF-8."""
    try:
        return binary.cast(pa.string())
    except pa.ArrowInvalid:
        return None


def _is_utf8(value: bytes | None) -> bool:
    if value is not None:
        try:
            value.decode()
        except UnicodeDecodeError:
            return False
    return True


def _judge(index: int, value: bytes) -> Reject | None:
    """The verdict on one value that is not a tombstone; None if it passes."""
    try:
        value.decode()
    except UnicodeDecodeError as error:
        detail = f"{error.reason} at byte {error.start}"
        return Reject(index, RejectReason.INVALID_UTF8, detail)
    if nests_too_deep(value):
        detail = f"more than {NESTING_MAX} objects and arrays within one another"
        return Reject(index, RejectReason.NESTED_TOO_DEEP, detail)
    refusal = _parse_error(_check_object, value)
    if refusal is None:
        return None
    if isinstance(refusal, msgspec.ValidationError):
        malformation = _parse_error(_check_json, value)
        if malformation is None:
            return Reject(index, RejectReason.NOT_AN_OBJECT, str(refusal)[:DETAIL_LENGTH_MAX])
        refusal = malformation
    detail = _malformation(value, refusal)[:DETAIL_LENGTH_MAX]
    return Reject(index, RejectReason.MALFORMED_JSON, detail)


def _parse_error(parse: Callable[[bytes], object], value: bytes) -> msgspec.DecodeError | None:
    """What the parser says to a value that does not nest too deep."""
    try:
        parse(value)
    except msgspec.DecodeError as error:
        return error
    except RecursionError:
        # The caller's own stack took most of the parser's room. A thread begins with all of it.
        with ThreadPoolExecutor(1) as fresh_stack:
            return fresh_stack.submit(_parse_error, parse, value).result()
    return None


def _malformation(value: bytes, error: msgspec.DecodeError) -> str:
    if not value:
        return "the value is empty"
    if b"\\u" in value and _is_json_but_for_surrogates(value):
        return "a \\u escape is half of a surrogate pair"
    return str(error)


def _is_json_but_for_surrogates(value: bytes) -> bool:
    try:
        json.loads(value.decode(), parse_int=len, parse_float=len, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> object:
    raise ValueError(constant)
