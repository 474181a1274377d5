"""Which topics subscriptions want, and when they last used them."""

from collections.abc import Callable, Iterable, Sequence

from cachesvc.assignment.mining_tasks import Use
from cachesvc.clusters.sources import Source
from cachesvc.store.ports import SubscriptionRecord
from cachesvc.subscriptions.subscriptions import Subscription


def uses_of(
    source: Source,
    subscriptions: Iterable[Subscription],
    matching: Callable[[Source, str], Sequence[str]],
    now_ms: int,
) -> dict[str, Use]:
    """The last use of every topic of a connection that a subscription wants and the cluster has.

    A subscription uses its topics while it has a stream, and when it commits.

    Args:
        source: The connection.
        subscriptions: Of any connection.
        matching: The topics of a connection that an expression means.
        now_ms: The time.
    """
    found: list[tuple[Use, SubscriptionRecord]] = []
    for subscription in subscriptions:
        record = subscription.record
        if record.connection == source.name:
            last_ms = record.committed_ms or record.created_ms
            use = Use(now_ms if subscription.connected else last_ms, record.name)
            found.append((use, record))
    uses: dict[str, Use] = {}
    for use, record in sorted(found, key=lambda each: each[0].used_ms):
        names: Iterable[str] = record.topics
        if record.topic_expression:
            names = matching(source, record.topic_expression)
        uses.update(dict.fromkeys((name for name in names if name in source.topics), use))
    return uses
