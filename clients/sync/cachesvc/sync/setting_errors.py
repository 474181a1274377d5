"""How a wrong setting of a task is told: where it was set, which one, and what is wrong."""

import difflib
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from cachesvc.sync.errors import InvalidTask

T = TypeVar("T")

_LOCATED = re.compile(r"(?P<problem>.*) - at `\$\.?(?P<field>.*)`\Z", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`\Z", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`\Z", re.DOTALL)
_NOT_AMONG = re.compile(r"Invalid enum value (?P<value>.*)\Z", re.DOTALL)
# As names of Kafka's topics are, however the expression is written.
_NO_NAME = re.compile(
    r"Expected `str` matching regex '(\^|\\\\A)\[(a-zA-Z|A-Za-z)0-9\._-\]\{1,249\}\\\\Z'\Z"
)
_SECRET_WORDS = frozenset({"password", "secret", "token", "passphrase"})


def setting_error(origin: str, field: str, problem: str) -> InvalidTask:
    """The error of one setting.

    Args:
        origin: Where it was set: a file, or what else settings came from.
        field: The setting's path; empty if the trouble is with the whole.
        problem: What is wrong, and what to do.
    """
    place = f"{origin}: {field}" if field else origin
    return InvalidTask(f"{place}: {problem}", metadata={"field": field})


def convert(tree: Mapping[str, Any], kind: type[T], origin: str, prefix: str = "") -> T:
    """A table as its struct.

    Args:
        tree: As JSON types.
        kind: A ``msgspec.Struct``.
        origin: As for ``setting_error``.
        prefix: The path of the table; empty for the whole.

    Raises:
        InvalidTask: It does not fit; the message names the setting by its path.
    """
    try:
        return msgspec.convert(tree, kind, strict=True)
    except msgspec.ValidationError as error:
        raise _located(error, kind, origin, prefix) from error


def _located(error: msgspec.ValidationError, kind: type, origin: str, prefix: str) -> InvalidTask:
    problem, field = str(error), ""
    if (located := _LOCATED.match(problem)) is not None:
        problem, field = located["problem"], located["field"]
    if (unknown := _UNKNOWN.match(problem)) is not None:
        field, problem = _inside(field, unknown["name"]), _unknown(unknown["name"], field, kind)
    elif (missing := _MISSING.match(problem)) is not None:
        field, problem = _inside(field, missing["name"]), "is missing"
    elif (other := _NOT_AMONG.match(problem)) is not None:
        problem = f"there is no {other['value']}{_choices(kind, field)}"
    elif _NO_NAME.match(problem) is not None:
        problem = "has to be 1 to 249 of letters, digits, dots, underscores and hyphens"
    else:
        problem = problem[:1].lower() + problem[1:]
    return setting_error(origin, _inside(prefix, field), problem)


def _unknown(name: str, table: str, kind: type) -> str:
    known = _fields(kind, table)
    if name.rpartition("_")[2] in _SECRET_WORDS:
        for ending in ("_env", "_file"):
            if f"{name}{ending}" in known:
                return f"a secret is never given here; name where it is found with {name}{ending}"
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f"there is no such setting; did you mean {close[0]!r}?"
    return (
        f"there is no such setting; there are {', '.join(known)}"
        if known
        else ("there is no such setting")
    )


def _choices(kind: type, path: str) -> str:
    """What a setting of words may be; empty where that is not found."""
    table, _, name = path.rpartition(".")
    struct = _struct(kind, table)
    fields = () if struct is None else msgspec.structs.fields(struct)
    found = [each.type for each in fields if each.encode_name == name]
    words = [repr(word) for annotation in found for word in _words(annotation)]
    return f"; there are: {', '.join(words)}" if words else ""


def _words(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [word for word in get_args(annotation) if isinstance(word, str)]
    return [word for part in get_args(annotation) for word in _words(part)]


def _fields(kind: type, table: str) -> list[str]:
    """The settings of a table within a struct; empty where it is not found."""
    struct = _struct(kind, table)
    return [] if struct is None else [each.encode_name for each in msgspec.structs.fields(struct)]


def _struct(kind: type, table: str) -> type | None:
    """The struct of a table within a struct; None where it is not found."""
    for name in filter(None, re.sub(r"\[[^\]]*\]", "", table).split(".")):
        found = [field for field in msgspec.structs.fields(kind) if field.encode_name == name]
        inner = _structs(found[0].type) if found else []
        if not inner:
            return None
        kind = inner[0]
    return kind


def _structs(annotation: Any) -> list[type]:
    """The structs that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return [annotation]
    return [kind for part in getattr(annotation, "__args__", ()) for kind in _structs(part)]


def _inside(prefix: str, field: str) -> str:
    if not prefix or not field:
        return prefix or field
    return f"{prefix}{field}" if field.startswith("[") else f"{prefix}.{field}"
