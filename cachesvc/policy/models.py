"""The model of a topic: which fields its JSON objects have, of which types, since when.

A *path* is the steps from the record's value down to a field: ``.name`` into an object, ``[]`` into
the elements of an array; ``()`` is the value itself. ``("." + "items", "[]", "." + "sku")`` is
written ``$.items[*].sku``.

``merge`` is commutative, associative and idempotent, and ``Model()`` is its neutral element: the
model of a set of records is the same whatever the pieces and the order in which they were looked
at, and looking at a piece twice changes nothing. A model is bounded: of more than ``FIELDS_MAX``
fields those nearest to the root stay.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

FIELDS_MAX = 1_000
DEPTH_MAX = 20
PATH_LENGTH_MAX = 1_000
EXAMPLE_LENGTH_MAX = 100
ELEMENT = "[]"

Path = tuple[str, ...]
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class JsonType(IntEnum):
    """A type of a JSON value; numbers as in ``cachesvc.v1.JsonType``.

    An integer is a number without fraction and exponent, of any size.
    """

    NULL = 1
    BOOLEAN = 2
    INTEGER = 3
    NUMBER = 4
    STRING = 5
    ARRAY = 6
    OBJECT = 7


@dataclass(frozen=True, slots=True)
class Seen:
    """When a field had a type, by the timestamps of its records.

    Attributes:
        first_ms: The smallest.
        last_ms: The largest.
        example: JSON text of a value at ``last_ms``, cut at ``EXAMPLE_LENGTH_MAX`` characters;
            empty for null, arrays and objects.
    """

    first_ms: int
    last_ms: int
    example: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """What was seen of a field.

    Attributes:
        types: Every type it had; at least one.
        absent: Whether an object was seen that might have had it and had not.
    """

    types: Mapping[JsonType, Seen]
    absent: bool = False

    @property
    def nullable(self) -> bool:
        """Whether it was null or absent."""
        return self.absent or JsonType.NULL in self.types

    @property
    def first_ms(self) -> int:
        """When it was first seen."""
        return min(seen.first_ms for seen in self.types.values())

    @property
    def last_ms(self) -> int:
        """When it was last seen."""
        return max(seen.last_ms for seen in self.types.values())

    @property
    def example(self) -> str:
        """The newest example of all types; empty without any."""
        shown = [_newest(seen) for seen in self.types.values() if seen.example]
        return max(shown)[1] if shown else ""


@dataclass(frozen=True, slots=True)
class Model:
    """The fields of a set of records, by path; without records there are none.

    Attributes:
        fields: With every field its parents; the value itself is ``()``.
        truncated: Whether fields were left out, as too many, too deep or too long a path.
    """

    fields: Mapping[Path, Field] = field(default_factory=dict)
    truncated: bool = False

    def has_object(self, path: Path) -> bool:
        """Whether an object was seen there."""
        found = self.fields.get(path)
        return found is not None and JsonType.OBJECT in found.types


@dataclass(frozen=True, slots=True)
class Observation:
    """What a batch of records has at a path, of one type; ``count`` times."""

    path: Path
    type: JsonType
    count: int
    seen: Seen


class ChangeKind(IntEnum):
    """What about a model changed; numbers as in ``cachesvc.v1.ModelChangeKind``."""

    FIELD_ADDED = 1
    TYPE_ADDED = 2
    FIELD_OPTIONAL = 3


@dataclass(frozen=True, slots=True)
class Change:
    """A step in a model's history.

    Attributes:
        kind: What happened: a field is new, has a new type, or is absent for the first time.
        path: The field.
        types: The new types, rising; none where a field became optional.
        first_ms: Timestamp of the first record that showed it; None where a field became optional.
    """

    kind: ChangeKind
    path: Path
    types: tuple[JsonType, ...]
    first_ms: int | None


def model_of(observations: Iterable[Observation], *, truncated: bool = False) -> Model:
    """The model of a batch of records.

    A field is absent where there are more objects than fields of that name in them. Names that
    come twice in one object count twice, so that they may hide that another object has none.

    Args:
        observations: Of the batch, one or several for each path and type.
        truncated: Whether something was left out already.
    """
    types: dict[Path, dict[JsonType, Seen]] = {}
    counts: dict[tuple[Path, JsonType], int] = {}
    for each in observations:
        if _too_large(each.path):
            truncated = True
            continue
        found = types.setdefault(each.path, {})
        before = found.get(each.type)
        found[each.type] = each.seen if before is None else _merge_seen(before, each.seen)
        counts[each.path, each.type] = counts.get((each.path, each.type), 0) + each.count
    fields = {}
    for path, found in types.items():
        present = sum(counts[path, kind] for kind in found)
        might = counts.get((path[:-1], JsonType.OBJECT), 0) if _of_object(path) else 0
        fields[path] = Field(found, present < might)
    return _bounded(fields, truncated)


def merge(one: Model, other: Model) -> Model:
    """The model of the records of both."""
    fields = {}
    for path in one.fields.keys() | other.fields.keys():
        mine, theirs = one.fields.get(path), other.fields.get(path)
        if mine is not None and theirs is not None:
            fields[path] = _merge_field(mine, theirs)
            continue
        present, lacking = (theirs, one) if mine is None else (mine, other)
        assert present is not None
        absent = _of_object(path) and lacking.has_object(path[:-1])
        fields[path] = Field(present.types, present.absent or absent)
    return _bounded(fields, one.truncated or other.truncated)


def changes(before: Model, after: Model) -> list[Change]:
    """What is new in ``after``, which is ``before`` merged with something; in order of paths.

    The first model of a topic is no change.
    """
    if not before.fields:
        return []
    found = []
    for path, new in sorted(after.fields.items()):
        old = before.fields.get(path)
        kinds = tuple(sorted(new.types.keys() - (old.types.keys() if old else set())))
        if kinds:
            kind = ChangeKind.TYPE_ADDED if old else ChangeKind.FIELD_ADDED
            first_ms = min(new.types[each].first_ms for each in kinds)
            found.append(Change(kind, path, kinds, first_ms))
        if old is not None and new.absent and not old.absent:
            found.append(Change(ChangeKind.FIELD_OPTIONAL, path, (), None))
    return found


def path_text(path: Path) -> str:
    """A path as people write it: ``$.after.id``, ``$.items[*].sku``, ``$."a.b"``."""
    return "$" + "".join("[*]" if step == ELEMENT else f".{_name_text(step[1:])}" for step in path)


def _name_text(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _of_object(path: Path) -> bool:
    """Whether a field can be absent: the value itself and an array's elements cannot."""
    return bool(path) and path[-1] != ELEMENT


def _too_large(path: Path) -> bool:
    return len(path) > DEPTH_MAX or sum(map(len, path)) > PATH_LENGTH_MAX


def _bounded(fields: dict[Path, Field], truncated: bool) -> Model:
    """A field of a model that had to be cut has enough fields before it in every merge with it."""
    if len(fields) <= FIELDS_MAX:
        return Model(fields, truncated)
    kept = sorted(fields, key=lambda path: (len(path), path))[:FIELDS_MAX]
    return Model({path: fields[path] for path in kept}, True)


def _merge_field(one: Field, other: Field) -> Field:
    types = dict(one.types)
    for kind, seen in other.types.items():
        types[kind] = _merge_seen(types[kind], seen) if kind in types else seen
    return Field(types, one.absent or other.absent)


def _merge_seen(one: Seen, other: Seen) -> Seen:
    last_ms, example = max(_newest(one), _newest(other))
    return Seen(min(one.first_ms, other.first_ms), last_ms, example)


def _newest(seen: Seen) -> tuple[int, str]:
    return seen.last_ms, seen.example
