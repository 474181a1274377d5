"""How long and how much of what is cached stays, and what of it somebody has still to read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from cachesvc.model import PartitionId
from cachesvc.policy.retention import RetentionClock, RetentionRule
from cachesvc.policy.size_limits import Protection, SizeLimits
from cachesvc.store.mining_ports import NO_OWN_RETENTION, OwnRetention
from cachesvc.subscriptions.subscriptions import Subscription

_Name = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class TopicSize:
    """How much of each topic stays; a limit that is None is none.

    Attributes:
        bytes_max: Bytes of it.
        records_max: Records of it.
        unread_bytes_max: Bytes up to which what subscriptions have still to read stays besides.
    """

    bytes_max: int | None = None
    records_max: int | None = None
    unread_bytes_max: int | None = None


NO_LIMIT = TopicSize()


class Retention:
    """The retention of every connection.

    Args:
        clock: What ages are counted from.
        age_s: How long what is cached stays.
        unread_s: How long what subscriptions have still to read stays; None: as the rest.
        own: What a connection's mining task says instead.
        size: How much of each topic stays.
    """

    def __init__(
        self,
        clock: RetentionClock,
        age_s: float,
        unread_s: float | None = None,
        own: Callable[[str], OwnRetention] = lambda connection: NO_OWN_RETENTION,
        size: TopicSize = NO_LIMIT,
    ) -> None:
        self._clock = clock
        self._age_s = age_s
        self._unread_s = unread_s
        self._own = own
        self._size = size

    def rule(self, connection: str) -> RetentionRule:
        """The rule of a connection, as it is now."""
        age_s = self._own(connection).age_s or self._age_s
        unread_s = age_s if self._unread_s is None else self._unread_s
        return RetentionRule(self._clock, int(age_s * 1000), int(unread_s * 1000))

    def limits(self, connection: str) -> SizeLimits:
        """How much of each topic of a connection stays, as it is now.

        What is unread is protected from limits of size once one of its own limits is set.
        """
        own, size = self._own(connection), self._size
        protection = None
        if self._unread_s is not None or size.unread_bytes_max is not None:
            protection = Protection(self.rule(connection).unread_ms, size.unread_bytes_max)
        return SizeLimits(
            own.bytes_max or size.bytes_max, own.records_max or size.records_max, protection
        )


class Unread:
    """What subscriptions have still to read, as it was at one moment.

    A subscription goes on where it committed; where it has not yet committed, a stream of it would
    begin anew, so it needs what is cached from the earliest offset on. One that has neither
    committed anything nor had a stream since the service started needs nothing that is known.

    Args:
        subscriptions: All of them.
    """

    def __init__(self, subscriptions: Iterable[Subscription]) -> None:
        self._lowest: dict[PartitionId, int] = {}
        for subscription in subscriptions:
            for partition, offset in positions_of(subscription).items():
                known = self._lowest.get(partition, offset)
                self._lowest[partition] = min(known, offset)

    def lowest(self, partition: PartitionId) -> int | None:
        """The lowest offset of a partition that somebody needs; None if nobody needs any.

        Who is in an earlier incarnation of the topic comes to the begin of this one.
        """
        incarnations = range(1, partition.incarnation)
        if any(
            replace(partition, incarnation=incarnation) in self._lowest
            for incarnation in incarnations
        ):
            return 0
        return self._lowest.get(partition)


def positions_of(subscription: Subscription) -> dict[PartitionId, int]:
    """Where a subscription is in each partition that it reads: in one incarnation of its topic."""
    positions: dict[_Name, tuple[PartitionId, int]] = {}
    for partition, offset in sorted(subscription.positions.items()):
        # Where it has come to a later incarnation, it is through with those before.
        positions[_name(partition)] = partition, offset
    for partition in sorted(subscription.reads):
        positions.setdefault(_name(partition), (partition, 0))
    return dict(positions.values())


def _name(partition: PartitionId) -> _Name:
    return partition.connection, partition.topic, partition.partition
