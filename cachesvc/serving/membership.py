"""What a member of a shared subscription reads: follows its group, and has its stream follow it.

The group says which partitions a member has. What is new there begins where ``member_starts`` says.
What is gone is taken out of the stream between two deliveries, and the client is told. A partition
that nobody can say the start of is *awaited*: it stays with its member, which tries again, and the
client is told why.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping, Sequence

from cachesvc.assignment.assignments import Assignments
from cachesvc.assignment.log_creation import RETRY_S
from cachesvc.clusters.sources import Sources
from cachesvc.errors import PreconditionFailed, SourceUnreachable
from cachesvc.log.log_store import LogStore
from cachesvc.model import Mode, PartitionId
from cachesvc.policy.sharing import PartitionName
from cachesvc.serving.bootstrap import SNAPSHOT_UNAVAILABLE
from cachesvc.serving.convert import partition_id
from cachesvc.serving.cursor import Cursor
from cachesvc.serving.joining import GONE_AFTER_S, check_known
from cachesvc.serving.member_starts import Begin, MemberStarts, Shared
from cachesvc.serving.selection import logs_of, topics_of, waiting_of
from cachesvc.serving.starts import start_in_absence
from cachesvc.serving.stream_events import partitions_assigned, partitions_revoked
from cachesvc.subscriptions.members import name_of

_log = logging.getLogger(__name__)


class Membership:
    """Brings a member's partitions into its stream and out again. Belongs to one call.

    Args:
        store: The logs.
        sources: Tells when there are others.
        assignments: Makes the logs of topics that are new to the cache.
        starts: Says where partitions begin.
        shared: Whose partitions.
    """

    def __init__(
        self,
        store: LogStore,
        sources: Sources,
        assignments: Assignments,
        starts: MemberStarts,
        shared: Shared,
    ) -> None:
        self._store = store
        self._sources = sources
        self._assignments = assignments
        self._starts = starts
        self._call = shared.call
        self._source = shared.source
        self._subscription = shared.subscription
        self._group = shared.group
        self._member = shared.member
        self._stream = shared.stream
        self._bounded = shared.call.mode is Mode.FULL or bool(shared.call.end)
        self._has: dict[PartitionName, int] = {}  # with epochs, what the stream has or is about to
        self._telling: set[tuple[PartitionName, int]] = set()  # lost, and not taken out yet
        self._awaited: dict[PartitionName, str] = {}  # with the reasons
        self._gone_s: dict[str, float] = {}  # since when the cluster has no such topics
        self._changed = asyncio.Event()
        shared.member.wake = self._changed.set
        shared.stream.ends = shared.group.ends
        shared.stream.nothing_follows = self._nothing_follows

    async def start(self) -> None:
        """Has the group know all partitions, and where it ends if the call says so.

        Raises:
            InvalidRequest: The call names a partition that the subscription does not have.
        """
        call, source = self._call, self._source
        await self._assignments.create_logs(source, topics_of(self._subscription.record, source))
        names = self._names()
        check_known("end", call.end, names)
        check_known("start.positions", call.start.positions or {}, names)
        for name, at in call.end.items():
            present = self._store.topic_id(source.name, name[0]).incarnation
            self._group.ends[partition_id(source.name, name, at, present)] = at.offset
        self._cover()

    async def run(self) -> None:
        """Follows the group until cancelled.

        Raises:
            CacheError: A partition of this member cannot be begun, for good.
        """
        self._sources.subscribe(self._changed.set)
        try:
            while True:
                self._changed.clear()
                await self._look()
                waits = [self._group.next_s, RETRY_S if self._awaited else None]
                pause_s = min([s for s in waits if s is not None] + [self._group.look_every_s])
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._changed.wait()
        finally:
            self._sources.unsubscribe(self._changed.set)

    @property
    def _first(self) -> frozenset[PartitionName]:
        return self._group.first or frozenset()

    def _names(self) -> set[PartitionName]:
        record = self._subscription.record
        names = {name_of(log.id) for log in logs_of(record, self._store, self._source)}
        names |= {name_of(each) for each in waiting_of(record, self._store, self._source)}
        return names

    def _cover(self) -> None:
        """Shares what there is; where the group has an end, what there was at its begin."""
        if self._bounded and self._group.names:
            return
        names = self._names()
        self._group.cover(names & self._call.end.keys() if self._call.end else names)

    async def _look(self) -> None:
        """Has the stream read what the group says now."""
        self._cover()
        self._group.balance_overdue()
        if self._group.end_if_stalled(self._member):
            _log.warning(
                "a member of a shared subscription takes nothing; others get its partitions",
                extra={
                    "event": "member_stalled",
                    "subscription": self._subscription.record.name,
                    "member": self._member.name,
                },
            )
        held = self._group.held(self._member)
        keeps = {name: each.epoch for name, each in held.items() if each.revoked_s is None}
        lost = [name for name, epoch in self._has.items() if keeps.get(name) != epoch]
        if lost:
            self._lose(lost)
        unbegun = {
            name: each.epoch
            for name, each in held.items()
            if each.revoked_s is not None and (name, each.epoch) not in self._telling
        }
        if unbegun:
            self._group.told(unbegun)
        gained = {name: epoch for name, epoch in keeps.items() if name not in self._has}
        self._awaited = {name: why for name, why in self._awaited.items() if name in gained}
        if gained:
            await self._gain(gained)
        self._follow()
        if self._group.complete:
            self._stream.look_again()

    def _lose(self, names: Iterable[PartitionName]) -> None:
        lost = {name: self._has.pop(name) for name in names}
        self._telling |= set(lost.items())

        def tell() -> bytes:
            cursors = [self._stream.remove(*name) for name in lost]
            self._telling -= set(lost.items())
            self._group.told(lost)
            return partitions_revoked(cursors)

        self._stream.tell_first(tell)

    async def _gain(self, gained: Mapping[PartitionName, int]) -> None:
        """Begins what is new, as far as its start is known."""
        record = self._subscription.record
        logs = {name_of(log.id): log for log in logs_of(record, self._store, self._source)}
        for name in gained.keys() - logs.keys():
            self._await_log(name)
        known = [logs[name] for name in gained if name in logs]
        try:
            begins, unknown = await self._starts.resolve(known, gained)
        except (SourceUnreachable, PreconditionFailed) as error:  # source and store are tried again
            if error.reason == SNAPSHOT_UNAVAILABLE:
                raise
            unknown = dict.fromkeys(gained.keys() & logs.keys(), f"{error.reason}: {error}")
            begins = []
        self._awaited.update(unknown)
        begins = [each for each in begins if self._group.keeps(self._member, each.name, each.epoch)]
        if begins:
            self._begin(begins)

    def _begin(self, begins: Sequence[Begin]) -> None:
        for each in begins:
            self._has[each.name] = each.epoch
            self._awaited.pop(each.name, None)
            self._subscription.awaited.pop(each.name, None)

        def tell() -> bytes:
            cursors = [self._enter(each) for each in begins]
            return partitions_assigned(cursors, [each.start for each in begins])

        self._stream.tell_first(tell)

    def _enter(self, begin: Begin) -> Cursor:
        start = begin.start
        cursor = self._stream.add(start.log, start.position, start.snapshot)
        cursor.epoch = begin.epoch
        return cursor

    def _nothing_follows(self) -> bool:
        return not self._telling and self._group.note_done(self._has)

    def _await_log(self, name: PartitionName) -> None:
        partition = self._present(name)
        self._awaited[name] = self._store.waiting.why(partition) or "SOURCE_UNREACHABLE"
        if name in self._first and name not in self._subscription.awaited:
            self._subscription.awaited[name] = start_in_absence(
                partition, self._call.mode, self._call.start, self._subscription
            )

    def _present(self, name: PartitionName) -> PartitionId:
        topic, number = name
        return self._store.topic_id(self._source.name, topic).partition(number)

    def _follow(self) -> None:
        """Has the stream tell of awaited partitions; those of topics that are gone, forgotten."""
        now_s = time.monotonic()
        for name in list(self._awaited):
            topic = name[0]
            if not self._source.lacks(topic) or self._store.get(self._present(name)) is not None:
                self._gone_s.pop(topic, None)
                continue
            # A broker that has just started may not know all topics yet.
            if now_s - self._gone_s.setdefault(topic, now_s) >= GONE_AFTER_S:
                del self._awaited[name]
                self._subscription.awaited.pop(name, None)
                self._group.drop(name)
        self._stream.wait_for({self._present(name): why for name, why in self._awaited.items()})
