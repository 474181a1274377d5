"""Records as JSON lines, with the fields of `cachesvc tail --json`."""

import base64
from typing import Any

import msgspec

from cachesvc.client import Record


def json_line(record: Record) -> bytes:
    """One object and a newline; the value in it as the producer wrote it, white space aside."""
    value = (
        None if record.value is None else msgspec.Raw(msgspec.json.format(record.value, indent=-1))
    )
    fields: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "incarnation": record.topic_partition.incarnation,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "timestamp_type": record.timestamp_type.name,
        **_text("key", record.key),
        "headers": [
            _key(header.key, header.key_bytes) | _text("value", header.value)
            for header in record.headers
        ],
        "value": value,
    }
    return msgspec.json.encode(fields) + b"\n"


def _text(name: str, data: bytes | None) -> dict[str, str | None]:
    """Bytes as text; what is no UTF-8 is null, with ``<name>_base64`` beside it."""
    try:
        return {name: None if data is None else data.decode()}
    except UnicodeDecodeError:
        return {name: None, f"{name}_base64": base64.b64encode(data or b"").decode()}


def _key(text: str, exact: bytes) -> dict[str, str | None]:
    """A header's key as text, with its bytes beside it where they are not that text."""
    if exact == text.encode():
        return {"key": text}
    return {"key": text, "key_base64": base64.b64encode(exact).decode()}
