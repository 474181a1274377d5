"""The transform that takes rows out of the change events of Debezium.

With ``schema`` and ``payload`` around them (``schemas.enable`` of Kafka Connect) and without. See
https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-events.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from cachesvc.sync.transform import TransformKind
from cachesvc.sync.transforms.documents import (
    UNREADABLE,
    Node,
    Object,
    Refused,
    Row,
    Steps,
    encoded_node,
    is_object,
    opened,
)


class DebeziumSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What becomes of change events: ``after`` of creations, updates and reads becomes the value.

    Attributes:
        deletes: Events of op ``d`` become deletes, whose value is ``before`` where it is known, or
            are dropped.
        truncates: Events of op ``t`` say that a whole table was emptied, which no sink can do: they
            are refused, or dropped.
        others: Heartbeats, transaction marks, schema changes and messages of the database (op
            ``m``) are dropped, or refused.
        unwrap_keys: Keys that are ``schema`` and ``payload`` become the payload alone.
    """

    deletes: Literal["delete", "drop"] = "delete"
    truncates: Literal["refuse", "drop"] = "refuse"
    others: Literal["drop", "refuse"] = "drop"
    unwrap_keys: bool = True


class _Envelope(msgspec.Struct, gc=False):
    """The members of an event that matter; all others are skipped without a look."""

    op: str = ""
    before: msgspec.Raw = msgspec.Raw(b"null")
    after: msgspec.Raw = msgspec.Raw(b"null")
    payload: msgspec.Raw = msgspec.Raw(b"")


_decode = msgspec.json.Decoder(_Envelope).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_WRAPPED = frozenset(("schema", "payload"))
_NOT_ROWS = (
    ("a transaction mark", frozenset(("status", "id"))),
    ("a schema change", frozenset(("source", "ddl"))),
    ("a schema change", frozenset(("source", "tableChanges"))),
)
"""What else connectors write, by members that it always has."""

_Done = tuple[Node | None, bool] | None
"""A value, and whether it is a delete; None for what is dropped."""


class _Debezium:
    def __init__(self, settings: DebeziumSettings) -> None:
        self._settings = settings

    def apply(self, row: Row) -> Row | None:
        # What is a delete already, an earlier step has dealt with, or it is a tombstone.
        if not row.deleted:
            done = self._row(row.value)
            if done is None:
                return None
            (row.value, row.deleted), row.text = done, None
        if self._settings.unwrap_keys and row.source.some_keys_have_a_payload:
            payload = _payload(row.key)
            if payload is not None:
                row.new_key = payload
        return row

    def _row(self, value: Node) -> _Done:
        try:
            event = _decode(value if type(value) is bytes else encoded_node(value))
        except UNREADABLE as error:
            raise _no_envelope() from error
        if not event.op and bytes(event.payload):
            if bytes(event.payload) == b"null":
                return None, True
            return self._row(event.payload)
        match event.op:
            case "c" | "u" | "r":
                if not is_object(event.after):
                    raise Refused("NO_AFTER", f"an event of op {event.op} has no object 'after'")
                return event.after, False
            case "d":
                if self._settings.deletes == "drop":
                    return None
                return (event.before if is_object(event.before) else None), True
            case "t":
                return self._without_row(self._settings.truncates, "TRUNCATE", "a truncation")
            case "m":
                return self._without_row(self._settings.others, "NOT_A_ROW", "a message")
            case "":
                return self._other(opened(value))
        raise _no_envelope()

    def _other(self, value: Object) -> _Done:
        kinds = [kind for kind, members in _NOT_ROWS if members <= value.keys()]
        if value.keys() == {"ts_ms"}:
            kinds.append("a heartbeat")
        if not kinds:
            raise _no_envelope()
        return self._without_row(self._settings.others, "NOT_A_ROW", kinds[0])

    def _without_row(self, rule: str, reason: str, what: str) -> _Done:
        if rule == "refuse":
            raise Refused(reason, f"{what} is about no single row")
        return None


def _no_envelope() -> Refused:
    return Refused("NOT_AN_ENVELOPE", "the value is not a change event of Debezium")


def _payload(key: bytes | None) -> bytes | None:
    """The payload of a key that has a schema around it."""
    if key is None:
        return None
    try:
        members: Mapping[str, msgspec.Raw] = _decode_object(key)
    except UNREADABLE:
        return None
    return bytes(members["payload"]) if members.keys() == _WRAPPED else None


DEBEZIUM = TransformKind(DebeziumSettings, lambda settings: Steps([_Debezium(settings)]))
