"""Changes as the JSON objects that rows are made of, whole batches at a time."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.sync.changes import Changes
from cachesvc.sync.errors import BatchRefused

_ROWS_MAX = 10_000
# While the first chunk is encoded the database has nothing to do, so it is small.
_ROWS_FIRST = 1_000
_GROWTH = 4
_BYTES_MAX = 16 << 20
# A key that is JSON already; any other is a plain text.
_JSON = r'^\s*(?:\{.*\}|".*"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false)\s*$'
_EMPTY = r"^\s*\{\s*\}\s*$"

_NO_KEY = pa.scalar(None, pa.binary())


@dataclass(frozen=True, slots=True)
class Documents:
    """Changes in order.

    Attributes:
        objects: The JSON text of each; that of a delete has the key's fields at least.
        deleted: Which of them delete.
    """

    objects: pa.Array
    deleted: pa.Array

    def __len__(self) -> int:
        return len(self.objects)


def chunks(changes: Sequence[Changes]) -> Iterator[pa.Table]:
    """The rows of the changes, in order, in pieces of bounded size; the first ones are small."""
    limit = _ROWS_FIRST
    waiting: list[pa.RecordBatch] = []
    rest = deque(piece.rows for piece in changes if len(piece))
    while rest:
        room = limit - sum(batch.num_rows for batch in waiting)
        rows = rest.popleft()
        if rows.num_rows > room:
            rest.appendleft(rows.slice(room))
            rows = rows.slice(0, room)
        waiting.append(rows)
        size = sum(int(batch.nbytes) for batch in waiting)
        if rows.num_rows == room or size > _BYTES_MAX:
            yield pa.Table.from_batches(waiting)
            waiting = []
            limit = min(limit * _GROWTH, _ROWS_MAX)
    if waiting:
        yield pa.Table.from_batches(waiting)


def documents(rows: pa.Table, key_field: str | None, key_from_record: bool) -> Documents:
    """The objects of some changes.

    Args:
        rows: Columns of ``CHANGE_SCHEMA``.
        key_field: The key's only field; None where it has several.
        key_from_record: Whether the key's fields come from the records' keys.

    Raises:
        BatchRefused: A key is missing, or is not what it has to be.
    """
    values, deleted = (rows.column(name).combine_chunks() for name in ("value", "deleted"))
    tombstones = pc.and_(deleted, values.is_null())
    if key_from_record:
        keys = _key_objects(rows.column("key").combine_chunks(), key_field)
        values = pc.if_else(deleted, keys, _joined(keys, values))
    elif pc.any(tombstones).as_py():
        keys = pc.if_else(tombstones, rows.column("key").combine_chunks(), _NO_KEY)
        values = pc.if_else(tombstones, _key_objects(keys, key_field), values)
    if values.null_count:
        raise BatchRefused("a record without a key cannot be found again", reason="KEY_MISSING")
    return Documents(values, deleted)


def _key_objects(keys: pa.Array, field: str | None) -> pa.Array:
    """Keys as JSON objects; nulls stay."""
    try:
        texts = keys.cast(pa.string())
    except pa.ArrowInvalid as error:
        raise BatchRefused("a record's key is no text", reason="KEY_NOT_TEXT") from error
    objects = pc.starts_with(pc.utf8_ltrim_whitespace(texts), "{")
    if pc.all(objects).as_py() is not False:
        return texts
    if field is None:
        raise BatchRefused(
            "a record's key is no JSON object, and the table's has several columns",
            reason="KEY_NOT_OBJECT",
        )
    json = pc.match_substring_regex(texts, _JSON)
    if pc.all(json).as_py() is False:
        texts = pc.if_else(json, texts, _quoted(texts))
    head = msgspec.json.encode(field).decode()
    single = pc.binary_join_element_wise("{" + head + ":", texts, "}", "")
    return pc.if_else(objects, texts, single)


def _quoted(texts: pa.Array) -> pa.Array:
    """Texts as JSON; nulls stay."""
    encode = msgspec.json.encode
    quoted = [None if text is None else encode(text).decode() for text in texts.to_pylist()]
    return pa.array(quoted, pa.string())


def _joined(keys: pa.Array, values: pa.Array) -> pa.Array:
    """Objects with the fields of both; where both have one, the key's counts."""
    keys, values = (pc.utf8_trim_whitespace(each) for each in (keys, values))
    heads = pc.utf8_slice_codeunits(values, 0, -1)
    joined = pc.binary_join_element_wise(heads, pc.utf8_slice_codeunits(keys, 1), ",")
    joined = pc.if_else(pc.match_substring_regex(values, _EMPTY), keys, joined)
    return pc.if_else(pc.match_substring_regex(keys, _EMPTY), values, joined)
