"""A subscription as a value: its durable side, its positions, and who reads it now."""

from dataclasses import dataclass, field

from cachesvc.model import GapPolicy, Mode, PartitionId
from cachesvc.policy.start_position import ExplicitStart
from cachesvc.store.ports import SubscriptionRecord
from cachesvc.subscriptions.group import Group
from cachesvc.subscriptions.subscriber import Subscriber


@dataclass(slots=True)
class Subscription:
    """A subscription as it is now.

    Attributes:
        record: Its durable side.
        positions: Durable too: the next offset to read, per partition.
        subscriber: The newest one since the service started; it may commit after its stream ended.
        connected: Whether that one's stream is open.
        awaited: Where to start in partitions, by topic and number, of which the source could not be
            asked yet; as long as the service runs.
        group: Who shares it now; None while nobody does.
        shared_as: What the members of the group have asked for alike.
    """

    record: SubscriptionRecord
    positions: dict[PartitionId, int] = field(default_factory=dict)
    subscriber: Subscriber | None = None
    connected: bool = False
    awaited: dict[tuple[str, int], ExplicitStart] = field(default_factory=dict)
    group: Group | None = None
    shared_as: "tuple[SubscriptionSettings, object] | None" = None

    @property
    def subscribers(self) -> list[Subscriber]:
        """The newest one, or all members."""
        if self.group is not None:
            return [member.subscriber for member in self.group.members.values()]
        return [] if self.subscriber is None else [self.subscriber]

    @property
    def streams(self) -> int:
        """How many streams of it are open."""
        return int(self.connected) if self.group is None else len(self.group.active)

    @property
    def reads(self) -> set[PartitionId]:
        """What is read now, as far as that is known."""
        return {partition for each in self.subscribers for partition in each.reads}

    @property
    def delivering(self) -> dict[PartitionId, int]:
        """Where the open streams are in the newest incarnations; empty without a stream."""
        if not self.connected:
            return {}
        delivered = {at: offset for s in self.subscribers for at, offset in s.delivered.items()}
        newest = {(each.topic, each.partition): each for each in sorted(delivered)}
        return {each: delivered[each] for each in newest.values()}


@dataclass(frozen=True, slots=True)
class Opened:
    """What somebody who subscribed has done to a subscription.

    Attributes:
        record: What it is now.
        before: What it was; None where it was made.
        taken_over: Whether others had it, who have lost it.
    """

    record: SubscriptionRecord
    before: SubscriptionRecord | None
    taken_over: bool


@dataclass(frozen=True, slots=True)
class SubscriptionSettings:
    """What a subscriber wants its subscription to be; fields as in ``SubscriptionRecord``."""

    name: str
    connection: str
    topics: tuple[str, ...]
    topic_expression: str
    mode: Mode
    gap_policy: GapPolicy = GapPolicy.STOP_AT_GAP

    def record(self, epoch: int, now_ms: int) -> SubscriptionRecord:
        """What it is when it is made."""
        return SubscriptionRecord(
            self.name,
            self.connection,
            self.topics,
            self.topic_expression,
            self.mode,
            epoch,
            full_sync_done=False,
            created_ms=now_ms,
            gap_policy=self.gap_policy,
        )
