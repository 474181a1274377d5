"""Descriptors of the files that are appended to: a bounded number, however many files there are."""

import errno
import os
import threading
from collections import OrderedDict
from pathlib import Path

OPEN_FILES_MAX = 256


class OpenFiles:
    """Opens files for appending as they are needed; the least recently used are closed for others.

    Invariant: at most ``limit`` descriptors are held, one for each path. A descriptor is good until
    the next call of ``descriptor``, so one thread at a time calls it and uses what it got;
    ``release`` may be called by any thread for a file that is not in use.

    Args:
        limit: At least 1.
    """

    def __init__(self, limit: int = OPEN_FILES_MAX) -> None:
        self._open: OrderedDict[Path, int] = OrderedDict()
        self._lock = threading.Lock()
        if limit < 1:
            raise ValueError(f"{limit} is no number of open files")
        self._limit = limit

    def __len__(self) -> int:
        return len(self._open)

    def descriptor(self, path: Path) -> int:
        """The descriptor of an existing file, for reading and appending.

        Where the process may open no more, other files are closed first.

        Raises:
            OSError: It cannot be opened.
        """
        with self._lock:
            found = self._open.get(path)
            if found is not None:
                self._open.move_to_end(path)
                return found
            return self._enter(path, os.O_RDWR | os.O_APPEND)

    def create(self, path: Path) -> int:
        """Makes a file and returns its descriptor; see ``descriptor``.

        Raises:
            FileExistsError: ``path`` exists.
            OSError: It cannot be made.
        """
        with self._lock:
            return self._enter(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND)

    def _enter(self, path: Path, flags: int) -> int:
        while len(self._open) >= self._limit:
            self._close_oldest()
        while path not in self._open:
            try:
                self._open[path] = os.open(path, flags, 0o644)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._open:
                    raise
                self._close_oldest()
        return self._open[path]

    def _close_oldest(self) -> None:
        _, descriptor = self._open.popitem(last=False)
        os.close(descriptor)

    def release(self, path: Path) -> None:
        """Closes a file, if it is open. Idempotent."""
        with self._lock:
            descriptor = self._open.pop(path, None)
        if descriptor is not None:
            os.close(descriptor)

    def close(self) -> None:
        """Closes all of them. They may be opened again."""
        with self._lock:
            while self._open:
                self._close_oldest()

    def __del__(self) -> None:
        self.close()
