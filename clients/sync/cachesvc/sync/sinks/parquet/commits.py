"""How a delivery's files appear together with the positions behind them.

Beside the files lies one of the task's own, ``_cachesvc/TASK.json``, that is replaced as a whole.
It has the positions, and before files get their names it also has these names: whoever opens the
place after a crash takes away the files whose positions were not written.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from cachesvc.client import Position, Positions
from cachesvc.sync.errors import TargetFailed, TargetUnavailable
from cachesvc.sync.sinks.files import lock, sync_directory, write_whole

_PLACE = "_cachesvc"


class Ledger(msgspec.Struct, frozen=True):
    """What ``TASK.json`` has.

    Attributes:
        positions: How far the files have the task's changes.
        pending: Files, relative to the place, that are to go unless the next state is there.
    """

    positions: tuple[Position, ...] = ()
    pending: tuple[str, ...] = ()


class Commits:
    """Files of one task in one place; one process at a time. Blocks.

    Args:
        place: Directory of all files.
        name: The task's, fit for a file.
    """

    def __init__(self, place: Path, name: str) -> None:
        self._place = place
        self._own = place / _PLACE
        self._ledger_path = self._own / f"{name}.json"
        self._lock_path = self._own / f"{name}.lock"
        self._lock: int | None = None
        self._positions = Positions()

    def open(self) -> Positions:
        """Takes away what was not finished, and returns how far the files go.

        Raises:
            TargetUnavailable: Another process has the place.
            TargetFailed: The ledger does not read.
        """
        self.close()
        self._own.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            lock(descriptor, self._place)
            ledger = self._read()
            for name in ledger.pending:
                (self._place / name).unlink(missing_ok=True)
                temporary(self._place / name).unlink(missing_ok=True)
            self._positions = Positions(ledger.positions)
            if ledger.pending:
                self._write(self._positions, ())
        except BaseException:
            os.close(descriptor)
            raise
        self._lock = descriptor
        return self._positions

    def commit(self, files: Mapping[str, bytes], positions: Positions) -> None:
        """Writes files, by names relative to the place, and then the positions behind them."""
        self._require_open()
        reached = self._reached(positions)
        if files:
            self._write(self._positions, files)
            try:
                self._write_files(files)
            except BaseException:
                for name in files:
                    temporary(self._place / name).unlink(missing_ok=True)
                    (self._place / name).unlink(missing_ok=True)
                raise
        self._write(reached, ())
        self._positions = reached

    def forget(self) -> None:
        """Drops all positions; the files stay."""
        self._require_open()
        self._write(Positions(), ())
        self._positions = Positions()

    def close(self) -> None:
        """Lets the next process in. Idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _require_open(self) -> None:
        if self._lock is None:
            raise TargetUnavailable(f"{self._place} is not open", reason="NOT_OPEN")

    def _reached(self, positions: Positions) -> Positions:
        known = self._positions
        return known.moved(
            *(p for key, p in positions.items() if key not in known or p.is_after(known[key]))
        )

    def _write_files(self, files: Mapping[str, bytes]) -> None:
        paths = {self._place / name: data for name, data in files.items()}
        for path, data in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(temporary(path), data)
        for path in paths:
            temporary(path).rename(path)
        for directory in _above(paths, self._place):
            sync_directory(directory)

    def _read(self) -> Ledger:
        try:
            return msgspec.json.decode(self._ledger_path.read_bytes(), type=Ledger)
        except FileNotFoundError:
            return Ledger()
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise TargetFailed(
                f"{self._ledger_path} does not read: {error}; without it the task begins where its "
                "subscription is",
                reason="LEDGER_DAMAGED",
            ) from error

    def _write(self, positions: Positions, pending: Iterable[str]) -> None:
        ledger = Ledger(tuple(positions.values()), tuple(pending))
        new = temporary(self._ledger_path)
        try:
            write_durably(new, msgspec.json.encode(ledger))
        except OSError:
            new.unlink(missing_ok=True)
            raise
        new.rename(self._ledger_path)
        sync_directory(self._own)


def temporary(path: Path) -> Path:
    """Where a file is until it is whole; no tool takes a hidden file for data."""
    return path.with_name(f".{path.name}.tmp")


def write_durably(path: Path, data: bytes) -> None:
    """Writes a file anew; when this returns, the disk has it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        write_whole(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _above(paths: Iterable[Path], place: Path) -> set[Path]:
    """Every directory between files and the place, which may be new."""
    return {
        directory
        for path in paths
        for directory in path.parents
        if directory == place or place in directory.parents
    }
