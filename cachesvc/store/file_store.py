"""Where sealed files lie, as a port: a directory, an S3 bucket, or memory for tests.

Files are immutable. A name is given once: ``put`` never replaces what has it, so a file that can be
opened is whole and stays what it is until it is deleted. Paths are relative, with slashes
(``layout``). Journals and the catalogue are never here: they stay on the disk of their service.

Every method blocks, may be called from several threads at a time, and ends in bounded time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that a store has.

    Attributes:
        path: Relative to the store.
        bytes: Its size.
        written_ms: When it was put, by the clock of whoever keeps it.
    """

    path: str
    bytes: int
    written_ms: int


class ReadableFile(Protocol):
    """A file to read from, wherever it lies. A ``pathlib.Path`` is one."""

    @property
    def name(self) -> str:
        """The last part of its path."""

    def open(self, mode: Literal["rb"], buffering: Literal[0]) -> RawIOBase:
        """Its bytes, with ``seek``; for one thread.

        Raises:
            FileNotFoundError: There is no such file; reads may raise it as well.
            StoreUnreadable: The store does not give it for now; likewise.
        """


class FileStore(Protocol):
    """One place for sealed files."""

    def put(self, path: str, source: Path) -> None:
        """Copies a file of this machine here; durable on return. May be repeated.

        Raises:
            FileExistsError: Another file has the name.
            StoreUnwritable: The store does not take it for now. What is left behind has no name,
                or is the whole file.
        """

    def file(self, path: str, size: int | None = None) -> ReadableFile:
        """A file to read from. Does no I/O.

        Args:
            path: Which.
            size: Its size, where it is known, which saves asking for it.
        """

    def fetch(self, path: str, target: Path) -> None:
        """Copies a file to this machine; makes the directory of ``target``.

        Raises:
            FileNotFoundError: There is no such file.
            StoreUnreadable: The store does not give it for now.
            OSError: This machine does not take it.
        """

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """All files below a directory, in no order.

        Raises:
            StoreUnreadable: The store does not tell for now.
        """

    def delete(self, path: str) -> int:
        """Deletes a file; 0 where there is none, else its size. Whoever reads it may fail.

        Raises:
            StoreUnwritable: The store does not delete it for now.
        """

    def free_bytes(self) -> int | None:
        """Room that is left; None where nobody knows.

        Raises:
            StoreUnreadable: The store does not tell for now.
        """
