"""Kinds of sinks and transforms by name, and how one is made of its table."""

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from cachesvc.sync.errors import InvalidTask
from cachesvc.sync.setting_errors import convert, setting_error
from cachesvc.sync.sink import ENTRY_POINTS, Sink, SinkKind, TaskContext
from cachesvc.sync.transform import Transform
from cachesvc.sync.transforms import TRANSFORMS, fused

T = TypeVar("T")


def sink_kinds() -> list[str]:
    """The names of all kinds of sinks that are installed."""
    return sorted({each.name for each in importlib.metadata.entry_points(group=ENTRY_POINTS)})


def make_sink(table: Mapping[str, Any], context: TaskContext, origin: str) -> Sink:
    """The sink of a task.

    Raises:
        InvalidTask: There is no such kind, it needs what is not installed, or its settings are
            wrong; the message names the setting by its path.
    """
    kind = _sink_kind(_kind_of(table, "sink", origin), origin)
    settings = convert(_without_kind(table), kind.settings, origin, "sink")
    return _made(lambda: kind.make(settings, context), origin, "sink")


def make_transforms(tables: Sequence[Mapping[str, Any]], origin: str) -> list[Transform]:
    """A task's transforms, in order; raises as ``make_sink`` does."""
    return fused(_make_transform(each, number, origin) for number, each in enumerate(tables))


def _make_transform(table: Mapping[str, Any], number: int, origin: str) -> Transform:
    path = f"transforms[{number}]"
    name = _kind_of(table, path, origin)
    kind = TRANSFORMS.get(name)
    if kind is None:
        known = ", ".join(sorted(TRANSFORMS))
        raise setting_error(origin, f"{path}.kind", f"there is no {name!r}; there are: {known}")
    settings = convert(_without_kind(table), kind.settings, origin, path)
    return _made(lambda: kind.make(settings), origin, path)


def _sink_kind(name: str, origin: str) -> SinkKind:
    found = list(importlib.metadata.entry_points(group=ENTRY_POINTS, name=name))
    if not found:
        known = ", ".join(sink_kinds()) or "none"
        raise setting_error(origin, "sink.kind", f"there is no {name!r}; there are: {known}")
    try:
        kind = found[0].load()
    except ImportError as error:
        problem = f"{name!r} cannot be loaded: {error}"
        raise setting_error(origin, "sink.kind", problem) from error
    if not isinstance(kind, SinkKind):
        problem = f"{found[0].value} is no SinkKind; the package that brings {name!r} is wrong"
        raise setting_error(origin, "sink.kind", problem)
    return kind


def _kind_of(table: Mapping[str, Any], path: str, origin: str) -> str:
    kind = table.get("kind")
    if not isinstance(kind, str) or not kind:
        known = ", ".join(sink_kinds() if path == "sink" else sorted(TRANSFORMS))
        raise setting_error(origin, f"{path}.kind", f"is missing; there are: {known}")
    return kind


def _without_kind(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name != "kind"}


def _made(make: Callable[[], T], origin: str, path: str) -> T:
    """What ``make`` gives; what it refuses names the place."""
    try:
        return make()
    except InvalidTask as error:
        if str(error).startswith(origin):
            raise
        raise setting_error(origin, path, str(error)) from error
