"""Transforms that rename, drop and keep fields, and that flatten objects."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from cachesvc.sync.errors import InvalidTask
from cachesvc.sync.transform import TransformKind
from cachesvc.sync.transforms.documents import (
    Node,
    Object,
    OnObjects,
    Refused,
    Steps,
    inner,
    parent_of,
    path_of,
)

_Tree = dict[str, Any]
Paths = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class RenameSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Other names for fields.

    Attributes:
        fields: Path to new name; the field stays in its object, and in its place there. All of
            them at once, so two fields may change names.
    """

    fields: Annotated[dict[str, str], msgspec.Meta(min_length=1)]


class DropSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Fields that go.

    Attributes:
        fields: Their paths; those that a record does not have are not missed.
    """

    fields: Paths


class KeepSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Fields that stay, alone.

    Attributes:
        fields: Their paths; those that a record does not have are not missed.
    """

    fields: Paths


class FlattenSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Objects in objects become fields of the outermost; arrays stay.

    Attributes:
        separator: Between the names of a path.
        depth_max: Objects so deep stay objects; 1 flattens nothing.
    """

    separator: str = "_"
    depth_max: Annotated[int, msgspec.Meta(ge=1, le=64)] = 32


class _Rename:
    def __init__(self, settings: RenameSettings) -> None:
        self._by_parent: list[tuple[Sequence[str], Mapping[str, str]]] = []
        groups: dict[tuple[str, ...], dict[str, str]] = {}
        for text, name in settings.fields.items():
            *parent, last = path_of(text, "fields")
            groups.setdefault(tuple(parent), {})[last] = name
        # The deepest first, so that every path names fields as they came.
        for parent_path in sorted(groups, key=len, reverse=True):
            names = groups[parent_path]
            if len(set(names.values())) < len(names):
                raise InvalidTask("fields: two fields of one object get the same name")
            self._by_parent.append((parent_path, names))

    def change(self, value: Object) -> Object:
        for path, names in self._by_parent:
            members = parent_of(value, (*path, ""))
            if members is None or not any(name in members for name in names):
                continue
            changed = {names.get(name, name): node for name, node in members.items()}
            if len(changed) < len(members):
                raise Refused("FIELD_EXISTS", f"a field has one of the names {_listed(names)}")
            if not path:
                value = changed
            else:
                outer = parent_of(value, path)
                assert outer is not None
                outer[path[-1]] = changed
        return value


class _Drop:
    def __init__(self, settings: DropSettings) -> None:
        self._paths = [path_of(text, "fields") for text in settings.fields]

    def change(self, value: Object) -> Object:
        for path in self._paths:
            members = value if len(path) == 1 else parent_of(value, path)
            if members is not None:
                members.pop(path[-1], None)
        return value


class _Keep:
    def __init__(self, settings: KeepSettings) -> None:
        self._tree: _Tree = {}
        # The shortest first: a field that stays does so with all that is in it.
        for path in sorted((path_of(text, "fields") for text in settings.fields), key=len):
            node = self._tree
            for number, name in enumerate(path, 1):
                known = node.get(name)
                if known is None:
                    node[name] = known = {}
                elif not known:
                    break
                node = known if number < len(path) else node

    def change(self, value: Object) -> Object:
        return _kept(value, self._tree)


def _kept(members: Object, tree: _Tree) -> Object:
    """The members that a tree names; an empty tree stands for all."""
    left: Object = {}
    for name, node in members.items():
        wanted = tree.get(name)
        if wanted is None:
            continue
        if not wanted:
            left[name] = node
        elif (deeper := inner(members, name)) is not None:
            left[name] = _kept(deeper, wanted)
    return left


class _Flatten:
    def __init__(self, settings: FlattenSettings) -> None:
        self._separator = settings.separator
        self._depth_max = settings.depth_max

    def change(self, value: Object) -> Object:
        flat: Object = {}
        self._add(flat, value, "", 1)
        return flat

    def _add(self, flat: Object, members: Object, prefix: str, depth: int) -> None:
        for name in list(members):
            node: Node = members[name]
            deeper = inner(members, name) if depth < self._depth_max else None
            if deeper:
                self._add(flat, deeper, f"{prefix}{name}{self._separator}", depth + 1)
            elif (full := prefix + name) in flat:
                raise Refused("FIELD_EXISTS", f"two fields become {full!r}")
            else:
                flat[full] = node


def _listed(names: Mapping[str, str]) -> str:
    return ", ".join(map(repr, names.values()))


def _steps(step: Callable[[Object], Object]) -> Steps:
    return Steps([OnObjects(step)])


RENAME = TransformKind(RenameSettings, lambda settings: _steps(_Rename(settings).change))
DROP = TransformKind(DropSettings, lambda settings: _steps(_Drop(settings).change))
KEEP = TransformKind(KeepSettings, lambda settings: _steps(_Keep(settings).change))
FLATTEN = TransformKind(FlattenSettings, lambda settings: _steps(_Flatten(settings).change))
