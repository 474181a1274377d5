"""What stops the demo; its text is for the person before the terminal."""

from __future__ import annotations

from pathlib import Path

_LOG_TAIL_BYTES = 2_000


class DemoError(Exception):
    """Something does not work. The message says what, and what to do."""


def with_tail(what: str, log: Path) -> str:
    """A message that ends with the end of a log."""
    text = log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
    return f"{what}; its log ends with:\n{text}" if text else f"{what}; its log is empty"
