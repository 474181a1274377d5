"""Tries a store item by item, with a file of its own that it deletes. Blocking."""

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cachesvc.errors import CacheError
from cachesvc.store.file_store import FileStore

_DIRECTORY = "probe"
_BYTES = 1 << 20
_RANGE = (_BYTES // 2, _BYTES // 2 + 4_096)


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """What one check found.

    Attributes:
        name: What was looked at.
        works: None where it was not tried, because one before it failed.
        detail: What was found, or what is wrong.
        took_s: Seconds that it took.
    """

    name: str
    works: bool | None
    detail: str
    took_s: float = 0.0


def examine_store(files: FileStore) -> Iterator[StoreCheck]:
    """Makes every check in turn; those behind one that failed are not tried."""
    path = f"{_DIRECTORY}/{secrets.token_hex(8)}"
    with tempfile.TemporaryDirectory() as directory:
        source, other = Path(directory, "source"), Path(directory, "other")
        source.write_bytes(secrets.token_bytes(_BYTES))
        other.write_bytes(b"another file")
        checks: dict[str, Callable[[], str]] = {
            "list": lambda: _list(files),
            "write": lambda: _write(files, path, source),
            "never overwrites": lambda: _refuses(files, path, other),
            "read": lambda: _read(files, path, source.read_bytes()),
            "delete": lambda: _delete(files, path),
            "room": lambda: _room(files),
        }
        broken = ""
        for name, check in checks.items():
            if broken:
                yield StoreCheck(name, None, f"not tried: {broken} failed")
                continue
            began_s = time.monotonic()
            try:
                works, detail = True, check()
            except (CacheError, OSError) as error:
                works, detail, broken = False, str(error), name
            yield StoreCheck(name, works, detail, time.monotonic() - began_s)
        if broken:
            with suppress(CacheError, OSError):
                files.delete(path)


def _list(files: FileStore) -> str:
    return f"answers; {sum(1 for _ in files.list(_DIRECTORY))} files of earlier tests"


def _write(files: FileStore, path: str, source: Path) -> str:
    files.put(path, source)
    return f"{_BYTES:,} bytes written"


def _refuses(files: FileStore, path: str, other: Path) -> str:
    try:
        files.put(path, other)
    except FileExistsError:
        return "a name that is taken is refused"
    raise FileExistsError("a file was replaced: conditional puts (If-None-Match) do not work there")


def _read(files: FileStore, path: str, data: bytes) -> str:
    begin, end = _RANGE
    with files.file(path).open("rb", 0) as file:
        file.seek(begin)
        found = file.read(end - begin)
    if found != data[begin:end]:
        raise OSError("what was read is not what was written")
    return f"a range of {end - begin:,} bytes read as it was written"


def _delete(files: FileStore, path: str) -> str:
    files.delete(path)
    return "deleted"


def _room(files: FileStore) -> str:
    free = files.free_bytes()
    return "nobody knows how much" if free is None else f"{free:,} bytes free"
