"""How a wrong setting is told: where it was set, which one, what is wrong, and what to do."""

import difflib
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct, inspect

from cachesvc.errors import InvalidConfig

_LOCATED = re.compile(r"(?P<problem>.*) - at `\$\.?(?P<field>.*)`\Z", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`\Z", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`\Z", re.DOTALL)
_PATTERN = re.compile(r"Expected `str` matching regex .*", re.DOTALL)
_ELEMENT = re.compile(r"\[[^\]]*\]")
_REFERENCE = "docs/configuration.md lists all of them"


def setting_error(source: str, field: str, problem: str, advice: str) -> InvalidConfig:
    """The error of one setting.

    Args:
        source: A file, a variable, a flag or a call.
        field: The setting's path; empty if the trouble is with the whole.
        problem: What is wrong with it.
        advice: What to do.
    """
    place = f"{source}: {field}" if field else source
    return InvalidConfig(f"{place}: {problem}; {advice}", metadata={"field": field})


def located_error(
    error: msgspec.ValidationError,
    source: str,
    struct: type[Struct],
    known: Callable[[str], list[str]],
    advice: Callable[[str], str],
    prefix: str = "",
) -> InvalidConfig:
    """The error of the setting that ``msgspec`` complains about.

    Args:
        error: What it says.
        source: As for ``setting_error``.
        struct: What was to be made. A type that is no number says in words what may stand there,
            by itself or with the ``description`` of its ``Meta``.
        known: The paths of the settings that may be meant by an unknown one.
        advice: What to do about any other wrong value, by the setting's path.
        prefix: The path of what was converted.
    """
    located = _LOCATED.match(str(error))
    problem, inner = located.group("problem", "field") if located else (str(error), "")
    unknown, missing = _UNKNOWN.match(problem), _MISSING.match(problem)
    if unknown:
        field = inside(prefix, inner)
        return unknown_setting(source, field, unknown["name"], known(f"{field}." if field else ""))
    if missing:
        inner, problem = inside(inner, missing["name"]), "is missing"
    elif _PATTERN.match(problem):
        problem = "is not as it has to be"
    field, wanted = inside(prefix, inner), _wanted(struct, inner)
    problem = problem[0].lower() + problem[1:]
    return setting_error(source, field, problem, f"give {wanted}" if wanted else advice(field))


def unknown_setting(source: str, field: str, name: str, known: list[str]) -> InvalidConfig:
    """The error of a setting that is none.

    Args:
        source: As for ``setting_error``.
        field: The path of the table that has it; empty for the whole.
        name: Its name there.
        known: The paths of all settings.
    """
    advice = _meant(name, f"{field}." if field else "", known)
    return setting_error(source, inside(field, name), "no such setting", advice)


def inside(field: str, name: str) -> str:
    """The path of what has a name within a table; either may be empty."""
    return ".".join(filter(None, (field, name)))


def _wanted(struct: type[Struct], path: str) -> str:
    """What may stand at a path, in words; empty where numbers or nothing in particular may."""
    kind: Any = inspect.type_info(struct)
    for name in _ELEMENT.sub(".", path).split(".") if path else ():
        kind = _unwrapped(kind)
        if isinstance(kind, inspect.StructType):
            kind = next((each.type for each in kind.fields if each.encode_name == name), None)
        else:
            kind = getattr(kind, "item_type", None) if not name else None
    if isinstance(kind, inspect.UnionType):
        kind = next(each for each in kind.types if not isinstance(each, inspect.NoneType))
    if isinstance(kind, inspect.Metadata):
        return str((kind.extra_json_schema or {}).get("description", ""))
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    if isinstance(kind, inspect.StructType):
        return "a table"
    values: Any = ()
    if isinstance(kind, inspect.LiteralType):
        values = kind.values
    elif isinstance(kind, inspect.EnumType):
        values = [each.value for each in kind.cls]
    return f"one of {', '.join(map(repr, values))}" if values else ""


def _unwrapped(kind: Any) -> Any:
    """A type without what is said about it, and without None."""
    if isinstance(kind, inspect.UnionType):
        kind = next(each for each in kind.types if not isinstance(each, inspect.NoneType))
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def _meant(name: str, place: str, known: list[str]) -> str:
    """Which table or setting below ``place`` was meant by a name that is not there."""
    # What all have in common is left out: it would make all of them similar.
    inner = [path.removeprefix(place) for path in known if path.startswith(place)]
    tables = [path.partition(".")[0] for path in inner]
    close = difflib.get_close_matches(name, [*inner, *tables], 1, cutoff=0.5)
    return f"did you mean {place}{close[0]}?" if close else _REFERENCE


def setting_paths(struct: type[Struct], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Path and default of every setting of a struct; those inside of arrays are left out."""
    for field in msgspec.structs.fields(struct):
        path = f"{prefix}{field.name}"
        inner = _table(field.type) if field.default is None else type(field.default)
        if isinstance(inner, type) and issubclass(inner, Struct):
            yield from setting_paths(inner, f"{path}.")
        else:
            yield path, field.default


def _table(kind: Any) -> Any:
    """The struct of an optional table; None for anything else."""
    choices = getattr(kind, "__args__", ())
    return next((k for k in choices if isinstance(k, type) and issubclass(k, Struct)), None)
