"""JSON objects between one decode and one encode, opened only as deep as somebody looks.

A value is text until a step wants its members. Then it is a dict whose members are text again
(``msgspec.Raw``, a view into the value), and so on downwards. What no step opens is written as it
came, byte for byte: numbers of any size and notation, escapes, white space, repeated names. In an
object that was opened the last of several members of one name counts, as in most readers of JSON,
and names are written without escapes that they do not need.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgspec
import pyarrow as pa

from cachesvc.client import InvalidRequest, parse_path
from cachesvc.sync.changes import CHANGE_SCHEMA, Changes
from cachesvc.sync.errors import InvalidTask
from cachesvc.sync.transform import RefusedRow, Transform, Transformed

Node = Any
"""Text of a JSON value (``msgspec.Raw``), an opened object (``dict``), or a new value."""
Object = dict[str, Node]

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EXACT = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder()
_BRACE = ord("{")


class Refused(Exception):
    """A step cannot deal with a row.

    Args:
        reason: Word in capitals.
        detail: For people; names field and type, not the value.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Documents:
    """The rows of some changes, on their way through steps.

    Args:
        changes: What came.

    Attributes:
        rows: Which rows of ``changes`` are left, ascending.
        values: For each of those its value: bytes, an opened object, or None.
        deleted: For each of those whether it is a delete.
        keys: New keys, by row of ``changes``.
        refused: What was turned away so far.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        texts = changes.rows.column("value").view(pa.binary())
        self.rows: list[int] = list(range(len(changes)))
        self.values: list[Node | None] = texts.to_numpy(zero_copy_only=False).tolist()
        self.deleted: list[bool] = changes.rows.column("deleted").to_pylist()
        self.keys: dict[int, bytes] = {}
        self.refused: list[RefusedRow] = []

    @property
    def original_keys(self) -> pa.Array:
        """The keys of all rows of the changes that came."""
        return self._changes.rows.column("key")

    def change(self, step: Callable[[Object], Object | None]) -> None:
        """Puts every object through a step; tombstones pass.

        Args:
            step: Gives what becomes of an object, which it may alter; None drops the row. Raises
                `Refused`.
        """
        self.change_rows(
            lambda value, deleted: (
                None if (changed := step(opened(value))) is None else (changed, deleted)
            )
        )

    def change_rows(self, step: Callable[[Node, bool], tuple[Node | None, bool] | None]) -> None:
        """Puts every value but tombstones through a step, which also says what is deleted."""
        rows: list[int] = []
        done: list[tuple[Node | None, bool]] = []
        for row, value, deleted in zip(self.rows, self.values, self.deleted, strict=True):
            try:
                changed = (None, deleted) if value is None else step(value, deleted)
            except Refused as refusal:
                self.refused.append(RefusedRow(row, refusal.reason, refusal.detail))
                continue
            if changed is not None:
                rows.append(row)
                done.append(changed)
        self.rows = rows
        self.values = [value for value, _ in done]
        self.deleted = [deleted for _, deleted in done]

    def transformed(self) -> Transformed:
        """What the steps have made of the changes."""
        rows = self._changes.rows
        keys = rows.column("key")
        if self.keys:
            texts = keys.to_pylist()
            keys = pa.array([self.keys.get(row, text) for row, text in enumerate(texts)], keys.type)
        columns = {
            **{name: rows.column(name) for name in CHANGE_SCHEMA.names},
            "key": keys,
        }
        if len(self.rows) < len(self._changes):
            left = pa.array(self.rows, pa.int64())
            columns = {name: column.take(left) for name, column in columns.items()}
        columns["value"] = pa.array(list(map(encoded, self.values)), pa.binary()).view(pa.string())
        columns["deleted"] = pa.array(self.deleted, pa.bool_())
        batch = pa.RecordBatch.from_arrays(list(columns.values()), schema=CHANGE_SCHEMA)
        self.refused.sort(key=lambda each: each.row)
        return Transformed(self._changes.with_rows(batch), tuple(self.refused))


class Step(Protocol):
    """One of several changes between a decode and an encode."""

    def apply(self, documents: Documents) -> None:
        """Does its part."""


class Steps:
    """A transform of steps that share one decode and one encode.

    Args:
        steps: In order.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)

    def apply(self, changes: Changes) -> Transformed:
        if not len(changes):
            return Transformed(changes)
        documents = Documents(changes)
        for step in self.steps:
            step.apply(documents)
        return documents.transformed()


def fused(transforms: Iterable[Transform]) -> list[Transform]:
    """The same transforms, those of steps that follow one another made into one."""
    done: list[Transform] = []
    for transform in transforms:
        last = done[-1] if done else None
        if isinstance(last, Steps) and isinstance(transform, Steps):
            done[-1] = Steps(last.steps + transform.steps)
        else:
            done.append(transform)
    return done


def opened(value: Node) -> Object:
    """The members of a value.

    Raises:
        Refused: It is no object.
    """
    if type(value) is dict:
        return value
    try:
        return _OBJECT.decode(value)
    except msgspec.MsgspecError as error:
        raise Refused("NOT_AN_OBJECT", "the value is not the text of a JSON object") from error


def inner(parent: Object, name: str) -> Object | None:
    """The members of a member, which is an object from then on; None if it is no object."""
    node = parent.get(name)
    if type(node) is dict:
        return node
    if not is_object(node):
        return None
    parent[name] = members = opened(node)
    return members


def is_object(node: Node | None) -> bool:
    """Whether a node is an object, opened or not."""
    if type(node) is msgspec.Raw:
        return memoryview(node)[0] == _BRACE
    return type(node) is dict


def parent_of(value: Object, path: Sequence[str]) -> Object | None:
    """The object in which a field is or would be; None if there is none."""
    members: Object | None = value
    for name in path[:-1]:
        if members is None:
            return None
        members = inner(members, name)
    return members


def scalar(node: Node) -> Any:
    """A node as an object of Python; numbers that are not whole as ``Decimal``."""
    return _EXACT.decode(encoded_node(node))


def encoded_node(node: Node) -> bytes:
    """The JSON text of a node."""
    return bytes(node) if type(node) is msgspec.Raw else _ENCODER.encode(node)


def encoded(value: Node | None) -> bytes | None:
    """The text of a row's value."""
    if value is None or type(value) is bytes:
        return value
    return encoded_node(value)


def path_of(text: str, setting: str) -> tuple[str, ...]:
    """The path of a field that a setting names.

    Raises:
        InvalidTask: It is none.
    """
    try:
        return parse_path(text)
    except InvalidRequest as error:
        raise InvalidTask(f"{setting}: {error}") from error
