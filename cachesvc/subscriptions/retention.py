"""How long what is cached of each connection stays, and what of it somebody has still to read."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from cachesvc.model import PartitionId
from cachesvc.policy.retention import RetentionClock, RetentionRule
from cachesvc.subscriptions.subscriptions import Subscription

_Name = tuple[str, str, int]


class Retention:
    """The retention of every connection.

    Args:
        clock: What ages are counted from.
        age_s: How long what is cached stays.
        unread_s: How long what subscriptions have still to read stays; None: as the rest.
        own_age_s: What a connection's mining task says instead of ``age_s``; None where it says
            nothing.
    """

    def __init__(
        self,
        clock: RetentionClock,
        age_s: float,
        unread_s: float | None = None,
        own_age_s: Callable[[str], float | None] = lambda connection: None,
    ) -> None:
        self._clock = clock
        self._age_s = age_s
        self._unread_s = unread_s
        self._own_age_s = own_age_s

    def rule(self, connection: str) -> RetentionRule:
        """The rule of a connection, as it is now."""
        age_s = self._own_age_s(connection) or self._age_s
        unread_s = age_s if self._unread_s is None else self._unread_s
        return RetentionRule(self._clock, int(age_s * 1000), int(unread_s * 1000))


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
            for partition, offset in _positions(subscription).items():
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


def _positions(subscription: Subscription) -> dict[PartitionId, int]:
    """Where a subscription is in each partition that it reads: in one incarnation of its topic."""
    positions: dict[_Name, tuple[PartitionId, int]] = {}
    for partition, offset in sorted(subscription.positions.items()):
        # Where it has come to a later incarnation, it is through with those before.
        positions[_name(partition)] = partition, offset
    if subscription.subscriber is not None:
        for partition in sorted(subscription.subscriber.reads):
            positions.setdefault(_name(partition), (partition, 0))
    return dict(positions.values())


def _name(partition: PartitionId) -> _Name:
    return partition.connection, partition.topic, partition.partition
