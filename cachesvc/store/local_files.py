"""A directory of this machine, or of a file server, as a store of sealed files."""

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from cachesvc.errors import StoreUnreadable, StoreUnwritable
from cachesvc.store import layout
from cachesvc.store.file_store import StoredFile
from cachesvc.store.journal import sync_directory
from cachesvc.store.refusals import unreadable


class LocalFiles:
    """``file_store.FileStore`` below a directory, which is made when something is put.

    A file is written under a temporary name beside its place, synced, and linked to its name, which
    refuses to replace another one.

    Args:
        root: The directory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, path: str, source: Path) -> None:
        target = self._root / path
        temporary = target.with_name(f"{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            _make_directory(target.parent)
            try:
                shutil.copyfile(source, temporary)
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
                _give_name(temporary, target)
                sync_directory(target.parent)
            finally:
                temporary.unlink(missing_ok=True)
        except FileExistsError:
            raise
        except OSError as error:
            raise StoreUnwritable(f"{target} cannot be written: {error}") from error

    def file(self, path: str, size: int | None = None) -> Path:
        return self._root / path

    def fetch(self, path: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._root / path, target)

    def list(self, prefix: str) -> Iterator[StoredFile]:
        try:
            for directory, _, names in os.walk(self._root / prefix, onerror=_fail):
                for name in names:
                    path = Path(directory, name)
                    try:
                        status = path.stat()
                    except FileNotFoundError:
                        continue
                    relative = path.relative_to(self._root).as_posix()
                    yield StoredFile(relative, status.st_size, status.st_mtime_ns // 1_000_000)
        except OSError as error:
            raise unreadable(self._root, error) from error

    def delete(self, path: str) -> int:
        target = self._root / path
        try:
            size = target.stat().st_size
            target.unlink()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise StoreUnwritable(f"{target} cannot be deleted: {error}") from error
        return size

    def free_bytes(self) -> int | None:
        place = self._root
        while not place.exists() and place != place.parent:
            place = place.parent
        try:
            return shutil.disk_usage(place).free
        except OSError as error:
            raise StoreUnreadable(f"{self._root}: {error}") from error


def _make_directory(path: Path) -> None:
    """Makes a directory, durable with those above it that were made."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    path.mkdir(exist_ok=True)
    sync_directory(path.parent)


def _give_name(temporary: Path, target: Path) -> None:
    try:
        os.link(temporary, target)
    except FileExistsError:
        if not _same(temporary, target):
            raise


def _same(one: Path, other: Path) -> bool:
    """Whether a file that was there already is the one to put, from an earlier attempt."""
    return one.stat().st_size == other.stat().st_size and (
        layout.footer_checksum(other.name) is not None
    )


def _fail(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
