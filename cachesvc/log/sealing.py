"""From a full journal to a live segment, beside the event loop and in order.

One at a time of each store, so that a store that is away keeps no other waiting: what is for it
stays in journals meanwhile. File durable, manifest commit, journal released. A journal whose
segment is live stays on disk as long as the budget for warm journals allows: subscribers read its
frames as they are, which is several times faster than decoding Parquet. Losing one costs nothing.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from cachesvc.backoff import Backoff
from cachesvc.errors import DamagedFile, PreconditionFailed, StoreUnwritable
from cachesvc.log.builds import Builds
from cachesvc.log.locations import JournalEntry
from cachesvc.log.manifest import Manifest
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.seal_queues import SealQueues
from cachesvc.log.stores import Stores
from cachesvc.log.warm_journals import WarmJournals
from cachesvc.model import Segment, TopicId
from cachesvc.store.journal import JournalFile
from cachesvc.store.segments import seal_journal

_log = logging.getLogger(__name__)
_RETRY_S = (1.0, 15.0)
"""The first pause behind a failure, about, and the longest."""


class Sealer:
    """Seals journals in the order in which they were rolled. Belongs to one event loop.

    Args:
        stores: Take the segments.
        manifest: Names them.
        builds: Is told while a file is being written.
        executor: Runs decoding and encoding; one thread is enough.
        warm_bytes_max: Bytes of sealed journals that stay on disk.
        take_out: Takes a journal out that turns out to be damaged.
        waiting_bytes_max: Bytes of journals that may wait for one store.
    """

    def __init__(
        self,
        stores: Stores,
        manifest: Manifest,
        builds: Builds,
        executor: Executor,
        warm_bytes_max: int,
        take_out: Callable[[PartitionLog, JournalEntry, Exception], Awaitable[None]],
        waiting_bytes_max: int,
    ) -> None:
        self._stores = stores
        self._manifest = manifest
        self._builds = builds
        self._executor = executor
        self._warm_bytes_max = warm_bytes_max
        self._warm = WarmJournals(warm_bytes_max)
        self._queues = SealQueues(self._store_of)
        self._added: dict[str, asyncio.Event] = {}
        self._new_store = asyncio.Event()
        self._take_out = take_out
        self.sealed = 0
        """How many became segments since the store was opened."""
        self.failures: dict[str, Exception] = {}
        """Why a store does not take what is for it, by name."""
        self.waiting_bytes_max = waiting_bytes_max
        """Bytes of journals that may wait for one store; more is not accepted."""
        self._tried = asyncio.Event()

    def add(self, log: PartitionLog, entry: JournalEntry) -> None:
        """Queues a journal that takes no more appends."""
        self._wake(self._queues.add(log, entry))

    def _wake(self, store: str) -> None:
        if store not in self._added:
            self._added[store] = asyncio.Event()
            self._new_store.set()
        self._added[store].set()

    def recovered(self, log: PartitionLog) -> None:
        """Enters the journals that a log had when the store was opened."""
        for entry in log.journals:
            if entry.sealed:
                self._warm.add(log, entry)
            elif entry.file is None:
                self.add(log, entry)

    def _store_of(self, topic: TopicId) -> str:
        return self._stores.choose(topic)  # which is set later than this is made

    @property
    def waiting(self) -> int:
        """Journals that are not sealed yet."""
        return len(self._queues)

    def check_room(self, log: PartitionLog) -> None:
        """Lets nothing more be mined for a store for which as much waits as may.

        Raises:
            StoreUnwritable: As said (``STORE_BEHIND``).
        """
        if self._queues.total_bytes < self.waiting_bytes_max:
            return
        store = self._stores.choose(log.id.topic_id)
        waiting = self._queues.bytes(store)
        if waiting >= self.waiting_bytes_max:
            why = self.failures.get(store, "it is slower than mining")
            raise StoreUnwritable(
                f"{log.id}: journals of {waiting:,} bytes wait for store {store!r}, which is as "
                f"much as may: {why}",
                reason="STORE_BEHIND",
                metadata={"store": store},
            )

    def waiting_for(self, store: str) -> tuple[int, int]:
        """How many of them are for one store, and their bytes."""
        return self._queues.count(store), self._queues.bytes(store)

    async def run(self) -> None:
        """Seals until cancelled; a journal that was under way stays a journal."""
        begun: set[str] = set()
        async with asyncio.TaskGroup() as tasks:
            while True:
                for store in self._added.keys() - begun:
                    tasks.create_task(self._run_for(store))
                    begun.add(store)
                self._new_store.clear()
                await self._new_store.wait()

    async def _run_for(self, store: str) -> None:
        pauses = Backoff(*_RETRY_S)
        while True:
            self._sort_again(store)
            waiting = self._queues.first(store)
            if waiting is None:
                self.failures.pop(store, None)
                self._added[store].clear()
                await self._added[store].wait()
            elif await self._try(*waiting, store, pauses):
                pauses.reset()
                self._queues.done(store)
                await self._delete(self._warm.take_excess())

    def _sort_again(self, store: str) -> None:
        """Hands on what another store is to take by now."""
        for other in self._queues.sort_again(store):
            self._wake(other)

    async def settled(self, log: PartitionLog, entry: JournalEntry) -> bool:
        """Whether a journal became a segment, once it did, or was damaged and is taken out.

        It may still take appends, as long as somebody rolls it. Cancel-safe.

        Raises:
            StoreUnwritable: An attempt to seal it, or one that is before it, failed meanwhile. It
                is tried again, whoever waits.
        """
        while not entry.sealed and entry in log.current.journals:
            self._tried.clear()
            await self._tried.wait()
            failure = self.failures.get(self._stores.choose(log.id.topic_id))
            if failure is not None:
                raise StoreUnwritable(f"{log.id}: cannot be sealed for now: {failure}")
        return entry.sealed

    async def _try(
        self, log: PartitionLog, entry: JournalEntry, store: str, pauses: Backoff
    ) -> bool:
        """One attempt; False, after a pause, if the disk or the catalogue does not take it."""
        try:
            await self._seal(log, entry, store, pauses)
        except (OSError, PreconditionFailed) as error:
            await self._pause(entry, store, error, pauses)
            return False
        self.failures.pop(store, None)
        self._tried.set()
        return True

    async def _pause(
        self, entry: JournalEntry, store: str, error: Exception, pauses: Backoff
    ) -> None:
        """Tells a failure, and waits: the longer, the more there were in a row."""
        self.failures[store] = error
        self._tried.set()
        pause_s = pauses.next()
        _tell_failed(entry, store, error, pause_s)
        await asyncio.sleep(pause_s)

    async def _seal(
        self, log: PartitionLog, entry: JournalEntry, store: str, pauses: Backoff
    ) -> None:
        now_ms = time.time_ns() // 1_000_000
        loop = asyncio.get_running_loop()
        try:
            journal = await loop.run_in_executor(self._executor, _reopen, entry, log)
            with self._builds.under_way():
                async with self._stores.at_hand([], store) as directory:
                    seal = partial(seal_journal, backfilled=log.above is not None)
                    segment = await loop.run_in_executor(
                        self._executor, seal, directory, log.id, journal, now_ms
                    )
                    segment = await self._publish(segment, directory, store, entry, pauses)
                await self._manifest.add(log, segment, journal.index)
        except (DamagedFile, FileNotFoundError) as error:
            await self._take_out(log, entry, error)
            return
        entry.sealed = True
        self.sealed += 1
        self._warm.add(log, entry)
        _log.info(
            "sealed a journal",
            extra={
                "event": "sealed",
                "topic": log.id.topic,
                "partition": log.id.partition,
                "base_offset": segment.base_offset,
                "end_offset": segment.end_offset,
                "records": segment.record_count,
                "bytes": segment.bytes,
            },
        )

    async def _publish(
        self,
        segment: Segment,
        directory: Path,
        store: str,
        entry: JournalEntry,
        pauses: Backoff,
    ) -> Segment:
        """Puts a segment where it belongs, as often as it takes: it need not be written again."""
        while True:
            try:
                return await self._stores.publish(segment, directory, store)
            except PreconditionFailed as error:
                if self._stores.choose(segment.partition.topic_id) != store:
                    raise
                await self._pause(entry, store, error, pauses)

    @property
    def warm_bytes(self) -> int:
        """Of the sealed journals that stay."""
        return self._warm.bytes

    async def leave_to_warm(self, bytes_left: int | None) -> None:
        """Lets sealed journals have what is left on a disk, as far as they may; None: enough."""
        limit = self._warm_bytes_max
        self._warm.bytes_max = limit if bytes_left is None else max(0, min(limit, bytes_left))
        await self._delete(self._warm.take_excess())

    async def drop_before_start(self, log: PartitionLog) -> None:
        """Deletes the warm journals that lie before a log's start."""
        await self._delete(self._warm.take_before_start(log))

    async def _delete(self, journals: list[Path]) -> None:
        if journals:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._executor, _unlink, journals)


def _tell_failed(entry: JournalEntry, store: str, error: Exception, pause_s: float) -> None:
    _log.error(
        "a journal cannot be sealed, trying again",
        extra={
            "event": "seal_failed",
            "journal": str(entry.path),
            "store": store,
            "error": str(error),
            "retry_s": round(pause_s, 3),
        },
    )


def _reopen(entry: JournalEntry, log: PartitionLog) -> JournalFile:
    """The journal with its index, which the entry has for every journal that is not sealed."""
    assert entry.index is not None
    return JournalFile(entry.path, entry.index, entry.created_ms)


def _unlink(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
