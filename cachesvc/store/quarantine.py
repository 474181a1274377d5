"""Damaged files that are kept for a look: how much that is, and when they go. Blocking."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cachesvc.store import layout


def quarantined_bytes(store: Path) -> int:
    """Of all files in the quarantine of a store."""
    return sum(size for _, size, _ in _files(store))


def delete_quarantined(store: Path, before_ms: int) -> tuple[int, int]:
    """Deletes those that were put there before that time, and directories that are empty then.

    Returns:
        How many files, and their bytes.

    Raises:
        OSError: The system does not let one be deleted.
    """
    removed = freed = 0
    for path, size, put_ms in list(_files(store)):
        if put_ms < before_ms:
            path.unlink(missing_ok=True)
            removed += 1
            freed += size
    if removed:
        for directory, _, _ in os.walk(store / layout.QUARANTINE, topdown=False):
            with suppress(OSError):  # it has something
                os.rmdir(directory)
    return removed, freed


def _files(store: Path) -> Iterator[tuple[Path, int, int]]:
    """With size and when each was put there, as its name says, else as it was last changed."""
    for directory, _, names in os.walk(store / layout.QUARANTINE):
        for name in names:
            path = Path(directory, name)
            with suppress(FileNotFoundError):
                status = path.stat()
                suffix = path.suffix.removeprefix(".")
                put_ns = int(suffix) if suffix.isdigit() else status.st_mtime_ns
                yield path, status.st_size, put_ns // 1_000_000
