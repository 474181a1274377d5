"""Keeps each store within its budget of bytes, whatever is mined.

Not a job: a disk fills faster than jobs run. What a store holds is looked at every few seconds, and
where it is too much, something has to go, in this order:

1. sealed journals that are kept for fast reading: their records are in segments,
2. retired files, without their grace time,
3. snapshots that others superseded and nobody reads,
4. segments, as ``policy.shedding`` says, down to ``_TARGET_SHARE`` of the budget,
5. where that is not enough, mining waits (``StoreLevels.check_room``), and journals are sealed, so
   that they can go as segments, which are smaller besides.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from cachesvc.errors import PreconditionFailed
from cachesvc.jobs.dropping import Dropping
from cachesvc.jobs.retired_files import RetiredFiles
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import LOCAL_STORE
from cachesvc.policy.shedding import SheddingPlan, TopicSegments, plan_shedding
from cachesvc.snapshots.shelf import Shelf
from cachesvc.store.drops_port import DropCause
from cachesvc.subscriptions.store_levels import StoreLevel, StoreLevels
from cachesvc.subscriptions.topic_sizes import TopicSizes

_log = logging.getLogger(__name__)
_LOOK_S = 5.0
_TARGET_SHARE = 0.95
"""Of the budget, to which a store sheds, so that it does not do so at every look."""
_KEPT_SHARE_LOOKED_AT = 0.1
"""Of the budget; whether less than that may not go is not looked at."""
_LOOKS_A_KEPT = 12
"""Looks until it is found out again what may not go."""


class Gather(Protocol):
    """Answers every topic with what it has now."""

    def __call__(self) -> list[TopicSizes]: ...


class Shedding:
    """Looks at the stores that have a budget. Belongs to one event loop.

    Args:
        store: Whose stores.
        gather: Tells what topics have.
        retired: Files that nothing names any more.
        budgets: Bytes by store; may change meanwhile.
        levels: Is told what was found.
        shelf: Has the snapshots.
    """

    def __init__(
        self,
        store: LogStore,
        gather: Gather,
        retired: RetiredFiles,
        budgets: Mapping[str, int],
        levels: StoreLevels,
        shelf: Shelf,
    ) -> None:
        self._store = store
        self._shelf = shelf
        self._gather = gather
        self._retired = retired
        self._budgets = budgets
        self._levels = levels
        self._looks = 0

    async def run(self) -> None:
        """Looks again and again until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Looks at each store once; one that cannot be helped for now keeps no other waiting."""
        for name, bytes_max in list(self._budgets.items()):
            try:
                await self._keep(name, bytes_max)
            except (OSError, PreconditionFailed) as error:
                _log.warning(
                    "a store cannot be kept within its budget, trying again",
                    extra={"event": "shedding_failed", "store": name, "error": str(error)},
                )
        self._looks += 1

    async def _keep(self, name: str, bytes_max: int) -> None:
        held, retired = await self._held(name)
        if held + retired > bytes_max and retired:
            await self._retired.delete_now(name)
            held, retired = await self._held(name)
        if name == LOCAL_STORE:
            await self._store.sealer.leave_to_warm(bytes_max - held - retired)
        full = ""
        if held > bytes_max and await self._shelf.leave_newest(name):
            await self._retired.delete_now(name)
            held, retired = await self._held(name)
        if held > bytes_max:
            dropped, left = await self._shed(name, held, bytes_max)
            await self._retired.delete_now(name)
            held -= dropped
            if held > bytes_max:
                full = f"it holds {held:,} bytes of {bytes_max:,}, and {left:,} of them may not go"
                if name == LOCAL_STORE:
                    self._seal(held - bytes_max)
        kept = await self._kept(name, held, bytes_max)
        before = self._levels.all().get(name)
        if full and not (before and before.full):
            fields = {"event": "store_full", "store": name, "bytes": held, "bytes_max": bytes_max}
            _log.error("a store is full, and nothing of it may go: mining waits", extra=fields)
        self._levels.note(name, StoreLevel(held, bytes_max, kept, full))

    async def _held(self, name: str) -> tuple[int, int]:
        """Bytes of segments, journals and snapshots, and of retired files."""
        topics = [topic.segments for topic in self._gather()]
        held = self._shelf.bytes_in(name) + await asyncio.to_thread(_bytes_in, topics, name)
        files = await self._store.catalogue.call(lambda port: port.list_retired())
        return held, sum(file.bytes for file in files.values() if file.store == name)

    async def _shed(self, name: str, held: int, bytes_max: int) -> tuple[int, int]:
        """Drops what has to go; answers its bytes, and those that may not go."""
        topics = self._gather()
        over = held - int(bytes_max * _TARGET_SHARE)
        plan = await _plan(topics, name, over)
        dropping = Dropping(self._store)
        detail = f"store {name} held {held:,} bytes, its budget is {bytes_max:,}"
        dropped = 0
        try:
            for topic in topics:
                counts = plan.dropped.get(topic.topic, ())
                for log, planned, count in zip(
                    topic.logs, topic.segments.logs, counts, strict=False
                ):
                    if count:
                        segments = planned.segments[:count]
                        here = sum(s.bytes + s.rejects_bytes for s in segments if s.store == name)
                        if await dropping.drop(log, segments, DropCause.STORE_BYTES, detail, name):
                            dropped += here
        finally:
            await dropping.note()
        if dropped:
            fields = {"event": "shed", "store": name, **dropping.counts}
            _log.warning("a store was over its budget and has shed records", extra=fields)
        return dropped, held - (over - plan.over_bytes)

    async def _kept(self, name: str, held: int, bytes_max: int) -> int:
        """What of a store may not go, if that is much."""
        before = self._levels.all().get(name)
        if self._looks % _LOOKS_A_KEPT and before is not None:
            return before.kept_bytes
        over = held - int(bytes_max * _KEPT_SHARE_LOOKED_AT)
        if over <= 0:
            return 0
        plan = await _plan(self._gather(), name, over)
        return held - (over - plan.over_bytes) if plan.over_bytes else 0

    def _seal(self, wanted_bytes: int) -> None:
        """Has the largest journals sealed, which hold so much."""
        waiting = sorted(
            ((sum(e.bytes for e in log.journals if not e.sealed), log) for log in self._every()),
            key=lambda each: each[0],
            reverse=True,
        )
        chosen: list[PartitionLog] = []
        for size, log in waiting:
            if wanted_bytes <= 0 or not size:
                break
            chosen.append(log)
            wanted_bytes -= size
        self._store.writer.roll_soon(chosen)

    def _every(self) -> Iterable[PartitionLog]:
        return self._store.every()


async def _plan(topics: Sequence[TopicSizes], name: str, over: int) -> SheddingPlan:
    now_ms = time.time_ns() // 1_000_000
    segments = [topic.segments for topic in topics]
    return await asyncio.to_thread(plan_shedding, segments, name, over, now_ms)


def _bytes_in(topics: Sequence[TopicSegments], name: str) -> int:
    return sum(topic.bytes_in(name) for topic in topics)
