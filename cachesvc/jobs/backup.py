"""Backup: a copy of the store as it is at one moment, which is a store itself."""

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath

from cachesvc.errors import PreconditionFailed
from cachesvc.jobs.fetching import Fetching
from cachesvc.jobs.job import Progress
from cachesvc.log.log_store import LogStore
from cachesvc.model import LOCAL_STORE
from cachesvc.store import layout
from cachesvc.store.journal import sync_directory
from cachesvc.store.segments import data_paths

_NAME = "%Y-%m-%dT%H-%M-%SZ"
_UNFINISHED = ".unfinished"
_COPY_BYTES = 1 << 20


class Backup:
    """Writes ``<directory>/<time>``, from which a service can be started like from the store.

    Nothing is sealed, merged or expired while files are linked together, which takes seconds at
    most; mining and serving go on. What is linked is copied then, or is the backup, where the
    directory is on the same file system.

    Args:
        store: What is backed up.
        directory: Where backups are; None if there is none.
        interval_s: Between runs; 0 for on demand alone.
        kept: How many backups stay, the newest.
        other_stores: Whether what lies in other stores is copied too, so that the backup is whole
            by itself; else it names it.
    """

    name = "backup"
    description = "copy the store as it is at one moment"

    def __init__(
        self,
        store: LogStore,
        directory: Path | None,
        interval_s: float,
        kept: int,
        *,
        other_stores: bool = False,
    ) -> None:
        self.interval_s = interval_s
        self._store = store
        self._directory = directory
        self._kept = kept
        self._other_stores = other_stores

    async def run(self, progress: Progress) -> Mapping[str, int]:
        """See ``Job.run``.

        Raises:
            PreconditionFailed: No directory is named, or the disk does not take it.
            StoreUnreadable: Another store does not give a file for now.
        """
        if self._directory is None:
            raise PreconditionFailed(
                "there is no place for backups: set jobs.backup.directory", reason="NO_BACKUP_PLACE"
            )
        target = self._directory / time.strftime(_NAME, time.gmtime())
        return await self._make(target, progress, lambda: _forget_old(target.parent, self._kept))

    async def run_into(self, directory: Path, progress: Progress) -> Mapping[str, int]:
        """Makes one backup that is ``directory``, which is empty or not there; no other goes.

        Raises:
            PreconditionFailed: The directory is not empty, or the disk does not take it.
            StoreUnreadable: Another store does not give a file for now.
        """
        if directory.is_relative_to(self._store.path.resolve()):
            raise PreconditionFailed(
                f"{directory} is in the store itself; name another directory",
                reason="BACKUP_FAILED",
            )
        if await asyncio.to_thread(_has_something, directory):
            raise PreconditionFailed(
                f"{directory} is not empty; name a directory that is, or that is not there yet",
                reason="DIRECTORY_NOT_EMPTY",
                metadata={"path": directory},
            )
        return await self._make(directory, progress, lambda: None)

    async def _make(
        self, target: Path, progress: Progress, afterwards: Callable[[], None]
    ) -> Mapping[str, int]:
        staging = self._store.path / layout.BACKUP
        with ThreadPoolExecutor(1, thread_name_prefix="backup") as thread:

            async def beside(work: Callable[[], None]) -> None:
                await asyncio.get_running_loop().run_in_executor(thread, work)

            try:
                await beside(lambda: _clear(staging))
                progress(0, 0, "linking files")
                journals = await self._link_all(staging, beside)
                if self._other_stores:
                    fetching = Fetching(self._store.stores, staging, progress)
                    await beside(fetching.run)
                progress(0, 0, "copying")
                await beside(lambda: _publish(staging, journals, target))
                await beside(afterwards)
            except FileNotFoundError as error:
                raise PreconditionFailed(
                    f"a file went while it was copied from another store: {error}; try again",
                    reason="BACKUP_FAILED",
                ) from error
            except OSError as error:
                raise PreconditionFailed(
                    f"the backup cannot be written: {error}", reason="BACKUP_FAILED"
                ) from error
            finally:
                await beside(lambda: _clear(staging))
        sizes = await asyncio.to_thread(_sizes, target)
        progress(1, 1, "")
        return {"files": len(sizes), "bytes": sum(sizes)}

    async def _link_all(
        self, staging: Path, beside: Callable[[Callable[[], None]], Awaitable[None]]
    ) -> dict[PurePosixPath, int]:
        """Links all that is of one moment; journals, with the bytes that are of that moment."""
        store = self._store
        async with store.manifest.unchanged():
            logs = store.in_order()
            segments = [segment for log in logs for segment in log.segments]
            # What lies in other stores is named, and fetched afterwards where that is wanted.
            own = [segment for segment in segments if segment.store == LOCAL_STORE]
            paths = [path for segment in own for path in data_paths(segment)]
            snapshots = await store.catalogue.call(lambda port: port.snapshots.list())
            files = [snapshot.file for snapshot in snapshots]
            paths += [PurePosixPath(each.path) for each in files if each.store == LOCAL_STORE]
            if (store.path / layout.STORE_ID).exists():
                paths.append(PurePosixPath(layout.STORE_ID))
            journals = {
                PurePosixPath(entry.path.relative_to(store.path)): entry.index.file_bytes
                for log in logs
                for entry in log.journals
                if not entry.sealed and entry.index is not None
            }

            def link() -> None:
                for path in (*paths, *journals):
                    place = staging / path
                    place.parent.mkdir(parents=True, exist_ok=True)
                    os.link(store.path / path, place)

            await beside(link)
            await store.catalogue.call(lambda port: port.settle())
            await store.catalogue.beside(lambda port: port.copy_to(staging / layout.CATALOGUE))
        return journals


def _sizes(directory: Path) -> list[int]:
    return [path.stat().st_size for path in directory.rglob("*") if path.is_file()]


def _has_something(directory: Path) -> bool:
    return directory.exists() and (not directory.is_dir() or any(directory.iterdir()))


def _clear(directory: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(directory)
    directory.mkdir(parents=True)


def _publish(staging: Path, journals: Mapping[PurePosixPath, int], target: Path) -> None:
    """Makes a backup of what is linked; durable before it has its name. Blocking."""
    for path, size in journals.items():
        _own(staging / path, size)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(target.name + _UNFINISHED)
    if unfinished.exists():  # of a run that was ended
        shutil.rmtree(unfinished)
    try:
        staging.rename(unfinished)
    except OSError:  # another file system
        shutil.copytree(staging, unfinished)
    for each in unfinished.rglob("*"):
        if each.is_file():
            with each.open("rb") as file:
                os.fsync(file.fileno())
    unfinished.rename(target)
    sync_directory(target.parent)


def _own(journal: Path, size: int) -> None:
    """Makes a link to a journal a file of its own, of the bytes that it had."""
    copy = journal.with_name(journal.name + layout.TEMPORARY_SUFFIX)
    with journal.open("rb") as source, copy.open("wb") as sink:
        left = size
        while left and (data := source.read(min(left, _COPY_BYTES))):
            sink.write(data)
            left -= len(data)
    copy.replace(journal)


def _forget_old(directory: Path, kept: int) -> None:
    """Deletes all but the newest backups, and what runs that were ended have left. Blocking."""
    finished: list[Path] = []
    unfinished: list[Path] = []
    for path in sorted(directory.iterdir()):
        with suppress(ValueError):
            time.strptime(path.name.removesuffix(_UNFINISHED), _NAME)
            (unfinished if path.name.endswith(_UNFINISHED) else finished).append(path)
    for path in (*unfinished, *finished[:-kept]):
        shutil.rmtree(path)
