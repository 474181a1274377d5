"""JSON objects between one decode and one encode, opened only as deep as somebody looks.

Each row goes through all steps before the next one comes: what is made of it is in the processor's
caches, and gone before the garbage collector takes notice.

A value is text until a step wants its members. Then it is a dict whose members are text again
(``msgspec.Raw``, a view into the value), and so on downwards. What no step opens is written as it
came, byte for byte: numbers of any size and notation, escapes, white space, repeated names. In an
object that was opened the last of several members of one name counts, as in most readers of JSON,
and names are written without escapes that they do not need.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any, Protocol

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.client import InvalidRequest, parse_path
from cachesvc.sync.changes import CHANGE_SCHEMA, Changes
from cachesvc.sync.errors import InvalidTask
from cachesvc.sync.transform import RefusedRow, Transform, Transformed

Node = Any
"""Text of a JSON value (``msgspec.Raw``), an opened object (``dict``), or a new value."""
Object = dict[str, Node]

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EXACT = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_BRACE = ord("{")


UNREADABLE = (msgspec.MsgspecError, RecursionError, ValueError)
"""What msgspec raises for text that it cannot decode."""


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


class Source:
    """What the rows came with besides their values; looked up when somebody asks.

    Args:
        changes: The rows.
    """

    def __init__(self, changes: Changes) -> None:
        self._rows = changes.rows

    @cached_property
    def offsets(self) -> list[int]:
        """Offset by row."""
        found: list[int] = self._rows.column("offset").to_pylist()
        return found

    @cached_property
    def timestamps_ms(self) -> list[int]:
        """Timestamp by row."""
        found: list[int] = self._rows.column("timestamp").view(pa.int64()).to_pylist()
        return found

    @cached_property
    def headers(self) -> list[list[dict[str, Any]] | None]:
        """Headers by row."""
        found: list[list[dict[str, Any]] | None] = self._rows.column("headers").to_pylist()
        return found

    @cached_property
    def keys(self) -> list[bytes | None]:
        """Key by row."""
        found: list[bytes | None] = self._rows.column("key").to_pylist()
        return found

    @cached_property
    def some_keys_have_a_payload(self) -> bool:
        """Whether the word is in any key at all."""
        return bool(pc.any(pc.match_substring(self._rows.column("key"), '"payload"')).as_py())


class Row(msgspec.Struct, gc=False):
    """A row on its way; a step may alter it.

    Attributes:
        source: Where it came from.
        number: Which row of those it came of.
        value: Bytes, an opened object, or None.
        deleted: Whether it is a delete.
        text: The text of the value for as long as it is what it was, also when it was opened; a
            step that changes the value sets it to None.
        new_key: Its key where a step has changed it.
    """

    source: Source
    number: int
    value: Node | None
    deleted: bool
    text: bytes | None = None
    new_key: bytes | msgspec.UnsetType | None = msgspec.UNSET

    @property
    def key(self) -> bytes | None:
        """Its key as it is now."""
        new = self.new_key
        return self.source.keys[self.number] if new is msgspec.UNSET else new


class Step(Protocol):
    """One of several changes between a decode and an encode."""

    def apply(self, row: Row) -> Row | list[Row] | None:
        """What becomes of a row: mostly itself, perhaps several, or nothing.

        Raises:
            Refused: It cannot be dealt with.
        """


class OnObjects:
    """A step on the objects of values; tombstones pass.

    Args:
        change: Gives what becomes of an object, which it may alter.
    """

    def __init__(self, change: Callable[[Object], Object]) -> None:
        self._change = change

    def apply(self, row: Row) -> Row:
        if row.value is not None:
            row.value = self._change(opened(row.value))
            row.text = None
        return row


class Steps:
    """A transform of steps that share one decode and one encode.

    A record that becomes several goes on or is refused as a whole.

    Args:
        steps: In order.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)
        self._applies = [step.apply for step in steps]

    def apply(self, changes: Changes) -> Transformed:
        if not len(changes):
            return Transformed(changes)
        source = Source(changes)
        texts = changes.rows.column("value").view(pa.binary()).to_numpy(zero_copy_only=False)
        deleted = changes.rows.column("deleted").to_pylist()
        done: list[Row] = []
        refused: list[RefusedRow] = []
        for number, (text, delete) in enumerate(zip(texts.tolist(), deleted, strict=True)):
            try:
                done += self._written(Row(source, number, text, delete, text), 0)
            except Refused as refusal:
                refused.append(RefusedRow(number, refusal.reason, refusal.detail))
        return Transformed(changes.with_rows(_batch(changes, done)), tuple(refused))

    def _written(self, row: Row, begin: int) -> list[Row]:
        """What the steps from one on make of a row, its value as text again."""
        for at in range(begin, len(self._applies)):
            changed = self._applies[at](row)
            if changed is None:
                return []
            if isinstance(changed, list):
                return [last for each in changed for last in self._written(each, at + 1)]
            row = changed
        row.value = encoded(row.value) if row.text is None else row.text
        return [row]


def _batch(changes: Changes, done: Sequence[Row]) -> pa.RecordBatch:
    """What the steps have made of the changes."""
    numbers = [row.number for row in done]
    columns = dict(zip(CHANGE_SCHEMA.names, changes.rows.columns, strict=True))
    if len(numbers) != len(changes) or numbers != list(range(len(changes))):
        left = pa.array(numbers, pa.int64())
        columns = {name: column.take(left) for name, column in columns.items()}
    if any(row.new_key is not msgspec.UNSET for row in done):
        columns["key"] = pa.array([row.key for row in done], pa.binary())
    columns["value"] = pa.array([row.value for row in done], pa.binary()).view(pa.string())
    columns["deleted"] = pa.array([row.deleted for row in done], pa.bool_())
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=CHANGE_SCHEMA)


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
    except UNREADABLE as error:
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
    try:
        return _EXACT.decode(encoded_node(node))
    except UNREADABLE as error:
        raise Refused("NOT_AN_OBJECT", "the value has a member that cannot be read") from error


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
