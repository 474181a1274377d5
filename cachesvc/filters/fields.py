"""Fields of many JSON objects, in one typed decode that makes no object of what is not asked for.

A field is what lies at a path: text, number, true, false, null; something of another type for an
object or an array, ``MISSING`` where nothing is. Of members of one name in an object the last one
counts. Numbers are exact: ``int`` or ``Decimal``, whatever their size.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import reduce
from typing import Any

import msgspec

from cachesvc.filters.conditions import Path

Cell = Any

MISSING = msgspec.UNSET
"""Nothing lies at the path."""


_Tree = dict[str, Any]
_DIGITS = frozenset(b"-0123456789")
_NOT_FOR_STRUCTS = frozenset(map(chr, range(0x20))) | {'"', "\\"}
"""Characters that msgspec has not in names of members."""
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_CONSTANTS: Mapping[bytes, Cell] = {b"true": True, b"false": False, b"null": None}
# What a decimal can hold ends a little above; a value has never as many digits.
_EXPONENT_MAX = 10**17


class Fields:
    """Reads the fields at some paths.

    Args:
        paths: Where; none of them is empty.
        presence: Those of them of which it is enough to know whether something is there.
    """

    def __init__(self, paths: Iterable[Path], presence: frozenset[Path] = frozenset()) -> None:
        self._groups = [_Group(group, presence) for group in _without_nesting(paths)]

    def read(self, values: Sequence[bytes | None]) -> Mapping[Path, list[Cell]]:
        """Per path, the field of each value; null, a tombstone, has no fields. Blocking."""
        found: dict[Path, list[Cell]] = {}
        for group in self._groups:
            found |= group.read(values)
        return found


class _Group:
    """Paths none of which leads over another: one decode gives them all."""

    def __init__(self, paths: Sequence[Path], presence: frozenset[Path]) -> None:
        self._paths = paths
        self._typed = [path for path in paths if _is_typed(path)]
        tree: _Tree = {}
        for path in self._typed:
            *outer, last = map(str, path)
            inner = reduce(lambda node, name: node.setdefault(name, {}), outer, tree)
            inner[last] = msgspec.Raw if path in presence else Any
        self._places = {path: _places(path, tree) for path in self._typed}
        self._decode = msgspec.json.Decoder(_struct(tree), float_hook=exact_number).decode

    def read(self, values: Sequence[bytes | None]) -> dict[Path, list[Cell]]:
        objects, odd = self._decoded(values) if self._typed else ([], [])
        found = {}
        for path in self._paths:
            if path in self._places:
                cells = _cells(objects, self._places[path])
                for row in odd:
                    cells[row] = field(values[row], path)
            else:
                cells = [field(value, path) for value in values]
            found[path] = cells
        return found

    def _decoded(self, values: Sequence[bytes | None]) -> tuple[list[Any], list[int]]:
        """Objects by row, and the rows that have to be read otherwise.

        Those have something on the way to a field that is no object, or a number that msgspec
        cannot hold.
        """
        rows = iter([b"{}" if value is None else value for value in values])
        objects: list[Any] = []
        odd = []
        while True:
            try:
                # What was appended before one raised stays.
                objects.extend(map(self._decode, rows))
            except (msgspec.ValidationError, ValueError):
                odd.append(len(objects))
                objects.append(None)
            else:
                return objects, odd


def field(value: bytes | msgspec.Raw | None, path: Path) -> Cell:
    """What lies at a path of one value, of any path and value."""
    found = member_text(value, path)
    return MISSING if found is None else _cell(found)


def member_text(value: bytes | msgspec.Raw | None, path: Path) -> bytes | None:
    """The JSON text of what lies at a path; None if nothing does."""
    found: Any = value
    for step in path:
        if found is None:
            return None
        text = bytes(found).lstrip()
        found = None
        if isinstance(step, str):
            if text.startswith(b"{"):
                found = _MEMBERS.decode(text).get(step)
        elif text.startswith(b"["):
            elements = _ELEMENTS.decode(text)
            found = elements[step] if step < len(elements) else None
    return None if found is None else bytes(found).strip()


def exact_number(text: str) -> Decimal:
    """A JSON number, exact; beyond all exponents that a filter can name, just as far beyond."""
    try:
        return Decimal(text)
    except InvalidOperation:
        mantissa, _, exponent = text.lower().partition("e")
        sign = "-" if exponent.startswith("-") else ""
        return Decimal(f"{mantissa}e{sign}{_EXPONENT_MAX}")


def _cell(text: bytes) -> Cell:
    first = text[0]
    if first in _DIGITS:
        return exact_number(text.decode())
    if first == ord('"'):
        return _TEXT.decode(text)
    return _CONSTANTS.get(text, ())


def _is_typed(path: Path) -> bool:
    return all(isinstance(step, str) and _NOT_FOR_STRUCTS.isdisjoint(step) for step in path)


def _without_nesting(paths: Iterable[Path]) -> list[list[Path]]:
    """Groups of paths, in none of which one leads over another."""
    groups: list[list[Path]] = []
    for path in dict.fromkeys(paths):
        for group in groups:
            if not any(_overlap(path, other) for other in group):
                group.append(path)
                break
        else:
            groups.append([path])
    return groups


def _overlap(a: Path, b: Path) -> bool:
    shorter = min(len(a), len(b))
    return a[:shorter] == b[:shorter]


def _struct(tree: _Tree) -> type[msgspec.Struct]:
    """A type that has the members of a tree, each of which may be missing, and no others."""
    members = [
        (f"f{number}", _struct(inner) | None, None)
        if isinstance(inner, dict)
        else (f"f{number}", inner, MISSING)
        for number, inner in enumerate(tree.values())
    ]
    names = {f"f{number}": name for number, name in enumerate(tree)}
    return msgspec.defstruct("Fields", members, rename=names, gc=False)


def _places(path: Path, tree: _Tree) -> list[str]:
    """The attributes that lead to a field."""
    places = []
    for name in map(str, path):
        places.append(f"f{list(tree).index(name)}")
        tree = tree[name]
    return places


def _cells(objects: Sequence[Any], places: Sequence[str]) -> list[Cell]:
    *outer, last = places
    for place in outer:
        objects = [None if each is None else getattr(each, place) for each in objects]
    return [MISSING if each is None else getattr(each, last) for each in objects]
