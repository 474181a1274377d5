"""A disk that is full soon."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def disk(path: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A file system of a size of its own, and a way to mount it anew with other options."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)

    def remount(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", path], check=True)

    try:
        yield remount
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)
