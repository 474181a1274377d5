"""A store of sealed files in memory: the twin of the others, for tests."""

import io
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from errno import ENOENT
from io import RawIOBase
from pathlib import Path
from typing import Literal

from cachesvc.store.file_store import StoredFile


@dataclass(frozen=True, slots=True)
class _Entry:
    data: bytes
    written_ms: int


class MemoryFiles:
    """``file_store.FileStore`` without a disk."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    def put(self, path: str, source: Path) -> None:
        entry = _Entry(source.read_bytes(), time.time_ns() // 1_000_000)
        with self._lock:
            if self._entries.setdefault(path, entry).data != entry.data:
                raise FileExistsError(path)

    def file(self, path: str, size: int | None = None) -> "_MemoryFile":
        return _MemoryFile(self, path)

    def read(self, path: str) -> bytes:
        """The bytes of a file.

        Raises:
            FileNotFoundError: There is none.
        """
        entry = self._entries.get(path)
        if entry is None:
            raise FileNotFoundError(ENOENT, "no such file", path)
        return entry.data

    def fetch(self, path: str, target: Path) -> None:
        data = self.read(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def list(self, prefix: str) -> Iterator[StoredFile]:
        for path, entry in list(self._entries.items()):
            if path.startswith(f"{prefix}/"):
                yield StoredFile(path, len(entry.data), entry.written_ms)

    def delete(self, path: str) -> int:
        entry = self._entries.pop(path, None)
        return len(entry.data) if entry else 0

    def free_bytes(self) -> int | None:
        return None


class _MemoryFile:
    def __init__(self, files: MemoryFiles, path: str) -> None:
        self._files = files
        self._path = path

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2]

    def open(self, mode: Literal["rb"], buffering: Literal[0]) -> RawIOBase:
        return _Bytes(self._files.read(self._path))


class _Bytes(RawIOBase):
    def __init__(self, data: bytes) -> None:
        self._buffer = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray", /) -> int:  # type: ignore[override]
        return self._buffer.readinto(buffer)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._buffer.seek(offset, whence)

    def tell(self) -> int:
        return self._buffer.tell()
