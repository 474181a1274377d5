"""Where the partitions of a member of a shared subscription begin.

That is at the committed position; where there is none, where the call or the mode says, or with the
newest snapshot if the group begins with those. Such a start, and which snapshot it is, is stored
before anything is delivered: so whoever has the partition next goes on there, in the same one.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from cachesvc.clusters.sources import Source
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.waiting import why_it_waits
from cachesvc.model import Mode
from cachesvc.policy.sharing import PartitionName
from cachesvc.serving.bootstrap import Start, choose_starts
from cachesvc.serving.convert import StartRequest, SubscribeCall
from cachesvc.serving.starts import Starts
from cachesvc.serving.stream import Stream
from cachesvc.snapshots.shelf import Shelf
from cachesvc.subscriptions.group import Group
from cachesvc.subscriptions.members import Member, name_of
from cachesvc.subscriptions.subscriptions import Subscription, Subscriptions

_Resolved = tuple[PartitionLog, int]


@dataclass(frozen=True, slots=True)
class Shared:
    """One Subscribe call of a member.

    Attributes:
        call: What was asked for.
        source: The connection.
        subscription: Its durable side.
        group: Who shares it.
        member: Who called.
        stream: What the caller gets.
    """

    call: SubscribeCall
    source: Source
    subscription: Subscription
    group: Group
    member: Member
    stream: Stream


@dataclass(frozen=True, slots=True)
class Begin:
    """Where a partition begins, and under which epoch it is its member's."""

    epoch: int
    start: Start

    @property
    def name(self) -> PartitionName:
        """Its name, whichever the incarnation of its topic."""
        return name_of(self.start.log.id)


class MemberStarts:
    """Says where partitions of a member begin. Belongs to one call.

    Args:
        store: The logs.
        subscriptions: Stores starts.
        shelf: Has the snapshots that partitions may begin with.
        shared: Whose partitions.
    """

    def __init__(
        self, store: LogStore, subscriptions: Subscriptions, shelf: Shelf, shared: Shared
    ) -> None:
        self._store = store
        self._subscriptions = subscriptions
        self._shelf = shelf
        self._call = shared.call
        self._source = shared.source
        self._subscription = shared.subscription
        self._group = shared.group
        self._member = shared.member
        self._full = shared.call.mode is Mode.FULL

    async def resolve(
        self, logs: Collection[PartitionLog], gained: Mapping[PartitionName, int]
    ) -> tuple[list[Begin], dict[PartitionName, str]]:
        """Where partitions begin; what was not stored is now, and their ends are in the group.

        Args:
            logs: Of the partitions.
            gained: Under which epochs they are this member's.

        Returns:
            Where each begins that was not lost meanwhile, and why others cannot be begun yet.

        Raises:
            PreconditionFailed: One is to begin with a snapshot, and there is none that serves
                (``SNAPSHOT_UNAVAILABLE``).
            SourceUnreachable: The source has to be asked and does not answer at all.
        """
        # What the member before has committed counts, also if it is on its way.
        await self._subscriptions.settled(self._subscription)
        stored = {name_of(each) for each in self._subscription.positions}
        starts = Starts(self._store, self._source)
        unknown: dict[PartitionName, str] = {}
        found: list[_Resolved] = []
        for of, start, subscription in self._questions(logs, stored):
            resolved = await starts.resolve(of, self._call.mode, start, subscription)
            for partition, position in resolved.positions.items():
                log = self._store.get(partition)
                if log is not None:
                    found.append((log, position))
            for partition, meant in resolved.unknown.items():
                unknown[name_of(partition)] = why_it_waits(starts.failed[partition])
                self._subscription.awaited.setdefault(name_of(partition), meant)
        later = [log for log in logs if name_of(log.id) not in stored | self._first]
        found += [(log, log.log_start_offset) for log in later]
        found = await self._with_ends(starts, found, unknown)
        # Like an exclusive stream, a group has snapshots of what was there when it began.
        from_log = {name_of(log.id) for log in later} | self._subscription.awaited.keys()
        chosen = choose_starts(
            self._call, found, stored | from_log, self._subscription, self._shelf
        )
        begins = [Begin(gained[name_of(each.log.id)], each) for each in chosen]
        return await self._stored(begins, stored), unknown

    @property
    def _first(self) -> frozenset[PartitionName]:
        return self._group.first or frozenset()

    def _questions(
        self, logs: Iterable[PartitionLog], positioned: Collection[PartitionName]
    ) -> Iterator[tuple[list[PartitionLog], StartRequest, Subscription]]:
        """Of which partitions to ask what; those that came later begin at their logs' start."""
        subscription = self._subscription
        # What another member has stored since the group began says nothing of the rest.
        blank = Subscription(subscription.record, awaited=subscription.awaited)
        as_at_begin = blank if self._group.unpositioned else subscription
        stored: list[PartitionLog] = []
        postponed: list[PartitionLog] = []
        anew: list[PartitionLog] = []
        for log in logs:
            name = name_of(log.id)
            if name in positioned:
                stored.append(log)
            elif name in self._first:
                (postponed if name in subscription.awaited else anew).append(log)
        yield stored, StartRequest(), subscription
        yield postponed, StartRequest(), as_at_begin
        yield anew, self._call.start, as_at_begin

    async def _with_ends(
        self, starts: Starts, found: list[_Resolved], unknown: dict[PartitionName, str]
    ) -> list[_Resolved]:
        """Those whose ends are known, of a full sync; why others wait is added to ``unknown``."""
        if not self._full:
            return found
        group = self._group
        if not self._call.end:
            endless = [log for log, _ in found if log.id not in group.ends]
            for partition, end in (await starts.source_ends(endless)).items():
                group.ends.setdefault(partition, end)
        for log, _ in found:
            if log.id not in group.ends:
                unknown[name_of(log.id)] = why_it_waits(starts.failed[log.id])
        return [each for each in found if each[0].id in group.ends]

    async def _stored(self, begins: list[Begin], stored: Collection[PartitionName]) -> list[Begin]:
        """Makes starts durable, with their snapshots; those that were lost meanwhile are left out.

        From the look at who has a partition to the queue of what is stored nothing comes between,
        so that nothing is stored behind what another member has stored since.
        """
        begins = self._kept(begins)
        fresh = {each.start.log.id: each.start for each in begins if each.name not in stored}
        read = {at: start.snapshot for at, start in fresh.items() if start.snapshot is not None}
        await self._shelf.begin(self._subscription.record.name, read)
        begins = self._kept(begins)
        kept = {each.start.log.id for each in begins}
        if self._full:
            self._note_full_sync(begins)
        positions = {at: start.position for at, start in fresh.items() if at in kept}
        await self._subscriptions.store_start(self._subscription, self._group.epoch, positions)
        return begins

    def _kept(self, begins: Iterable[Begin]) -> list[Begin]:
        """Those that are this member's still, and to stay."""
        return [each for each in begins if self._group.keeps(self._member, each.name, each.epoch)]

    def _note_full_sync(self, begins: Iterable[Begin]) -> None:
        """Has the group know from where to where a full sync goes."""
        group = self._group
        for each in begins:
            start, partition = each.start, each.start.log.id
            if start.snapshot is not None and not self._call.end:
                # It may be newer than the group, where a member before has not come to begin.
                end = group.ends[partition]
                group.ends[partition] = max(end, start.snapshot.end_offset)
            group.whole.full_start.setdefault(partition, start.position)
        group.whole.full_end.update(group.ends)
        known = {name_of(partition) for partition in group.ends}
        group.whole.full_end_open = not known >= group.names
