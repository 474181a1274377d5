"""The stores of a service: which there are, which one takes what, how files get there and back.

A file is written on the disk of this machine, below ``staging``, and put into its store whole;
the catalogue names it only then. The service's own directory is the store ``local``, whose files
are written where they stay. A segment says in which store it lies, so a topic may have segments in
several of them, and what is said of a connection concerns what is sealed or merged from then on.
"""

import asyncio
import secrets
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from cachesvc.errors import PreconditionFailed, StoreUnreadable, StoreUnwritable
from cachesvc.model import LOCAL_STORE, Segment, TopicId
from cachesvc.store import layout
from cachesvc.store.file_store import FileStore, ReadableFile
from cachesvc.store.local_files import LocalFiles
from cachesvc.store.refusals import unreadable
from cachesvc.store.segments import data_paths

_THREADS = 8


class Stores:
    """All stores by name. Belongs to one event loop, but for ``files`` and what it is made of.

    Attributes:
        choose: Which store takes what is mined of a topic; set before anything is sealed.

    Args:
        path: The service's own directory.
        others: The other stores.
    """

    def __init__(self, path: Path, others: Mapping[str, FileStore]) -> None:
        self.path = path
        self._others = dict(others)
        self._local = LocalFiles(path)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="store")
        self._claimed: set[str] = set()
        self._claiming = threading.Lock()
        self.choose: Callable[[TopicId], str] = lambda _: LOCAL_STORE

    def prepare(self, segments: Iterable[Segment]) -> None:
        """Throws away what was under way when the service ended. Blocking.

        Raises:
            PreconditionFailed: One lies in a store that is not there (``UNKNOWN_STORE``).
        """
        shutil.rmtree(self.path / layout.STAGING, ignore_errors=True)
        unknown = {segment.store for segment in segments} - set(self.names)
        if unknown:
            raise PreconditionFailed(
                f"segments lie in the store {min(unknown)!r}, which is not among the settings; put "
                "it back into [[stores]]: one that is in use cannot be removed",
                reason="UNKNOWN_STORE",
                metadata={"store": min(unknown)},
            )

    @property
    def names(self) -> list[str]:
        """Of all stores, ``local`` first."""
        return [LOCAL_STORE, *self._others]

    def put(self, name: str, files: FileStore) -> None:
        """Adds a store, or has it reached in another way from now on."""
        with self._claiming:
            self._others[name] = files
            self._claimed.discard(name)

    def remove(self, name: str) -> None:
        """Forgets a store; no segment lies there, and no file that is still to be deleted."""
        with self._claiming:
            self._others.pop(name, None)
            self._claimed.discard(name)

    def files(self, name: str) -> FileStore:
        """The files of a store that is there."""
        return self._local if name == LOCAL_STORE else self._others[name]

    def file(self, segment: Segment) -> ReadableFile:
        """A segment's records."""
        return self.files(segment.store).file(segment.path, segment.bytes)

    def rejects_file(self, segment: Segment) -> ReadableFile:
        """What was turned away of a segment's range; there has to be some."""
        return self.files(segment.store).file(segment.rejects_path)

    def executor(self, name: str) -> Executor | None:
        """What reads of a store, where that is not a disk of this machine."""
        files = self.files(name)
        return None if isinstance(files, LocalFiles) else self._threads

    @asynccontextmanager
    async def at_hand(
        self, segments: Iterable[Segment], target: str, *, missing_ok: bool = False
    ) -> AsyncIterator[Path]:
        """A directory of this machine with the files of segments, and where others may be written.

        Args:
            segments: Whose files are wanted.
            target: The store that takes what is written.
            missing_ok: Whether files may be missing that are gone.

        Raises:
            FileNotFoundError: A file is gone.
            StoreUnreadable: A store does not give one for now.
            OSError: This machine does not take it.
        """
        wanted = list(segments)
        if target == LOCAL_STORE and all(each.store == LOCAL_STORE for each in wanted):
            yield self.path
            return
        directory = self.path / layout.STAGING / secrets.token_hex(8)
        try:
            await self._run(self._fetch, wanted, directory, missing_ok)
            yield directory
        finally:
            await asyncio.shield(self._run(shutil.rmtree, directory, True))

    def _fetch(self, segments: list[Segment], directory: Path, missing_ok: bool) -> None:
        directory.mkdir(parents=True)
        for segment in segments:
            for path in data_paths(segment):
                try:
                    self.files(segment.store).fetch(path.as_posix(), directory / path)
                except FileNotFoundError:
                    if not missing_ok:
                        raise

    async def publish(self, segment: Segment, directory: Path, target: str) -> Segment:
        """Puts a segment that was written in a directory of ``at_hand`` into its store; durable.

        May be repeated. Nobody names its files yet.

        Raises:
            StoreUnwritable: The store does not take it for now.
            PreconditionFailed: Another service uses the same place (``STORE_IN_USE``).
        """
        if directory != self.path:
            await self._run(self._put, segment, directory, target)
        return replace(segment, store=target)

    def _put(self, segment: Segment, directory: Path, target: str) -> None:
        self.claim(target)
        for path in data_paths(segment):
            self.files(target).put(path.as_posix(), directory / path)

    def claim(self, name: str) -> None:
        """Makes sure that no other service uses the place of a store. Blocking.

        Two of them would sweep each other's files away.

        Raises:
            StoreUnwritable: The store does not answer for now; nor was it asked before.
            PreconditionFailed: Another service uses it (``STORE_IN_USE``).
        """
        with self._claiming:
            if name == LOCAL_STORE or name in self._claimed:
                return
            own = self._own_id()
            found = self.path / layout.STAGING / f"owner-{secrets.token_hex(8)}"
            files = self.files(name)
            try:
                with suppress(FileExistsError):
                    files.put(layout.OWNER, self.path / layout.STORE_ID)
                files.fetch(layout.OWNER, found)
                owner = found.read_text().strip()
            except FileNotFoundError as error:
                raise StoreUnwritable(
                    f"store {name!r} does not keep {layout.OWNER}, which marks it as taken"
                ) from error
            finally:
                found.unlink(missing_ok=True)
            if owner != own:
                raise PreconditionFailed(
                    f"the place of store {name!r} belongs to another service ({owner}); give each "
                    f"service a prefix or directory of its own, or delete {layout.OWNER} there if "
                    "that service is gone for good",
                    reason="STORE_IN_USE",
                    metadata={"store": name},
                )
            self._claimed.add(name)

    def check_there(self, name: str, *, marked: bool) -> None:
        """Makes sure that a store answers, and is the place that it was. Blocking.

        Args:
            name: Of the store.
            marked: Whether segments lie there, so that it has to be marked as this service's.

        Raises:
            StoreUnreadable: It is not, or does not answer for now.
        """
        if name == LOCAL_STORE:
            return
        owner = owner_of(self.files(name))
        if marked and owner != self._own_id():
            found = f"it belongs to another service ({owner})" if owner else "it is empty"
            raise StoreUnreadable(
                f"store {name!r} is not the place that segments were put into: {found}; is it "
                "mounted, and are its settings right?",
                metadata={"store": name},
            )

    def _own_id(self) -> str:
        path = self.path / layout.STORE_ID
        if not path.exists():
            path.write_text(f"{secrets.token_hex(16)}\n")
        return path.read_text().strip()

    async def _run(self, function: Callable[..., None], *arguments: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def close(self) -> None:
        """Waits for what is under way. Blocking."""
        self._threads.shutdown()


def owner_of(files: FileStore) -> str:
    """The service whose place a store is, as it is marked there; empty where it is not. Blocking.

    Raises:
        StoreUnreadable: It does not answer for now.
    """
    with tempfile.TemporaryDirectory(prefix="cachesvc-") as directory:
        found = Path(directory) / layout.OWNER
        try:
            # The one file that may be another one day; what is read is kept on this machine.
            files.fetch(layout.OWNER, found)
            return found.read_text(errors="replace").strip()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise unreadable(Path(layout.OWNER), error) from error
