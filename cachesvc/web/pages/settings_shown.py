"""Settings as the service tells them, as names and values to read."""

from collections.abc import Iterator, MutableSequence
from typing import Any

from google.protobuf.message import Message

from cachesvc.web.settings_form import shown_size

_OF_ANSWERS = frozenset(
    {
        "name",
        "reachable",
        "error",
        "error_reason",
        "in_file",
        "created_ms",
        "updated_ms",
        "cluster_id",
        "foreign_addresses",
        "default",
        "location",
        "segment_count",
        "bytes",
        "retired_file_count",
        "connections",
        "topics",
        "waiting_journal_count",
        "waiting_bytes",
        "free_bytes",
        "last_test",
    }
)
"""Fields of connections and stores that are no settings: what the service found."""


def settings_of(told: Message) -> list[tuple[str, str]]:
    """Names, with a dot within tables, and values; those without a value are left out."""
    return list(_settings(told, ""))


def _settings(told: Message, prefix: str) -> Iterator[tuple[str, str]]:
    for field in told.DESCRIPTOR.fields:
        if not prefix and field.name in _OF_ANSWERS:
            continue
        value: Any = getattr(told, field.name)
        name = f"{prefix}{field.name}"
        if isinstance(value, MutableSequence):
            if value:
                yield name, ", ".join(map(str, value))
        elif field.message_type is not None:
            if told.HasField(field.name):
                yield from _settings(value, f"{name}.")
        elif field.has_presence and not told.HasField(field.name):
            continue
        elif field.enum_type is not None:
            if value:
                found = field.enum_type.values_by_number.get(value)
                yield name, str(value) if found is None else found.name
        elif isinstance(value, bool):
            yield name, "yes" if value else "no"
        elif value and name.endswith("bytes_max"):
            yield name, shown_size(value)
        elif value not in ("", 0):
            yield name, f"{value:g}" if isinstance(value, float) else f"{value}"
