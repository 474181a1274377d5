"""How a wrong setting is told: where it was set, which one, what is wrong, and what to do."""

import difflib
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from cachesvc.errors import InvalidConfig

_LOCATED = re.compile(r"(?P<problem>.*) - at `\$\.?(?P<field>.*)`\Z", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`\Z", re.DOTALL)
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
    known: Callable[[str], list[str]],
    advice: Callable[[str], str],
    prefix: str = "",
) -> InvalidConfig:
    """The error of the setting that ``msgspec`` complains about.

    Args:
        error: What it says.
        source: As for ``setting_error``.
        known: The paths of the settings that may be meant by an unknown one.
        advice: What to do about a wrong value, by the setting's path.
        prefix: The path of what was converted.
    """
    located = _LOCATED.match(str(error))
    problem, inner = located.group("problem", "field") if located else (str(error), "")
    field = f"{prefix}.{inner}" if prefix and inner else prefix or inner
    unknown = _UNKNOWN.match(problem)
    if unknown:
        place = f"{field}." if field else ""
        advised = _meant(unknown["name"], place, known(place))
        return setting_error(source, f"{place}{unknown['name']}", "no such setting", advised)
    return setting_error(source, field, problem[0].lower() + problem[1:], advice(field))


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
