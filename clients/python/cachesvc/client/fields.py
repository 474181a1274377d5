"""Fields of all values of a batch, in columns: one typed decode, no object for anything else.

A field is named by its path, ``after.price``: names of members, outermost first, with dots
between them. A dot that belongs to a name has a backslash before it, as has a backslash.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from typing import Any, Literal, TypeAlias

import msgspec
import pyarrow as pa

from cachesvc.client.errors import InvalidRequest

Path = tuple[str, ...]
FieldType: TypeAlias = pa.DataType | Literal["json"] | None
"""What a field is read as: an Arrow type, its JSON text, or whatever Arrow makes of the values."""

_Tree = dict[str, Any]
_STEP = re.compile(r"((?:[^.\\]|\\.)+)(?:\.(?!$)|$)", re.DOTALL)
_NOT_FOR_STRUCTS = re.compile(r'[\\"\x00-\x1f]')
"""Characters that msgspec has not in names of members."""
_PYTHON_TYPES: Sequence[tuple[Callable[[pa.DataType], bool], type]] = (
    (pa.types.is_boolean, bool),
    (pa.types.is_integer, int),
    (pa.types.is_floating, float),
    (pa.types.is_decimal, Decimal),
    (pa.types.is_string, str),
    (pa.types.is_large_string, str),
)


def parse_path(text: str) -> Path:
    """The names of members that a path leads over.

    Raises:
        InvalidRequest: It is not a path.
    """
    names, at = [], 0
    while match := _STEP.match(text, at):
        names.append(re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL))
        at = match.end()
    if not names or at != len(text):
        raise InvalidRequest(f"{text!r} is no path of a field, such as 'after.price'")
    return tuple(names)


class FieldReader:
    """Reads some fields of JSON objects.

    Args:
        wanted: Path to type, where one is known.

    Raises:
        InvalidRequest: What should be a path is none.
    """

    def __init__(self, wanted: Mapping[str, FieldType]) -> None:
        self._wanted = {text: (parse_path(text), kind) for text, kind in wanted.items()}
        self._columns: dict[str, list[Any]] = {text: [] for text in wanted}
        self._parts = [_Part(part) for part in _without_nesting(self._wanted)]
        self._rows = 0

    def add(self, values: Iterable[bytes | None]) -> None:
        """Reads objects that follow those before; null has no fields.

        Raises:
            InvalidRequest: A field is of another type; the message names path and row.
        """
        texts = list(values)
        for part in self._parts:
            for text, cells in part.read(texts, self._rows).items():
                self._columns[text] += cells
        self._rows += len(texts)

    def table(self) -> pa.Table:
        """A column per field, named by its path; null where there is no such field.

        Raises:
            InvalidRequest: Values do not fit into the type.
        """
        names = list(self._columns)
        return pa.table([self._array(text) for text in names], names=names)

    def _array(self, text: str) -> pa.Array:
        _, kind = self._wanted[text]
        cells = self._columns[text]
        try:
            if kind == "json":
                return pa.array(cells, pa.binary()).view(pa.string())
            return pa.array(cells, kind)
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            meant = "one type; name one, or 'json'" if kind is None else f"{kind}"
            raise InvalidRequest(
                f"the values of field {text} do not fit into {meant}: {error}", reason="FIELD_TYPE"
            ) from error


class _Part:
    """Some fields, none of which lies in another: one decode gives them all."""

    def __init__(self, wanted: Mapping[str, tuple[Path, FieldType]]) -> None:
        self._wanted = wanted
        tree: _Tree = {}
        for path, kind in wanted.values():
            *outer, last = path
            inner = reduce(lambda node, name: node.setdefault(name, {}), outer, tree)
            inner[last] = _leaf(kind)
        names = {name for path, _ in wanted.values() for name in path}
        self._typed = not any(map(_NOT_FOR_STRUCTS.search, names))
        self._decode = msgspec.json.Decoder(_struct(tree) if self._typed else Any).decode
        self._places = {text: _places(path, tree) for text, (path, _) in wanted.items()}

    def read(self, values: Sequence[bytes | None], first_row: int) -> Mapping[str, list[Any]]:
        if not self._typed:
            return self._one_by_one(values, first_row)
        decode = self._decode
        try:
            objects = [None if value is None else decode(value) for value in values]
        except (msgspec.ValidationError, msgspec.DecodeError):
            return self._one_by_one(values, first_row)
        return {
            text: _cells(objects, self._places[text], kind)
            for text, (_, kind) in self._wanted.items()
        }

    def _one_by_one(
        self, values: Sequence[bytes | None], first_row: int
    ) -> Mapping[str, list[Any]]:
        """The same for any name, for wrong types, and where there is no object on the way."""
        columns: dict[str, list[Any]] = {text: [] for text in self._wanted}
        for row, value in enumerate(values, first_row):
            for text, (path, kind) in self._wanted.items():
                try:
                    columns[text].append(_walk(value, path, kind))
                except (msgspec.ValidationError, msgspec.DecodeError) as error:
                    raise InvalidRequest(
                        f"field {text} of row {row} cannot be read"
                        f"{'' if kind is None else f' as {kind}'}: {error}",
                        reason="FIELD_TYPE",
                    ) from error
        return columns


def _without_nesting(
    wanted: Mapping[str, tuple[Path, FieldType]],
) -> list[dict[str, tuple[Path, FieldType]]]:
    """Groups of fields, so that in none of them one field lies in another, or is there twice."""
    groups: list[dict[str, tuple[Path, FieldType]]] = []
    for text, (path, kind) in wanted.items():
        for group in groups:
            if not any(_overlap(path, other) for other, _ in group.values()):
                group[text] = (path, kind)
                break
        else:
            groups.append({text: (path, kind)})
    return groups


def _overlap(a: Path, b: Path) -> bool:
    shorter = min(len(a), len(b))
    return a[:shorter] == b[:shorter]


def _leaf(kind: FieldType) -> Any:
    if kind == "json":
        return msgspec.Raw
    if kind is not None:
        for is_that, python in _PYTHON_TYPES:
            if is_that(kind):
                return python | None
    return Any


def _struct(tree: _Tree) -> type[msgspec.Struct]:
    """A type that has the members of a tree, each of which may be missing, and no others."""
    members = [
        (f"f{number}", _struct(inner) | None if isinstance(inner, dict) else inner, None)
        for number, inner in enumerate(tree.values())
    ]
    names = {f"f{number}": name for number, name in enumerate(tree)}
    return msgspec.defstruct("Fields", members, rename=names, gc=False)


def _places(path: Path, tree: _Tree) -> list[str]:
    """The attributes that lead to a field."""
    places = []
    for name in path:
        places.append(f"f{list(tree).index(name)}")
        tree = tree[name]
    return places


def _cells(objects: list[Any], places: Sequence[str], kind: FieldType) -> list[Any]:
    for place in places:
        objects = [None if each is None else getattr(each, place) for each in objects]
    return (
        [None if cell is None else bytes(cell) for cell in objects] if kind == "json" else objects
    )


def _walk(value: bytes | None, path: Path, kind: FieldType) -> Any:
    """A field of one object; null if something on the way is missing or no object."""
    raw = value
    for name in path:
        if raw is None or not bytes(raw).lstrip().startswith(b"{"):
            return None
        raw = _MEMBERS.decode(raw).get(name)
    if raw is None:
        return None
    return bytes(raw) if kind == "json" else msgspec.json.decode(raw, type=_leaf(kind))


_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
