"""Has snapshots made, each in a process that is killed when it is not wanted any more."""

import asyncio
import secrets
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from cachesvc.bounds import Bounds, environment
from cachesvc.errors import CacheError, DamagedFile, PreconditionFailed, StoreUnwritable
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import Segment, Snapshot
from cachesvc.policy.coverage import OffsetRange
from cachesvc.policy.snapshots import SnapshotPlan, complete_from, plan_snapshot
from cachesvc.snapshots import order as messages
from cachesvc.snapshots.order import Failed, Made, Order, Step, Task
from cachesvc.snapshots.shelf import Shelf
from cachesvc.store import layout
from cachesvc.store.salvage import damage_of

_LINE_BYTES_MAX = 1 << 20

Progress = Callable[[int, int], None]
"""Told pieces done, and pieces in total."""


class SnapshotMaker:
    """Makes snapshots of partitions. Belongs to one event loop.

    Args:
        store: Whose logs.
        shelf: Takes them.
        bounds: Of the process of each.
    """

    def __init__(self, store: LogStore, shelf: Shelf, bounds: Bounds) -> None:
        self._store = store
        self._shelf = shelf
        self._bounds = bounds

    async def make(
        self, log: PartitionLog, *, debezium: bool, progress: Progress
    ) -> Snapshot | None:
        """The new snapshot of a partition, live and durable; cancel-safe.

        None where there is nothing to add to the newest one, and where a source was damaged and is
        repaired now: the next try has others then.

        Args:
            log: Its top log.
            debezium: Whether ``op = d`` deletes a key.
            progress: Is told how far it is.

        Raises:
            PreconditionFailed: It takes more memory or time than it may.
            StoreUnwritable: The disk or the store does not take it.
            DamagedFile: A source cannot be read, and nothing is found wrong with it.
            CacheError: Its process has ended otherwise.
        """
        covered = OffsetRange(log.log_start_offset, log.sealed_end_offset)
        plan = plan_snapshot(covered, self._shelf.of(log.id))
        if plan is None:
            return None
        segments = [each for each in log.segments if each.end_offset > plan.read_from]
        sources = [*segments, *([plan.previous.file] if plan.previous else [])]
        stores = self._store.stores
        target = stores.choose(log.id.topic_id)
        with self._store.builds.under_way():
            try:
                async with stores.at_hand(sources, target) as directory:
                    order = self._order(log, plan, segments, directory, debezium=debezium)
                    made = await self._run(order, progress)
                    file = await stores.publish(_file(order, made), directory, target)
            except (FileNotFoundError, DamagedFile):
                if not await self._repair(log, segments, plan):
                    raise
                return None
            snapshot = Snapshot(file, order.complete_from_offset, made.read_count)
            await self._shelf.publish(snapshot)
        return snapshot

    async def check(self, snapshot: Snapshot) -> bool:
        """Takes a snapshot out if its file is damaged or gone; whether it was."""
        file = snapshot.file
        at_hand = self._store.stores.at_hand([file], file.store, missing_ok=True)
        async with at_hand as directory:
            damage = await asyncio.to_thread(damage_of, directory, file)
        if damage:
            await self._shelf.take_out(snapshot, damage)
        return bool(damage)

    def _order(
        self,
        log: PartitionLog,
        plan: SnapshotPlan,
        segments: Sequence[Segment],
        directory: Path,
        *,
        debezium: bool,
    ) -> Order:
        previous = plan.previous
        return Order(
            store=str(directory.absolute()),
            partition=log.id,
            base_offset=plan.covered.begin,
            end_offset=plan.covered.end,
            previous=previous.file.path if previous else "",
            segments=[segment.path for segment in segments],
            read_from=plan.read_from,
            complete_from_offset=complete_from(plan, log.lost),
            read_before=previous.read_count if previous else 0,
            debezium=debezium,
            now_ms=time.time_ns() // 1_000_000,
        )

    async def _repair(
        self, log: PartitionLog, segments: Sequence[Segment], plan: SnapshotPlan
    ) -> bool:
        """Whether something was wrong with a source, and it is repaired or gone now."""
        found = [await self._store.repair.mend(log, segment) for segment in segments]
        if plan.previous is not None:
            found.append(await self.check(plan.previous))
        return any(found)

    async def _run(self, order: Order, progress: Progress) -> Made:
        spill = self._store.path.absolute() / layout.STAGING / f"spill-{secrets.token_hex(8)}"
        await asyncio.to_thread(spill.mkdir, parents=True)
        try:
            async with _process() as process:
                assert process.stdin is not None
                process.stdin.write(messages.encode(Task(order, self._bounds, str(spill))) + b"\n")
                try:
                    async with asyncio.timeout(self._bounds.time_s_max):
                        return await _answer(process, progress)
                except TimeoutError as error:
                    raise PreconditionFailed(
                        f"{order.partition}: its snapshot took longer than it may: [jobs.snapshot]"
                        f" time_s_max is {self._bounds.time_s_max:g} s; raise it",
                        reason="SNAPSHOT_TIME_MAX",
                    ) from error
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, spill, ignore_errors=True))


@asynccontextmanager
async def _process() -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that makes a snapshot, which has ended when this has."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cachesvc.snapshots.process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
        limit=_LINE_BYTES_MAX,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await asyncio.shield(process.wait())


async def _answer(process: asyncio.subprocess.Process, progress: Progress) -> Made:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        answer = messages.decode_answer(line)
        if isinstance(answer, Step):
            progress(answer.done, answer.total)
        elif isinstance(answer, Made):
            return answer
        else:
            raise _error(answer)
    code = await process.wait()
    raise CacheError(
        f"the process of a snapshot ended with exit code {code}; nothing else is affected. If it "
        "was the system, for lack of memory, lower [jobs.snapshot] memory_bytes_max",
        reason="SNAPSHOT_PROCESS_DIED",
    )


def _error(failed: Failed) -> Exception:
    if failed.reason == "DAMAGED_FILE":
        return DamagedFile(failed.message)
    if failed.reason == "FILE_GONE":
        return FileNotFoundError(failed.message)
    if failed.reason == "UNWRITABLE":
        return StoreUnwritable(f"a snapshot cannot be written: {failed.message}")
    if failed.reason == "MEMORY_MAX":
        return PreconditionFailed(
            "a snapshot needs more memory than it may have: raise [jobs.snapshot] memory_bytes_max,"
            f" or spill_bytes_max for what does not fit ({failed.message})",
            reason="SNAPSHOT_MEMORY_MAX",
        )
    return CacheError(f"the process of a snapshot failed: {failed.message}")


def _file(order: Order, made: Made) -> Segment:
    return Segment(
        partition=order.partition,
        base_offset=order.base_offset,
        end_offset=order.end_offset,
        record_count=made.record_count,
        bytes=made.bytes,
        min_timestamp_ms=made.min_timestamp_ms,
        max_timestamp_ms=made.max_timestamp_ms,
        created_ms=order.now_ms,
        level=0,
        path=made.path,
    )
