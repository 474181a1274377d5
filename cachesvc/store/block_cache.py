"""Blocks of remote files on the disk of this machine, within a number of bytes.

    <directory>/<hash of the file's path>-<number>.block     CRC-32C of the data, data

It is a cache and nothing else: what is torn or damaged was never there, and a full disk keeps
nothing. What it holds survives a restart.
"""

import contextlib
import hashlib
import os
import secrets
import struct
import threading
from collections import OrderedDict
from pathlib import Path

from crc32c import crc32c

_SUFFIX = ".block"
_HEAD = struct.Struct("<I")


class BlockCache:
    """Least recently used blocks go first. May be used by several threads at a time.

    Invariant: the blocks on disk have at most ``bytes_max`` bytes, but for those being written.

    Args:
        directory: Of the blocks alone; made if missing.
        bytes_max: 0 keeps nothing.
    """

    def __init__(self, directory: Path, bytes_max: int) -> None:
        self._directory = directory
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self.bytes = 0
        self._find()

    def _find(self) -> None:
        """Enters what is there, the oldest first; blocks that were being written go."""
        self._directory.mkdir(parents=True, exist_ok=True)
        found: list[tuple[int, str, int]] = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if entry.name.endswith(_SUFFIX):
                    status = entry.stat()
                    found.append((status.st_mtime_ns, entry.name, status.st_size))
                else:
                    os.unlink(entry.path)
        for _, name, size in sorted(found):
            self._sizes[name] = size
            self.bytes += size
        self._evict()

    def get(self, path: str, number: int) -> bytes | None:
        """A block of a file, if it is here."""
        name = _name(path, number)
        with self._lock:
            if name not in self._sizes:
                return None
            self._sizes.move_to_end(name)
        try:
            content = (self._directory / name).read_bytes()
        except OSError:
            content = b""
        if len(content) > _HEAD.size:
            data = content[_HEAD.size :]
            if _HEAD.unpack_from(content)[0] == crc32c(data):
                return data
        self._forget(name)
        return None

    def has(self, path: str, number: int) -> bool:
        """Whether a block is here, as far as one knows without reading it."""
        return _name(path, number) in self._sizes

    def put(self, path: str, number: int, data: bytes) -> None:
        """Keeps a block if there is room for it."""
        size = _HEAD.size + len(data)
        if size > self._bytes_max:
            return
        name = _name(path, number)
        temporary = self._directory / f"{name}.{secrets.token_hex(4)}"
        try:
            temporary.write_bytes(_HEAD.pack(crc32c(data)) + data)
            temporary.rename(self._directory / name)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return
        with self._lock:
            self.bytes += size - self._sizes.pop(name, 0)
            self._sizes[name] = size
            self._evict()

    def _forget(self, name: str) -> None:
        with self._lock:
            self.bytes -= self._sizes.pop(name, 0)
        with contextlib.suppress(OSError):
            (self._directory / name).unlink(missing_ok=True)

    def _evict(self) -> None:
        while self.bytes > self._bytes_max:
            name, size = self._sizes.popitem(last=False)
            self.bytes -= size
            with contextlib.suppress(OSError):
                (self._directory / name).unlink(missing_ok=True)


def _name(path: str, number: int) -> str:
    digest = hashlib.blake2b(path.encode(), digest_size=16).hexdigest()
    return f"{digest}-{number}{_SUFFIX}"
