"""Who shares a subscription, as values: members, what each has, and how long things may take."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from cachesvc.model import PartitionId
from cachesvc.policy.sharing import PartitionName
from cachesvc.subscriptions.subscriber import Subscriber


@dataclass(frozen=True, slots=True)
class SharingBounds:
    """How long others wait for a member.

    Attributes:
        release_s: How long it may commit what it was delivered of a partition that it loses.
        stall_s: How long its client may take nothing, while others do.
    """

    release_s: float = 10.0
    stall_s: float = 60.0


@dataclass(slots=True, eq=False)
class Member:
    """A subscriber that shares a subscription.

    Attributes:
        name: Of the members of now only one has it.
        subscriber: Its stream.
        joined_ms: When it came.
        wake: Called when it may have got or lost partitions, or all is delivered.
        writing_since_s: Since when a message waits for its client, on the group's clock; or None.
        finished: Whether its stream ended because all was delivered; it may still commit.
    """

    name: str
    subscriber: Subscriber
    joined_ms: int
    wake: Callable[[], None] = lambda: None
    writing_since_s: float | None = None
    finished: bool = False

    def reached(self) -> dict[PartitionName, tuple[PartitionId, int]]:
        """How far each partition was delivered that was begun, in its newest incarnation."""
        delivered = self.subscriber.delivered
        return {name_of(each): (each, delivered[each]) for each in sorted(delivered)}

    def forget(self, names: Collection[PartitionName]) -> None:
        """What was delivered of these counts no more."""
        delivered = self.subscriber.delivered
        for partition in [each for each in delivered if name_of(each) in names]:
            del delivered[partition]


@dataclass(slots=True, eq=False)
class Holding:
    """A partition that a member has.

    Attributes:
        member: Who.
        epoch: Under which it commits; never given twice.
        revoked_s: When the partition is taken whatever is committed, on the group's clock; None as
            long as it is to stay.
        told: Whether nothing more of it is delivered, and the member is told so.
    """

    member: Member
    epoch: int
    revoked_s: float | None = None
    told: bool = False


def name_of(partition: PartitionId) -> PartitionName:
    """A partition's name, whichever the incarnation of its topic."""
    return partition.topic, partition.partition
