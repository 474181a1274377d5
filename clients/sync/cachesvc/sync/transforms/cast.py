"""The transform that gives fields other types."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from cachesvc.sync.transform import TransformKind
from cachesvc.sync.transforms.documents import (
    UNREADABLE,
    Node,
    Object,
    OnObjects,
    Refused,
    Steps,
    encoded_node,
    parent_of,
    path_of,
)

CastType = Literal[
    "integer",
    "number",
    "float",
    "string",
    "boolean",
    "json",
    "timestamp_s",
    "timestamp_ms",
    "timestamp_us",
    "timestamp_ns",
    "date_days",
]


class CastSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Other types for fields. Null stays null, and what is not there stays so.

    Attributes:
        fields: Path to type. ``integer``: whole numbers, from numbers and texts without a fraction
            and from true and false. ``number``: any decimal number, digit by digit. ``float``: the
            64-bit number next to it. ``string``: the text of whatever is there. ``boolean``: from
            true, false, 1, 0 and the like. ``json``: what a text holds. ``timestamp_ms`` and so on,
            ``date_days``: ISO 8601 texts in UTC of such a number since 1970.
        failed: What becomes of a value that cannot be cast: the row is refused, or it is null.
    """

    fields: Annotated[dict[str, CastType], msgspec.Meta(min_length=1)]
    failed: Literal["refuse", "null"] = "refuse"


_EXPONENT_MAX = 400
"""Of ten; larger numbers are no integers for us, for they would have that many digits."""
_JSON_NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_JSON_INTEGER = re.compile(rb"-?(0|[1-9][0-9]*)")
_NUMBER_TEXT = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUE = frozenset((b"true", b"t", b"yes", b"y", b"on", b"1"))
_FALSE = frozenset((b"false", b"f", b"no", b"n", b"off", b"0"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOSECONDS = {
    "timestamp_s": 1_000_000_000,
    "timestamp_ms": 1_000_000,
    "timestamp_us": 1_000,
    "timestamp_ns": 1,
}


class _Cast:
    def __init__(self, settings: CastSettings) -> None:
        self._casts = [
            (path_of(text, "fields"), text, kind, _CASTS[kind])
            for text, kind in settings.fields.items()
        ]
        self._refuse = settings.failed == "refuse"

    def change(self, value: Object) -> Object:
        for path, text, kind, cast in self._casts:
            members = value if len(path) == 1 else parent_of(value, path)
            if members is None or (node := members.get(path[-1], msgspec.UNSET)) is msgspec.UNSET:
                continue
            json = encoded_node(node)
            if json == b"null":
                continue
            try:
                members[path[-1]] = cast(json)
            except (*UNREADABLE, ArithmeticError) as error:
                if self._refuse:
                    detail = f"field {text} holds {_kind_of(json)} that is no {kind}"
                    raise Refused("CAST_FAILED", detail) from error
                members[path[-1]] = None
        return value


def _kind_of(json: bytes) -> str:
    return {b'"': "a text", b"{": "an object", b"[": "an array", b"t": "true", b"f": "false"}.get(
        json[:1], "a number"
    )


def _text_of(json: bytes) -> bytes:
    """What a text holds, or the scalar's own text; raises ``ValueError`` for anything deeper."""
    if json[:1] == b'"':
        text: str = msgspec.json.decode(json)
        return text.strip().encode()
    if json[:1] in (b"{", b"["):
        raise ValueError
    return json


def _number(json: bytes) -> bytes:
    """The text of a number, as JSON has it."""
    text = _text_of(json)
    if text in (b"true", b"false") and json == text:
        return b"1" if text == b"true" else b"0"
    if _JSON_NUMBER.fullmatch(text):
        return text
    if not _NUMBER_TEXT.fullmatch(text):
        raise ValueError
    return str(Decimal(text.decode())).encode()


def _integer_text(json: bytes) -> bytes:
    text = _number(json)
    if _JSON_INTEGER.fullmatch(text):
        return text
    number = Decimal(text.decode())
    if number.adjusted() > _EXPONENT_MAX or number != number.to_integral_value():
        raise ValueError
    return b"%d" % int(number)


def _to_integer(json: bytes) -> Node:
    return msgspec.Raw(_integer_text(json))


def _to_number(json: bytes) -> Node:
    return msgspec.Raw(_number(json))


def _to_float(json: bytes) -> Node:
    number = float(_number(json))
    if number in (float("inf"), float("-inf")):
        raise ValueError
    return number


def _to_string(json: bytes) -> Node:
    return msgspec.Raw(json) if json[:1] == b'"' else json.decode()


def _to_boolean(json: bytes) -> Node:
    text = _text_of(json).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError


def _to_json(json: bytes) -> Node:
    if json[:1] != b'"':
        return msgspec.Raw(json)
    text = _text_of(json)
    msgspec.json.decode(text, type=msgspec.Raw)
    return msgspec.Raw(text)


def _to_timestamp(unit_ns: int) -> Callable[[bytes], Node]:
    """ISO 8601 with as many digits behind the second as the unit has."""
    digits = len(str(1_000_000_000 // unit_ns)) - 1

    def cast(json: bytes) -> Node:
        seconds, rest = divmod(int(_integer_text(json)), 1_000_000_000 // unit_ns)
        text = (_EPOCH + timedelta(seconds=seconds)).isoformat().removesuffix("+00:00")
        return f"{text}.{rest:0{digits}}Z" if digits else f"{text}Z"

    return cast


def _to_date(json: bytes) -> Node:
    return (_EPOCH + timedelta(days=int(_integer_text(json)))).date().isoformat()


_CASTS: Mapping[str, Callable[[bytes], Any]] = {
    "integer": _to_integer,
    "number": _to_number,
    "float": _to_float,
    "string": _to_string,
    "boolean": _to_boolean,
    "json": _to_json,
    **{name: _to_timestamp(unit_ns) for name, unit_ns in _NANOSECONDS.items()},
    "date_days": _to_date,
}

CAST = TransformKind(CastSettings, lambda settings: Steps([OnObjects(_Cast(settings).change)]))
