"""The log store: every partition's log, its writer, its sealing and its reader, as one.

The process that opens it owns the directory until it ends.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO

from cachesvc.errors import StoreUnwritable
from cachesvc.log.backfill import Backfill
from cachesvc.log.builds import Builds
from cachesvc.log.catalogue_copies import CatalogueCopies
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.log.coverage_ranges import CoverageRanges
from cachesvc.log.damages import Damages
from cachesvc.log.epochs import MinedEpochs
from cachesvc.log.incarnations import TopicIncarnations
from cachesvc.log.locations import InJournal, InSegment, JournalEntry
from cachesvc.log.log_changes import LogChanges
from cachesvc.log.log_registry import LogRegistry
from cachesvc.log.manifest import Manifest
from cachesvc.log.memory_budget import MemoryBudget
from cachesvc.log.mending import Mending
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.reading import LogReader
from cachesvc.log.recovery import check_not_lost, check_wanted, recover_partition
from cachesvc.log.sealing import Sealer
from cachesvc.log.segment_repair import SegmentRepair
from cachesvc.log.store_lock import lock_directory
from cachesvc.log.store_settings import LogStoreSettings
from cachesvc.log.store_watch import StoreWatch
from cachesvc.log.stores import Stores
from cachesvc.log.waiting import WaitingPartitions
from cachesvc.log.writer import LogWriter
from cachesvc.model import PartitionId, Segment, TopicId
from cachesvc.policy.incarnations import next_incarnation
from cachesvc.store import layout
from cachesvc.store.catalogues import open_catalogue
from cachesvc.store.journal import JournalFile
from cachesvc.store.open_files import OpenFiles

_ROLL_CHECK_S = 1.0
_COPY_INTERVAL_S = 10.0
_MEND_WAIT_S = 5.0
_READ_THREADS = 4
_SYNC_THREADS = 8


class LogStore:
    """Owns a store directory. Made by ``open``; ``run`` has to run while it is used.

    Attributes:
        logs: The top log of every partition; ``ranges`` has those below it.
        catalogue: What is durable and small.
        copies: Copies of that, beside it.
        manifest: Changes which segments are live.
        incarnations: Which incarnation each topic is in.
        waiting: Partitions that can have no log yet.
        source_ends_told: How often the source's end of a partition was another one than before.
        epochs: Which leader epochs each log was mined from.
        reader: Reads frames of any partition.
        writer: Accepts frames.
        builds: Data files that are being written.
        ranges: What is cached of partitions, with missing ranges between.
        backfill: What of that is missing and wanted.
        changes: Has logs begin and end.
        repair: Takes damaged segments out.
        damages: Damage that was found of late.
        path: The directory.
        stores: That directory and the other stores.
        watch: Whether those answer.
    """

    def __init__(self, settings: LogStoreSettings, lock: IO[str]) -> None:
        self.path = settings.path
        self._lock = lock
        self._files = OpenFiles(settings.open_journals_max)
        self.stores = Stores(settings.path, settings.stores)
        self.logs = LogRegistry()
        self.ranges = CoverageRanges(self.logs)
        self.backfill = Backfill(self.ranges)
        self._open_stores = settings.open_stores
        self._threads = ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="read")
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._seal_thread = ThreadPoolExecutor(1, thread_name_prefix="seal")
        self.catalogue = CatalogueThread(lambda: open_catalogue(self.path))
        self.copies = CatalogueCopies(self.path, self.catalogue, _COPY_INTERVAL_S)
        self.manifest = Manifest(self.catalogue)
        self.incarnations = TopicIncarnations(self.catalogue)
        self.waiting = WaitingPartitions()
        self.source_ends_told = 0
        self.epochs = MinedEpochs(self.catalogue)
        self.reader = LogReader(self.stores, self._threads, settings.chunk_cache_bytes_max)
        self.damages = Damages()
        self.reader.on_damage = self.damages.note
        self.builds = Builds()
        self.mending = Mending(
            self.path,
            self.catalogue,
            self.builds,
            self._seal_thread,
            self.ranges,
            self.backfill,
            self.damages,
        )
        self.changes = LogChanges(
            self.catalogue,
            self.logs,
            self.ranges,
            self.incarnations,
            self.epochs,
            self.mending,
        )
        self.repair = SegmentRepair(
            self.stores,
            self.manifest,
            self.catalogue,
            self.builds,
            self._seal_thread,
            self.ranges,
            self.mending,
        )
        self.sealer = Sealer(
            self.stores,
            self.manifest,
            self.builds,
            self._seal_thread,
            settings.warm_bytes_max,
            self.mending.take_out,
            settings.waiting_bytes_max,
        )
        self.watch = StoreWatch(self.stores, self.stores_in_use)
        self.writer = LogWriter(
            self.path,
            self._files,
            self._write_thread,
            settings.seal,
            MemoryBudget(settings.memory_bytes_max),
            self.epochs,
            self.sealer.add,
        )
        self.writer.check_room = self.sealer.check_room

    @classmethod
    def open(
        cls, settings: LogStoreSettings, given_up: Callable[[], bool] = lambda: False
    ) -> "LogStore":
        """Opens or makes a store and recovers what it holds, unless that is given up. Blocking.

        Raises:
            ShuttingDown: It was given up; nothing is open, and nothing lost.
            StoreLocked: Another process owns it; the message says which.
            StoreFormatUnsupported: A newer version wrote it.
            DamagedFile: The catalogue cannot be read, or is gone and the segments are not.
            PreconditionFailed: The directory cannot be made or written.
            StoreUnwritable: The disk does not take what a start has to write.
        """
        check_wanted(given_up)
        lock = lock_directory(settings.path)
        try:
            check_not_lost(settings.path)
            store = cls(settings, lock)
        except BaseException:
            lock.close()
            raise
        try:
            store._recover(given_up)
        except OSError as error:
            store.close()
            raise StoreUnwritable(f"the store {settings.path} cannot be opened: {error}") from error
        except BaseException:
            store.close()
            raise
        return store

    def _recover(self, given_up: Callable[[], bool]) -> None:
        self.incarnations.load()
        self.epochs.load()
        starts = self.catalogue.call_blocking(lambda port: port.list_partitions())
        mined_from = self.catalogue.call_blocking(lambda port: port.list_mined_from())
        manifest: dict[PartitionId, list[Segment]] = {}
        live = self.catalogue.call_blocking(lambda port: port.list_segments())
        made = self.catalogue.call_blocking(lambda port: port.stores.list_made())
        for name, opened in self._open_stores(made).items():
            self.stores.put(name, opened)
        snapshots = self.catalogue.call_blocking(lambda port: port.snapshots.list())
        self.stores.prepare([*live, *(snapshot.file for snapshot in snapshots)])
        for segment in live:
            manifest.setdefault(segment.partition, []).append(segment)
        lost = self.catalogue.call_blocking(lambda port: port.list_lost())
        journals = layout.find_journals(self.path)
        for partition in sorted({*starts, *manifest, *journals}):
            check_wanted(given_up)
            segments = manifest.get(partition, [])
            files = journals.get(partition, layout.FoundJournals())
            first = segments[0].base_offset if segments else 0
            if files.top and not segments:
                first = layout.base_offset(files.top[0])
            recovered = recover_partition(
                self.path,
                partition,
                starts.get(partition, first),
                segments,
                files.top,
                files.backfills,
                self._files,
            )
            top = recovered.top
            if recovered.damaged:
                self.mending.note_found(top, recovered.damaged)
            top.lost = lost.get(partition, [])
            top.mined_from = mined_from.get(partition, top.log_start_offset)
            self.logs.add(top)
            self.incarnations.note(partition.topic_id)
            self.ranges.add(partition, recovered.lower)
            for log in self.ranges.of(partition):
                log.ended_by = self.incarnations.ended_by(partition.topic_id)
                self.writer.recovered(log)
                self.sealer.recovered(log)
        self.mending.load()

    # Partitions

    def get(self, partition: PartitionId) -> PartitionLog | None:
        """The log of a partition, if it is known."""
        return self.logs.get(partition)

    def all(self) -> list[PartitionLog]:
        """Every partition's top log, ordered by partition."""
        return self.logs.in_order()

    def every(self) -> list[PartitionLog]:
        """Every log, those of lower ranges included, in no order."""
        return [*self.logs.values(), *self.ranges.all_below()]

    def in_order(self, connection: str = "", topic: str = "") -> list[PartitionLog]:
        """The same, ordered by partition and offset; of one connection or topic, where named."""
        tops = self.logs.in_order(connection, topic)
        return [log for top in tops for log in self.ranges.of(top.id)]

    def stores_in_use(self) -> set[str]:
        """The names of those in which segments lie."""
        return {segment.store for log in self.every() for segment in log.segments}

    def topic_id(self, connection: str, topic: str) -> TopicId:
        """The present incarnation of a topic."""
        return self.incarnations.topic_id(connection, topic)

    def present(self, connection: str = "", topic: str = "") -> list[PartitionLog]:
        """The logs of topics in their present incarnation, by partition; of those named."""
        return [log for log in self.logs.in_order(connection, topic) if log.ended_by is None]

    def successor(self, log: PartitionLog) -> PartitionLog | None:
        """The log of the same partition in the topic's next incarnation, once there is one."""
        return self.logs.get(next_incarnation(log.id.topic_id).partition(log.id.partition))

    def is_to_come(self, log: PartitionLog) -> bool:
        """Whether the next incarnation is to have a log of that partition, and has none yet."""
        following = next_incarnation(log.id.topic_id)
        partition = following.partition(log.id.partition)
        return partition in self.waiting or not self.logs.numbers(following)

    def note_source_end(self, log: PartitionLog, high_watermark: int) -> None:
        """Notes where the source's records of a partition end that can be read."""
        if log.source.high_watermark != high_watermark:
            log.source.high_watermark = high_watermark
            self.source_ends_told += 1

    async def mend(self, log: PartitionLog, offset: int) -> bool:
        """Has the damaged file in which ``offset`` lies taken out; False if there is none.

        Returns once the log has another location of the offset, or soon: ask again then.

        Raises:
            StoreUnwritable: The disk does not take what is whole of it.
        """
        log = log.current
        if offset < log.log_start_offset:
            return True  # it was taken out already
        location = log.locate(offset)
        if isinstance(location, InSegment):
            return await self.repair.mend(log, location.segment)
        if not isinstance(location, InJournal) or location.journal.sealed:
            return False
        await self.mend_journal(log, location.journal)
        return True

    async def mend_journal(self, log: PartitionLog, entry: JournalEntry) -> None:
        """Has a damaged journal that is not sealed taken out; returns once it is, or soon.

        Raises:
            StoreUnwritable: The disk does not take what is whole of it.
        """
        entry.damaged = True
        self.writer.roll_if_due(log, time.time_ns() // 1_000_000)
        with suppress(TimeoutError):
            async with asyncio.timeout(_MEND_WAIT_S):
                await self.sealer.settled(log, entry)

    async def expire(self, log: PartitionLog, removed: list[Segment], log_start: int) -> bool:
        """Moves a log's start up and retires the segments before it; see ``Manifest.expire``."""
        expired = await self.manifest.expire(log, removed, log_start)
        if expired:
            await self.sealer.drop_before_start(log.current)
        return expired

    # Opening and closing

    async def run(self) -> None:
        """Writes, rolls and seals until cancelled or closed."""
        async with asyncio.TaskGroup() as tasks:
            parts = (self.sealer, self.repair, self.copies, self.watch)
            helpers = [tasks.create_task(part.run()) for part in parts]
            helpers.append(tasks.create_task(self._roll()))
            await self.writer.run()
            for helper in helpers:
                helper.cancel()

    async def _roll(self) -> None:
        while True:
            await asyncio.sleep(_ROLL_CHECK_S)
            self.tend()
            with suppress(StoreUnwritable):  # it is as good the next time
                await self.mending.forget_mended()

    def tend(self) -> None:
        """Does what time and finished work ask for: closes journals, and joins ranges."""
        self.writer.roll_due(time.time_ns() // 1_000_000)
        self.backfill.tend(self._join)

    def _join(self, log: PartitionLog) -> None:
        """Makes a range that came up to the one above a part of it, as soon as it is sealed."""
        self.writer.roll(log)
        written = log.log_end_offset == log.accepted_end_offset
        if written and all(entry.sealed for entry in log.journals):
            self.ranges.join(log)

    def close(self) -> None:
        """Makes journals durable and lets go of the directory. ``run`` has ended. Blocking."""
        for pool in (self._write_thread, self._seal_thread, self._threads):
            pool.shutdown()
        self.stores.close()
        active = [entry.file for log in self.every() if (entry := log.active) and entry.file]
        # Most have nothing left to write; the disk takes the rest of several in one go.
        with ThreadPoolExecutor(_SYNC_THREADS, thread_name_prefix="sync") as pool:
            for _ in pool.map(JournalFile.sync, active):
                pass
        self._files.close()
        self.catalogue.close()
        self._lock.close()
