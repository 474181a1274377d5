"""Columns and types of a missing table by the models of the task's topics."""

from collections.abc import Mapping, Sequence

from cachesvc.client import JsonType, ModelField, TopicModel, parse_path
from cachesvc.sync.errors import TargetFailed
from cachesvc.sync.sinks.postgres.settings import PostgresSettings

# PostgreSQL cuts longer names, and then two of them may be one.
_NAME_BYTES_MAX = 63
_BIGINT = range(-(2**63), 2**63)
_NUMBERS = {JsonType.INTEGER, JsonType.NUMBER}
_TYPES = {
    JsonType.BOOLEAN: "boolean",
    JsonType.NUMBER: "double precision",
    JsonType.STRING: "text",
}


def modelled(settings: PostgresSettings, models: Sequence[TopicModel]) -> dict[str, str]:
    """Columns and types by models of all topics, and the settings' own types.

    Raises:
        TargetFailed: The models do not have what the settings want of them.
    """
    fields = _fields(settings, models)
    given = settings.create_types
    if settings.columns:
        wanted = settings.columns
    else:
        names = sorted({*fields, *given}.difference(settings.leave))
        wanted = {name: name for name in names}
    columns = {
        name: given[name] if name in given else _type(fields[field])
        for name, field in wanted.items()
        if name in given or field in fields
    }
    where = _where(settings, models)
    missing = [name for name in {**wanted, **dict.fromkeys(settings.key)} if name not in columns]
    if missing:
        raise TargetFailed(
            f"{where} has no field for the columns {', '.join(missing)}; give their types in "
            "sink.create_types, or see sink.create_from and `cachesvc models show`",
            reason="COLUMN_MISSING",
        )
    for name in columns:
        if len(name.encode()) > _NAME_BYTES_MAX:
            raise TargetFailed(
                f"{where} has the field {name}, longer than a column's name can be; name the "
                "columns in sink.columns, or that one in sink.leave",
                reason="NAME_TOO_LONG",
            )
    # The key first, in its own order, as people would write the table.
    return {name: columns[name] for name in dict.fromkeys([*settings.key, *columns])}


def _fields(
    settings: PostgresSettings, models: Sequence[TopicModel]
) -> Mapping[str, list[ModelField]]:
    """What the models know of each field, by its name."""
    path = parse_path(settings.create_from) if settings.create_from else ()
    found: dict[str, list[ModelField]] = {}
    for model in models:
        for field in model.members(path):
            found.setdefault(field.name, []).append(field)
    if not found:
        within = f" within {settings.create_from}" if path else ""
        raise TargetFailed(
            f"{_where(settings, models)} has no object with fields{within}; see sink.create_from "
            "and `cachesvc models show`",
            reason="MODEL_MISSING",
        )
    return found


def _type(seen: Sequence[ModelField]) -> str:
    """What holds every value that was seen."""
    kinds = {kind for field in seen for kind in field.types} - {JsonType.NULL}
    if not kinds:
        return "text"
    if kinds == {JsonType.INTEGER}:
        return "bigint" if all(map(_fits_bigint, seen)) else "numeric"
    if kinds == _NUMBERS:
        return "double precision"
    return _TYPES.get(kinds.pop(), "jsonb") if len(kinds) == 1 else "jsonb"


def _fits_bigint(field: ModelField) -> bool:
    """By the newest integer; one that was cut there is too long for that anyway."""
    example = field.types.get(JsonType.INTEGER, "")
    try:
        return not example or int(example) in _BIGINT
    except ValueError:
        return False


def _where(settings: PostgresSettings, models: Sequence[TopicModel]) -> str:
    if not models:
        return "no topic of the task is there yet, so the model"
    return f"the model of {', '.join(model.topic for model in models)}"
