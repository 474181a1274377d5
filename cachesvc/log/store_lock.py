"""One process owns a store: the lock on its directory says which."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from cachesvc.errors import PreconditionFailed, StoreLocked, StoreUnwritable
from cachesvc.store import layout


def lock_directory(path: Path) -> IO[str]:
    """Makes a store's directory if need be, and locks it as long as the file is open. Blocking.

    Raises:
        StoreLocked: Another process owns it; the message says which.
        PreconditionFailed: It cannot be made or written (``STORE_UNUSABLE``).
        StoreUnwritable: Its disk has no room for as little as that.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / layout.LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise PreconditionFailed(
            f"the store {path} cannot be used: {error}; name a directory that this user may write",
            reason="STORE_UNUSABLE",
            metadata={"path": path},
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise StoreLocked(
            f"the store {path} is in use by process {owner}; end that service first, or name "
            "another directory",
            metadata={"path": path, "pid": owner},
        ) from error
    try:
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
    except OSError as error:
        with suppress(OSError):  # it tries to write once more
            lock.close()
        raise StoreUnwritable(f"the store {path} cannot be locked: {error}") from error
    return lock
