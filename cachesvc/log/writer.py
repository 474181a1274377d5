"""Appends: from an accepted frame to a published one.

One coroutine and one thread write all journals. While the thread writes, further frames gather, so
a busy service writes many frames with one call and an idle one writes each at once. Frames of one
partition are published in the order in which they were accepted.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cachesvc.errors import PreconditionFailed, ShuttingDown, StoreUnwritable
from cachesvc.log.epochs import MinedEpochs
from cachesvc.log.locations import JournalEntry
from cachesvc.log.memory_budget import MemoryBudget
from cachesvc.log.partition_log import PartitionLog
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH
from cachesvc.policy.sealing import SealLimits, should_seal
from cachesvc.store import layout
from cachesvc.store.frames import Frame
from cachesvc.store.journal import JournalFile
from cachesvc.store.open_files import OpenFiles
from cachesvc.store.refusals import unwritable

_LOOKED_AT_MIN = 1_000
_ROUNDS = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Append:
    log: PartitionLog
    frame: Frame
    done: "asyncio.Future[None]"


@dataclass(slots=True)
class _Work:
    """What the thread does for one partition: perhaps begin a journal, then write frames."""

    log: PartitionLog
    journal: JournalFile | None
    appends: list[_Append]
    error: Exception | None = None


class LogWriter:
    """Accepts frames and publishes them once they are in a journal. Belongs to one event loop.

    Args:
        store: The store's directory.
        files: Descriptors of journals.
        executor: A single thread.
        limits: When a journal is full.
        budget: Decides how many published frames stay in memory.
        epochs: Told of every append's leader epoch.
        on_rolled: Called with a journal that takes no more appends.
    """

    def __init__(
        self,
        store: Path,
        files: OpenFiles,
        executor: Executor,
        limits: SealLimits,
        budget: MemoryBudget,
        epochs: MinedEpochs,
        on_rolled: Callable[[PartitionLog, JournalEntry], None],
    ) -> None:
        self._store = store
        self._files = files
        self._executor = executor
        self._limits = limits
        self._budget = budget
        self._epochs = epochs
        self._on_rolled = on_rolled
        self._waiting: list[_Append] = []
        self._wake = asyncio.Event()
        self._closed = False
        self.refused = ""
        """Why the disk did not take the last append; empty once it took one."""
        # Logs with a journal that takes appends, those that were looked at longest ago first.
        self._open: OrderedDict[PartitionLog, None] = OrderedDict()
        self.on_published: Callable[[PartitionLog, Frame], None] = lambda log, frame: None
        """Called with every frame that was published; must not wait."""
        self.check_room: Callable[[PartitionLog], None] = lambda log: None
        """Called before a frame is accepted; raises ``StoreUnwritable`` where there is no room."""

    def accept(
        self, log: PartitionLog, frame: Frame, leader_epoch: int = UNKNOWN_EPOCH
    ) -> "asyncio.Future[None]":
        """Takes a frame that begins at the log's accepted end; answers when it is published.

        ``leader_epoch`` is that of the record batch in which the frame ends. It counts in the log
        that grows with the source.

        Raises:
            PreconditionFailed: The frame does not begin there (``NOT_CONTIGUOUS``).
            StoreUnwritable: A store is full (``STORE_FULL``).
            ShuttingDown: The service is about to end.
        """
        if self._closed:
            raise ShuttingDown("the service is about to end")
        self.check_room(log)
        if frame.base_offset != log.accepted_end_offset:
            raise PreconditionFailed(
                f"{log.id}: the append begins at offset {frame.base_offset}, the log ends at "
                f"{log.accepted_end_offset}",
                reason="NOT_CONTIGUOUS",
            )
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if frame.end_offset == frame.base_offset:
            done.set_result(None)  # nothing to write: it covers nothing
            return done
        log.accepted_end_offset = frame.end_offset
        if log.above is None:
            self._epochs.note(log.id, frame.base_offset, leader_epoch)
        self._waiting.append(_Append(log, frame, done))
        self._wake.set()
        return done

    async def run(self) -> None:
        """Writes until ``close``; then writes what is left and returns."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._write_waiting()
            if self._closed:
                return

    def close(self) -> None:
        """Accepts nothing more; ``run`` ends once everything accepted is written."""
        self._closed = True
        self._wake.set()

    def recovered(self, log: PartitionLog) -> None:
        """Enters the journal that takes the appends of a log which was there before."""
        if log.active is not None:
            self._open[log] = None

    def roll_due(self, now_ms: int) -> None:
        """Closes journals that are full or old enough, also where nothing is appended any more.

        Looks at a share of them, at others each time: what it costs is bounded however many there
        are, and each is looked at every ``_ROUNDS`` calls.
        """
        share = max(_LOOKED_AT_MIN, len(self._open) // _ROUNDS)
        for log in list(islice(self._open, share)):
            del self._open[log]
            self.recovered(log)
            self.roll_if_due(log, now_ms)

    def roll_if_due(self, log: PartitionLog, now_ms: int) -> None:
        """Closes a log's journal if it is due; at one of the next calls if it is being written."""
        if log.accepted_end_offset == log.log_end_offset:
            self._roll_if_due(log, now_ms)
        elif log in self._open:
            self._open.move_to_end(log, last=False)

    def roll_soon(self, logs: Iterable[PartitionLog]) -> list[tuple[PartitionLog, JournalEntry]]:
        """Closes journals, however little is in them, as soon as what is being written is.

        What is appended later goes to journals of their own. Answers all that are to be sealed, in
        the order of ``logs``; there is none for a log of which nothing waits.
        """
        found = [
            (log, entry)
            for log in logs
            for entry in log.journals
            if not entry.sealed and entry.end_offset > entry.base_offset
        ]
        for _, entry in found:
            entry.due = True
        now_ms = time.time_ns() // 1_000_000
        for log, _ in found:
            self.roll_if_due(log, now_ms)
        return found

    def _roll_if_due(self, log: PartitionLog, now_ms: int) -> None:
        active = log.active
        if active is None or active.file is None:
            return
        index = active.file.index
        if index.end_offset == index.base_offset:
            return
        full = should_seal(
            index.file_bytes, index.record_count, active.created_ms, now_ms, self._limits
        )
        if full is not None or active.damaged or active.due:
            self._close(log, active, active.file)

    def roll(self, log: PartitionLog) -> None:
        """Closes a log's journal as it is, if everything accepted is in it."""
        active = log.active
        if active is None or active.file is None or log.accepted_end_offset != log.log_end_offset:
            return
        self._close(log, active, active.file)

    def _close(self, log: PartitionLog, entry: JournalEntry, file: JournalFile) -> None:
        file.close()
        entry.file = None
        self._open.pop(log, None)
        self._on_rolled(log, entry)

    async def _write_waiting(self) -> None:
        appends, self._waiting = self._waiting, []
        now_ms = time.time_ns() // 1_000_000
        works: dict[int, _Work] = {}
        for append in appends:
            key = id(append.log)
            if key not in works:
                self._roll_if_due(append.log, now_ms)
                active = append.log.active
                works[key] = _Work(append.log, active.file if active else None, [])
            works[key].appends.append(append)
        await self._keep_epochs(list(works.values()))
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, self._write, list(works.values()), now_ms)
        for work in works.values():
            self._finish(work, now_ms)

    async def _keep_epochs(self, works: list[_Work]) -> None:
        """What is known of a log must never be older than what it holds."""
        unkept = self._epochs.unkept(work.log.id for work in works)
        if not unkept:
            return
        try:
            await self._epochs.keep(unkept)
        except StoreUnwritable as error:
            for work in works:
                if work.log.id in unkept:
                    work.error = error

    def _write(self, works: list[_Work], now_ms: int) -> None:
        """In the thread."""
        for work in works:
            if work.error is not None:
                continue
            try:
                if work.journal is None:
                    base = work.appends[0].frame.base_offset
                    top = work.log.above is None
                    new_path = layout.journal_path if top else layout.backfill_path
                    path = self._store / new_path(work.log.id, base)
                    work.journal = JournalFile.create(path, work.log.id, base, now_ms, self._files)
                work.journal.append([append.frame for append in work.appends])
            except Exception as error:  # whatever it is, it is this partition's
                work.error = error

    def _finish(self, work: _Work, now_ms: int) -> None:
        log, journal = work.log, work.journal
        if journal is not None and log.active is None:
            log.journals.append(
                JournalEntry(
                    journal.path,
                    journal.index.base_offset,
                    journal.index.end_offset,
                    journal.index.file_bytes,
                    journal.created_ms,
                    journal.index,
                    journal,
                )
            )
            self._open[log] = None
        if work.error is not None:
            self._refuse(work, work.error)
            return
        assert journal is not None
        self.refused = ""
        journal.index.newest_mined_ms = max(journal.index.newest_mined_ms, now_ms)
        mined_s = time.monotonic()
        for append in work.appends:
            log.publish(append.frame, mined_s)
            self.on_published(log, append.frame)
            self._budget.add(log, append.frame)
            if not append.done.done():
                append.done.set_result(None)

    def _refuse(self, work: _Work, error: Exception) -> None:
        """Fails these appends and all accepted behind them; the reader sends them again."""
        behind = [append for append in self._waiting if append.log is work.log]
        self._waiting = [append for append in self._waiting if append.log is not work.log]
        work.log.accepted_end_offset = work.log.log_end_offset
        work.log.notify()
        if isinstance(error, OSError | StoreUnwritable):
            self.refused = str(error)
        else:
            _log.error(
                "a journal failed in a way that nobody foresaw",
                extra={"event": "append_failed", "log": str(work.log.id)},
                exc_info=error,
            )
        for append in [*work.appends, *behind]:
            if not append.done.done():
                append.done.set_exception(_refusal(work.log, error))


def _refusal(log: PartitionLog, error: Exception) -> PreconditionFailed:
    if isinstance(error, OSError | StoreUnwritable):
        return unwritable(str(log.id), error)
    return PreconditionFailed(f"{log.id}: cannot append: {error!r}", reason="APPEND_FAILED")
