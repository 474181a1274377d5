"""Changes as JSON lines: one JSON object and a newline per change."""

import base64
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Literal, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.sync.changes import Changes
from cachesvc.sync.errors import ChangesRefused, Refusal

Form: TypeAlias = Literal["envelope", "value"]
"""``envelope`` says of each change where it came from and whether it deletes; ``value`` is the
record's own object and nothing else."""

Deletes: TypeAlias = Literal["refuse", "leave-out"]
"""What becomes of deletes where lines have no place for them."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line of the form ``envelope``.

    Attributes:
        topic: Kafka's topic name.
        partition: Its number.
        offset: Of the record.
        timestamp: Of the record, in milliseconds since the Unix epoch.
        key: As text; null where Kafka has null, or bytes that are no text.
        deleted: Whether the change deletes.
        value: The record's object; null for a tombstone.
        key_base64: The key where it is no text; only there then.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: str | None
    deleted: bool
    value: msgspec.Raw | None
    key_base64: str | msgspec.UnsetType = msgspec.UNSET


_ENCODER = msgspec.json.Encoder()


def envelopes(changes: Sequence[Changes]) -> bytes:
    """The changes as lines of the form ``envelope``."""
    return b"".join(_ENCODER.encode_lines(_lines(piece)) for piece in changes)


def values(changes: Sequence[Changes], deletes: Deletes) -> bytes:
    """The changes as lines of the form ``value``, deletes left out.

    Raises:
        ChangesRefused: There are deletes, and they are not to be left out.
    """
    if deletes == "refuse" and (refused := _deletes(changes)):
        raise ChangesRefused(refused)
    parts = []
    for piece in changes:
        kept = piece.rows.column("value").filter(pc.invert(piece.rows.column("deleted")))
        if len(kept):
            joined = pc.binary_join(pa.ListArray.from_arrays([0, len(kept)], one_line(kept)), "\n")
            parts += [joined[0].as_buffer(), b"\n"]
    return b"".join(parts)


def one_line(values: pa.Array) -> pa.Array:
    """JSON texts without line breaks: there they can only be white space between tokens."""
    for character in ("\n", "\r"):
        values = pc.replace_substring(values, character, " ")
    return values


def _lines(changes: Changes) -> list[Line]:
    rows, of = changes.rows, changes.source
    keys, others = _keys(rows.column("key"))
    # A null of the column is not the encoder's null: `Raw` wants a text.
    values = one_line(rows.column("value")).fill_null("null").to_pylist()
    return list(
        map(
            Line,
            repeat(of.topic),
            repeat(of.partition),
            rows.column("offset").to_pylist(),
            rows.column("timestamp").cast(pa.int64()).to_pylist(),
            keys,
            rows.column("deleted").to_pylist(),
            map(msgspec.Raw, values),
            others,
        )
    )


def _keys(column: pa.Array) -> tuple[Iterable[str | None], Iterable[str | msgspec.UnsetType]]:
    """Keys as text, and in Base64 where they are none."""
    try:
        return column.cast(pa.string()).to_pylist(), repeat(msgspec.UNSET)
    except pa.ArrowInvalid:
        pass
    texts: list[str | None] = []
    others: list[str | msgspec.UnsetType] = []
    for key in column.to_pylist():
        try:
            texts.append(None if key is None else key.decode())
            others.append(msgspec.UNSET)
        except UnicodeDecodeError:
            texts.append(None)
            others.append(base64.b64encode(key).decode())
    return texts, others


def _deletes(changes: Sequence[Changes]) -> list[Refusal]:
    detail = "a delete has no line of its own here; use lines = 'envelope' or deletes = 'leave-out'"
    return [
        Refusal(number, row, "DELETE_NOT_REPRESENTABLE", detail)
        for number, piece in enumerate(changes)
        for row in pc.indices_nonzero(piece.rows.column("deleted")).to_pylist()
    ]
