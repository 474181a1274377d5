"""A store that cannot be opened yet: its credentials are missing, say. It is tried at every use."""

from collections.abc import Callable, Iterator
from pathlib import Path

from cachesvc.errors import CacheError, StoreUnreadable, StoreUnwritable
from cachesvc.store.file_store import FileStore, ReadableFile, StoredFile


class LateFiles:
    """``file_store.FileStore`` that opens another one when it can.

    Args:
        open_store: Opens it; raises CacheError while it cannot.
    """

    def __init__(self, open_store: Callable[[], FileStore]) -> None:
        self._open_store = open_store
        self._opened: FileStore | None = None

    def put(self, path: str, source: Path) -> None:
        self._to_write().put(path, source)

    def file(self, path: str, size: int | None = None) -> ReadableFile:
        return self._to_read().file(path, size)

    def fetch(self, path: str, target: Path) -> None:
        self._to_read().fetch(path, target)

    def list(self, prefix: str) -> Iterator[StoredFile]:
        return self._to_read().list(prefix)

    def delete(self, path: str) -> int:
        return self._to_write().delete(path)

    def free_bytes(self) -> int | None:
        return self._to_read().free_bytes()

    def _to_read(self) -> FileStore:
        try:
            return self._get()
        except CacheError as error:
            raise StoreUnreadable(str(error), metadata={"code": error.reason}) from error

    def _to_write(self) -> FileStore:
        try:
            return self._get()
        except CacheError as error:
            raise StoreUnwritable(str(error), metadata={"code": error.reason}) from error

    def _get(self) -> FileStore:
        if self._opened is None:
            self._opened = self._open_store()
        return self._opened
