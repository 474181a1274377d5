"""Which topics subscriptions want, and when they last used them."""

from collections.abc import Callable, Iterable, Sequence

from cachesvc.assignment.mining_tasks import Use
from cachesvc.clusters.sources import Source
from cachesvc.subscriptions.subscriptions import Subscription


def uses_of(
    source: Source,
    subscriptions: Iterable[Subscription],
    matching: Callable[[Source, str], Sequence[str]],
    now_ms: int,
) -> dict[str, Use]:
    """The last use of every topic of a connection that a subscription wants and the cluster has.

    A subscription uses its topics while it has a stream, and when it commits. What costs something
    is done once for all that want the same.

    Args:
        source: The connection.
        subscriptions: Of any connection.
        matching: The topics of a connection that an expression means.
        now_ms: The time.
    """
    newest: dict[tuple[tuple[str, ...], str], Use] = {}
    for subscription in subscriptions:
        record = subscription.record
        if record.connection != source.name:
            continue
        last_ms = record.committed_ms or record.created_ms
        use = Use(now_ms if subscription.connected else last_ms, record.name)
        wanted = record.topics, record.topic_expression
        if wanted not in newest or newest[wanted].used_ms <= use.used_ms:
            newest[wanted] = use
    uses: dict[str, Use] = {}
    for (topics, expression), use in sorted(newest.items(), key=_when):
        names = matching(source, expression) if expression else topics
        uses.update(dict.fromkeys((name for name in names if name in source.topics), use))
    return uses


def _when(wanted: tuple[object, Use]) -> int:
    return wanted[1].used_ms
