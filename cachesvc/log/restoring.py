"""Makes a store of a backup: copies it to a place that is empty, and proves it whole before.

Nothing there is a store until all of it is durable, so a restore that was ended may be begun again.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from cachesvc.errors import DamagedFile, NotFound, PreconditionFailed
from cachesvc.log.store_lock import lock_directory
from cachesvc.model import LOCAL_STORE, Segment
from cachesvc.store import layout
from cachesvc.store.catalogues import open_copy
from cachesvc.store.journal import sync_directory
from cachesvc.store.parquet_file import read_checked_footer
from cachesvc.store.segments import data_paths

Progress = Callable[[int, int, str], None]
"""Told bytes done, bytes in total and what is being done."""

_OWN = (layout.LOCK, layout.RESTORING)


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore has made.

    Attributes:
        files: How many.
        bytes: Of all of them.
        segments: Live ones.
        subscriptions: How many there are, with their positions.
        stores: Others that have files of it, which are needed there.
    """

    files: int
    bytes: int
    segments: int
    subscriptions: int
    stores: tuple[str, ...]


def restore(backup: Path, store: Path, progress: Progress = lambda *_: None) -> Restored:
    """Makes ``store`` what a backup has. Blocking.

    Args:
        backup: A backup, or a store that no service runs on. It is left as it is.
        store: A directory that is empty or not there.
        progress: Is told how far it is.

    Raises:
        NotFound: There is no backup.
        StoreLocked: A service runs on one of the two.
        PreconditionFailed: The store is not empty, or the disk does not take it.
        DamagedFile: Something that the backup names is not in it, or is not whole.
    """
    if not (backup / layout.CATALOGUE).is_file():
        raise NotFound(
            f"there is no backup in {backup}: it has no {layout.CATALOGUE}", reason="NO_BACKUP"
        )
    if (backup / layout.LOCK).exists():  # a service has run on it, and may do so still
        lock_directory(backup).close()
    if store.exists() and not (store / layout.LOCK).exists():
        _check_empty(store)  # before anything is made in what may be no store at all
    with lock_directory(store):
        _check_empty(store)
        staging = store / layout.RESTORING
        try:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
            restored = _restore(backup, staging, progress)
            _publish(staging, store)
        except OSError as error:
            raise PreconditionFailed(
                f"{backup} cannot be restored to {store}: {error}", reason="RESTORE_FAILED"
            ) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return restored


def _check_empty(store: Path) -> None:
    others = ["a file"]
    if store.is_dir():
        others = sorted(path.name for path in store.iterdir() if path.name not in _OWN)
    if others:
        raise PreconditionFailed(
            f"{store} is not empty: there is {', '.join(others[:3])}; name a directory that is, or "
            "that is not there yet",
            reason="DIRECTORY_NOT_EMPTY",
            metadata={"path": store},
        )


def _restore(backup: Path, staging: Path, progress: Progress) -> Restored:
    for suffix in ("", ".wal", layout.POSITIONS_SUFFIX):
        path = backup / f"{layout.CATALOGUE}{suffix}"
        if path.exists():
            shutil.copyfile(path, staging / path.name)
    with closing(open_copy(staging / layout.CATALOGUE)) as catalogue:
        segments = catalogue.list_segments()
        files = [*segments, *(snapshot.file for snapshot in catalogue.snapshots.list())]
        subscriptions = len(catalogue.list_subscriptions())
    listed = [file for file in files if file.store == LOCAL_STORE]
    paths = list(_checked(backup, listed))
    paths += [path.relative_to(backup) for path in _journals(backup)]
    if (backup / layout.STORE_ID).exists():
        paths.append(Path(layout.STORE_ID))
    sizes = {path: (backup / path).stat().st_size for path in paths}
    done, total = 0, sum(sizes.values())
    for path, size in sizes.items():
        progress(done, total, path.parts[0])
        (staging / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(backup / path, staging / path)
        done += size
    _sync(staging)
    progress(total, total, "")
    stores = sorted({file.store for file in files} - {LOCAL_STORE})
    made = [path.stat().st_size for path in staging.rglob("*") if path.is_file()]
    return Restored(len(made), sum(made), len(segments), subscriptions, tuple(stores))


def _checked(backup: Path, files: Sequence[Segment]) -> Iterable[Path]:
    """The paths of files, each of which is there, as long as it has to be, its footer whole."""
    for file in files:
        sizes = file.bytes, file.rejects_bytes
        for path, size in zip(data_paths(file), sizes, strict=False):
            there = backup / path
            if not there.is_file():
                raise DamagedFile(f"{there} is missing, and the backup's catalogue names it")
            if size and there.stat().st_size != size:
                raise DamagedFile(f"{there} has not the {size} bytes that it should have")
            read_checked_footer(there)
            yield Path(path)


def _journals(backup: Path) -> Iterable[Path]:
    for found in layout.find_journals(backup).values():
        yield from (*found.top, *found.backfills)


def _sync(directory: Path) -> None:
    for each in directory.rglob("*"):
        if each.is_dir():
            sync_directory(each)
        else:
            with each.open("rb") as file:
                os.fsync(file.fileno())


def _publish(staging: Path, store: Path) -> None:
    """Moves everything to its place, the catalogue last: with it, it is a store."""
    last = staging / layout.CATALOGUE
    moved = []
    try:
        for path in (*(each for each in staging.iterdir() if each != last), last):
            path.rename(store / path.name)
            moved.append(store / path.name)
        sync_directory(store)
    except OSError:
        for path in reversed(moved):
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
