"""Projections: parts of every record that a subscriber does without."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from cachesvc.errors import InvalidRequest
from cachesvc.filters.conditions import STEPS_MAX
from cachesvc.store.record_schema import RECORD_SCHEMA

FIELDS_MAX = 500
"""Fields that a projection may name."""

_STEP = re.compile(r"((?:[^.\\]|\\.)+)(?:\.(?!$)|$)", re.DOTALL)
_PATH_LENGTH_MAX = 4_096
_EMPTY = b"{}"
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODE = msgspec.json.Encoder().encode
_Tree = dict[str, "_Tree | None"]


@dataclass(frozen=True, slots=True)
class Projection:
    """What is left out of every record.

    Attributes:
        without_value: Values are ``{}``; a tombstone stays one.
        without_headers: There are none.
        fields: Of values, what lies at these paths is all that stays; empty for everything.
        without_fields: Of values, what lies at these paths goes.
    """

    without_value: bool = False
    without_headers: bool = False
    fields: tuple[tuple[str, ...], ...] = ()
    without_fields: tuple[tuple[str, ...], ...] = ()

    @property
    def text(self) -> str:
        """The same for two that leave the same out; empty for one that leaves nothing out."""
        return "" if self == Projection() else repr(self)

    def applied(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The records without what is left out. Blocking."""
        if self.without_headers:
            none = pa.nulls(batch.num_rows, RECORD_SCHEMA.field("headers").type)
            batch = _with(batch, "headers", none)
        change = self._change()
        if change is None:
            return batch
        values = batch.column("value").cast(pa.binary()).to_numpy(zero_copy_only=False).tolist()
        changed = [None if value is None else change(value) for value in values]
        return _with(batch, "value", pa.array(changed, pa.binary()).cast(pa.string()))

    def _change(self) -> Callable[[bytes], bytes] | None:
        if self.without_value:
            return lambda _: _EMPTY
        if self.fields:
            kept = _tree(self.fields)
            return lambda value: _ENCODE(_kept(value, kept))
        if self.without_fields:
            left_out = _tree(self.without_fields)
            return lambda value: _ENCODE(_without(value, left_out))
        return None


def projection(
    *,
    without_value: bool,
    without_headers: bool,
    fields: Iterable[str],
    without_fields: Iterable[str],
) -> Projection:
    """A projection, its fields by paths such as ``after.price``; a dot in a name has a backslash.

    Raises:
        InvalidRequest: It contradicts itself, or a path is none (``INVALID_FILTER``).
    """
    kept, gone = list(fields), list(without_fields)
    if sum(map(bool, (without_value, kept, gone))) > 1:
        raise _invalid("give one of without_value, fields and without_fields")
    if len(kept) + len(gone) > FIELDS_MAX:
        raise _invalid(f"at most {FIELDS_MAX} fields, not {len(kept) + len(gone)}")
    return Projection(without_value, without_headers, _outermost(kept), _outermost(gone))


def _outermost(texts: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Paths in one order, without those that lead over another one."""
    paths = {_path(text) for text in texts}
    return tuple(
        sorted(
            path for path in paths if not any(path[:end] in paths for end in range(1, len(path)))
        )
    )


def _path(text: str) -> tuple[str, ...]:
    names, at = [], 0
    while match := _STEP.match(text, at):
        names.append(re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL))
        at = match.end()
    if not names or at != len(text) or len(names) > STEPS_MAX or len(text) > _PATH_LENGTH_MAX:
        raise _invalid(f"{text[:80]!r} is no path of a field, such as 'after.price'")
    return tuple(names)


def _invalid(problem: str) -> InvalidRequest:
    return InvalidRequest(f"projection: {problem}", reason="INVALID_FILTER")


def _tree(paths: Iterable[tuple[str, ...]]) -> _Tree:
    tree: _Tree = {}
    for *outer, last in paths:
        inner = tree
        for name in outer:
            step = inner.setdefault(name, {})
            assert step is not None, "no path leads over another"
            inner = step
        inner[last] = None
    return tree


def _members(text: bytes) -> dict[str, Any] | None:
    """The members of an object, the last one of each name; None for anything else."""
    return _MEMBERS.decode(text) if text.lstrip().startswith(b"{") else None


def _kept(text: bytes, tree: _Tree) -> dict[str, Any] | None:
    members = _members(text)
    if members is None:
        return None
    found = {}
    for name, inner in tree.items():
        member = members.get(name)
        if member is None:
            continue
        part = member if inner is None else _kept(bytes(member), inner)
        if part is not None and part != {}:
            found[name] = part
    return found


def _without(text: bytes, tree: _Tree) -> Any:
    members = _members(text)
    if members is None:
        return msgspec.Raw(text)
    for name, inner in tree.items():
        member = members.get(name)
        if member is None:
            continue
        if inner is None:
            del members[name]
        else:
            members[name] = _without(bytes(member), inner)
    return members


def _with(batch: pa.RecordBatch, name: str, column: pa.Array) -> pa.RecordBatch:
    return batch.set_column(batch.schema.get_field_index(name), batch.schema.field(name), column)
