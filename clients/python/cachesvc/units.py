"""Numbers and times as people read them, and as people write them.

For the commands and pages of the service and of sync tasks, which both have this distribution.
"""

import re
from datetime import UTC, datetime

_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_MISSING = "-"
_NO_TIMESTAMP = -1


def show_bytes(count: int) -> str:
    """``1536`` as ``1.5 KiB``."""
    size = float(count)
    for unit in _BYTE_UNITS[:-1]:
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} {_BYTE_UNITS[-1]}"


def show_count(count: float | None) -> str:
    """``1234567`` as ``1,234,567``, without what is behind a point; nothing as ``-``."""
    return _MISSING if count is None else f"{round(count):,}"


def show_duration(seconds: float | None) -> str:
    """The two largest units of a duration: ``2 h 5 min``; below ten seconds with a fraction.

    Nothing is ``-``.
    """
    if seconds is None:
        return _MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    rest = round(seconds)
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def show_time(time_ms: int | None) -> str:
    """Milliseconds since the epoch as UTC to the second; nothing, 0, and -1, as ``-``."""
    if not time_ms or time_ms == _NO_TIMESTAMP:
        return _MISSING
    return f"{_moment(time_ms):%Y-%m-%d %H:%M:%SZ}"


def show_exact_time(time_ms: int) -> str:
    """Milliseconds since the epoch as ISO 8601 in UTC, to the millisecond; -1 as ``-``."""
    if time_ms == _NO_TIMESTAMP:
        return _MISSING
    return _moment(time_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time_ms(text: str) -> int:
    """Milliseconds since the epoch of ISO 8601 (UTC if it names no zone), or of such a number.

    Raises:
        ValueError: It is neither.
    """
    if re.fullmatch(r"[0-9]{1,18}", text):
        return int(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def printable(text: str) -> str:
    """The text on one line and without anything that a terminal would act upon."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _moment(time_ms: int) -> datetime:
    """Clamped to what a calendar can show; Kafka takes any number as a timestamp."""
    return datetime.fromtimestamp(min(max(time_ms, 0), 253_402_300_799_000) / 1000, UTC)
