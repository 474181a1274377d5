"""Positions that the service could not be told yet, in a file of the task's own."""

import os
from pathlib import Path

import msgspec

from cachesvc.client import Position, Positions
from cachesvc.sync.errors import InvalidTask, TargetUnavailable

_decoder = msgspec.json.Decoder(tuple[Position, ...])


class KeptPositions:
    """There only while the broker is read instead of the cache. Blocks; one thread at a time.

    Args:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Positions:
        """What is kept; empty where nothing is.

        Raises:
            InvalidTask: The file is none of ours.
        """
        try:
            return Positions(_decoder.decode(self._path.read_bytes()))
        except FileNotFoundError:
            return Positions()
        except (OSError, msgspec.DecodeError) as error:
            raise InvalidTask(
                f"{self._path}: holds no positions: {error}; remove it to go on where the service "
                "has the task"
            ) from error

    def write(self, positions: Positions) -> None:
        """Keeps positions instead of those before; on the disk when this returns.

        Raises:
            TargetUnavailable: The disk refuses.
        """
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with new.open("wb") as file:
                file.write(msgspec.json.encode(sorted(positions.values())))
                file.flush()
                os.fsync(file.fileno())
            new.rename(self._path)
            self._sync_directory()
        except OSError as error:
            raise TargetUnavailable(
                f"{self._path}: positions cannot be kept: {error.strerror}",
                reason="POSITIONS_DISK",
            ) from error

    def forget(self) -> None:
        """Keeps nothing any more. Idempotent."""
        self._path.unlink(missing_ok=True)

    def _sync_directory(self) -> None:
        descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
