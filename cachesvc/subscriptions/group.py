"""The members of a shared subscription, and which of them has which partition.

Invariant: a partition is with one member at most, under an epoch that nobody had before, and
commits of any other epoch are refused. It changes hands in this order: the member that has it is to
lose it (*revoked*); its stream delivers nothing more and says so (*told*); what was delivered is
committed, or the bound for that is over; only then it is free and another member gets it, to begin
at what is committed. A member whose stream breaks off frees all it had at once.

A group lives from its first member to its last. Nothing of it is durable but the positions, and the
subscription's epoch, which a new group raises. It decides without waiting, on its clock, and wakes
members.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from cachesvc.errors import MemberStalled, PreconditionFailed, Superseded
from cachesvc.model import PartitionId
from cachesvc.policy.sharing import PartitionName, share
from cachesvc.subscriptions.members import Holding, Member, SharingBounds, name_of
from cachesvc.subscriptions.subscriber import Subscriber

_EPOCHS = 1_000_000_000
"""Epochs that a group can give to assignments before they would meet those of the next group."""


class Group:
    """The members of one subscription. Belongs to one event loop.

    Args:
        epoch: The subscription's, as this group's first member raised it.
        stored: The subscription's positions as they are now.
        bounds: How long others wait for a member.
        clock: Monotonic seconds.

    Attributes:
        members: By name, in the order in which they came; those included that have finished.
        ends: Where a group ends that has an end, as far as that is known.
        whole: Stands for all members where it counts whether a full sync is done.
        complete: Whether everything up to the end was delivered, of all partitions.
        first: The partitions there were when it began; None before anybody has said so.
        unpositioned: Whether the subscription had no positions then.
    """

    def __init__(
        self,
        epoch: int,
        stored: Callable[[], Mapping[PartitionId, int]],
        bounds: SharingBounds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.epoch = epoch
        self.members: dict[str, Member] = {}
        self.ends: dict[PartitionId, int] = {}
        self.whole = Subscriber(epoch, full_end_open=True)
        self.complete = False
        self.first: frozenset[PartitionName] | None = None
        self.unpositioned = not stored()
        self._stored = stored
        self._bounds = bounds
        self._clock = clock
        self._names: set[PartitionName] = set()
        self._holdings: dict[PartitionName, Holding] = {}
        self._revoked: dict[PartitionName, Holding] = {}  # those of them that are to become free
        self._last: dict[PartitionName, str] = {}  # who left a partition that nobody has yet
        self._done: set[PartitionName] = set()  # delivered to their ends
        self._assignments = 0

    @property
    def names(self) -> frozenset[PartitionName]:
        """All partitions that are shared."""
        return frozenset(self._names)

    @property
    def active(self) -> list[Member]:
        """Those whose streams are open."""
        return [member for member in self.members.values() if not member.finished]

    @property
    def next_s(self) -> float | None:
        """Seconds until a partition is taken whatever is committed; None while none is revoked."""
        bounds = [each.revoked_s for each in self._revoked.values() if each.revoked_s is not None]
        return max(0.0, min(bounds) - self._clock()) if bounds else None

    def held(self, member: Member) -> dict[PartitionName, Holding]:
        """What a member has, what it is about to lose included."""
        return {name: each for name, each in self._holdings.items() if each.member is member}

    def keeps(self, member: Member, name: PartitionName, epoch: int) -> bool:
        """Whether a member has a partition under an epoch, and is not to lose it."""
        found = self._holdings.get(name)
        has = found is not None and found.member is member and found.epoch == epoch
        return has and name not in self._revoked

    def join(self, member: Member) -> None:
        """Adds a member; one of the same name has to go, and leaves it what it had."""
        former = self.members.pop(member.name, None)
        if former is not None:
            self._free_all(former)
            former.subscriber.end(
                Superseded(
                    f"member {member.name!r} has subscribed anew",
                    reason="SUBSCRIPTION_TAKEN_OVER",
                    metadata={"member": member.name, "epoch": self.epoch},
                )
            )
        self.members[member.name] = member
        self.balance()

    def leave(self, member: Member, *, finished: bool) -> None:
        """Removes a member; one that has ``finished`` may commit for the time of the bounds.

        A member that is none any more changes nothing.
        """
        if self.members.get(member.name) is not member:
            return
        if finished:
            member.finished = True
            for name, holding in self.held(member).items():
                self._revoke(name, holding)
                holding.told = True
            self.settle()
        else:
            del self.members[member.name]
            self._free_all(member)
        self.balance()

    def cover(self, names: Iterable[PartitionName]) -> None:
        """Shares these partitions as well."""
        found = frozenset(names)
        if self.first is None:
            self.first = found
        if new := found - self._names:
            self._names |= new
            self.balance()

    def drop(self, name: PartitionName) -> None:
        """Shares a partition no longer that nobody has begun to read."""
        self._names.discard(name)
        self._holdings.pop(name, None)
        self._revoked.pop(name, None)
        self._wake()

    def balance(self) -> None:
        """Gives what is free, and revokes what others are to have."""
        # What is revoked is on its way to whoever has least.
        stay = self._holdings.keys() - self._revoked.keys()
        current = {name: self._holdings[name].member.name for name in stay}
        names = [member.name for member in self.active]
        for name, wanted in share(self._names, names, {**self._last, **current}).items():
            member, holding = self.members[wanted], self._holdings.get(name)
            if holding is None:
                self._assignments += 1
                epoch = self.epoch * _EPOCHS + self._assignments
                self._holdings[name] = Holding(member, epoch)
                self._last.pop(name, None)
                member.wake()
            elif holding.member is not member and name not in self._revoked:
                self._revoke(name, holding)
                holding.member.wake()
        self._wake()

    def balance_overdue(self) -> None:
        """Takes what its member had time enough to commit, and gives it to others.

        Where there are none, as at the end of a full sync, whoever has finished may take longer.
        """
        if self.active and self._drop_overdue():
            self.balance()

    def told(self, lost: Mapping[PartitionName, int]) -> None:
        """A member was told that it loses these, by epoch; nothing more of them is delivered."""
        for name, epoch in lost.items():
            holding = self._holdings.get(name)
            if holding is not None and holding.epoch == epoch:
                holding.told = True
        self.settle()

    def settle(self) -> None:
        """Frees what is revoked, told, and committed as far as it was delivered."""
        told = {name: each for name, each in self._revoked.items() if each.told}
        reached = {each: each.reached() for each in {each.member for each in told.values()}}
        stored = self._stored()
        free = []
        for name, each in told.items():
            at = reached[each.member].get(name)
            if at is None or stored.get(at[0], -1) >= at[1]:
                free.append(name)
        if free:
            self._free(free)
            self.balance()

    def check(
        self, name: str, positions: Mapping[PartitionId, int], epochs: Mapping[PartitionId, int]
    ) -> None:
        """Accepts positions of who has the partitions, as far as they were delivered.

        Raises:
            Superseded: Some are another member's, or nobody's (``PARTITION_REVOKED``).
            InvalidRequest: One covers more than was delivered.
        """
        self.balance_overdue()
        stale = [each for each in positions if not self._is_of(each, epochs.get(each, 0))]
        if stale:
            raise partition_revoked(name, stale)
        for partition, offset in positions.items():
            member = self._holdings[name_of(partition)].member
            member.subscriber.check_delivered(name, {partition: offset})

    def note_done(self, names: Iterable[PartitionName]) -> bool:
        """A member has delivered these to their ends; says whether it has nothing more to wait for.

        It waits until all partitions are delivered, and until members that have finished before
        have committed or their time is over: it may have to do it again.
        """
        self._done |= self._names.intersection(names)
        if not self.complete and self._names and self._done >= self._names:
            self.complete = True
            self._wake()
        return self.complete and not any(h.member.finished for h in self._holdings.values())

    def end_if_stalled(self, member: Member) -> bool:
        """Ends a member whose client takes nothing, if there is another one that does."""
        others_take = any(not self._stalled(each) for each in self.active)
        ends = self._stalled(member) and others_take and not member.subscriber.ended.done()
        if ends:
            member.subscriber.end(
                MemberStalled(
                    f"member {member.name!r} took nothing for {self._bounds.stall_s:g} s, and "
                    "others read its partitions now; subscribe again to have some",
                    metadata={"member": member.name},
                )
            )
        return ends

    @property
    def look_every_s(self) -> float:
        """How often members look whether they are stalled."""
        return self._bounds.stall_s / 4

    def stalled_s(self, member: Member) -> float | None:
        """Seconds for which a member's client has taken nothing; None where that is not long."""
        since_s = member.writing_since_s
        return self._clock() - since_s if since_s is not None and self._stalled(member) else None

    async def written(self, member: Member, writing: Awaitable[None]) -> None:
        """Takes note of how long a message waits for a member's client."""
        member.writing_since_s = self._clock()
        try:
            await writing
        finally:
            member.writing_since_s = None

    def _stalled(self, member: Member) -> bool:
        since_s = member.writing_since_s
        return since_s is not None and self._clock() - since_s >= self._bounds.stall_s

    def _is_of(self, partition: PartitionId, epoch: int) -> bool:
        holding = self._holdings.get(name_of(partition))
        return holding is not None and holding.epoch == epoch

    def retire(self) -> None:
        """Has those members go that have finished and had time enough to commit."""
        self._drop_overdue()

    def _drop_overdue(self) -> bool:
        """Takes what its member had time enough to commit; says whether there was any."""
        now_s = self._clock()
        revoked = self._revoked.items()
        overdue = [name for name, each in revoked if (each.revoked_s or 0) <= now_s]
        self._free(overdue)
        return bool(overdue)

    def _revoke(self, name: PartitionName, holding: Holding) -> None:
        holding.revoked_s = self._clock() + self._bounds.release_s
        self._revoked[name] = holding

    def _free_all(self, member: Member) -> None:
        had = list(self.held(member))
        self._free(had)
        self._last.update(dict.fromkeys(had, member.name))

    def _free(self, names: Iterable[PartitionName]) -> None:
        lost: dict[Member, set[PartitionName]] = {}
        for name in names:
            lost.setdefault(self._holdings.pop(name).member, set()).add(name)
            self._revoked.pop(name, None)
            self._done.discard(name)
        for member, had in lost.items():
            member.forget(had)
            if member.finished and not self.held(member):
                self.members.pop(member.name, None)
            member.wake()

    def _wake(self) -> None:
        for member in self.members.values():
            member.wake()


def partition_revoked(name: str, stale: Iterable[PartitionId]) -> Superseded:
    """The refusal of a commit for partitions that are not its member's."""
    found = sorted(stale)
    places = ",".join(f"{each.topic}/{each.partition}" for each in found)
    return Superseded(
        f"subscription {name!r}: {places}: not this member's under the epoch that was given; "
        "nothing is stored, and what lies behind the stored position comes again at another member",
        reason="PARTITION_REVOKED",
        metadata={
            "subscription": name,
            "topic": found[0].topic,
            "partition": found[0].partition,
            "partitions": places,
        },
    )


def sharing_contradicted(name: str) -> PreconditionFailed:
    """Of whoever asks for something else than the members that are there."""
    return PreconditionFailed(
        f"subscription {name!r} is shared by members that ask for another connection, other "
        "topics, another mode, end, filter, gap policy or bootstrap; end them first, or ask for "
        "the same",
        reason="SHARING_CONTRADICTED",
        metadata={"subscription": name},
    )
