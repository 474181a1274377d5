"""Answers without what their caller may not see: rows, and names within rows."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from google.protobuf.message import Message

from cachesvc.policy.callers import Right
from cachesvc.policy.rights import EVERY, Demand, Permissions, not_allowed


class Sight:
    """What one caller sees in the answer to one call.

    Args:
        permissions: The caller's.
        right: The one that rows need.
        connection: What rows that do not say it are of.
    """

    def __init__(self, permissions: Permissions, right: Right, connection: str) -> None:
        self._permissions = permissions
        self._right = right
        self._connection = connection
        self._seen: dict[tuple[str | None, ...], bool] = {}

    def sees(
        self, connection: str | None, topic: str | None = None, subscription: str | None = None
    ) -> bool:
        """Whether what has these names is seen; see ``policy.rights.Demand``."""
        names = (connection, topic, subscription)
        found = self._seen.get(names)
        if found is None:
            found = self._seen[names] = self._permissions.cover(Demand(self._right, *names))
        return found

    def row(self, row: Any) -> bool:
        """Whether a row is seen that has a connection, perhaps, and a topic."""
        return self.sees(getattr(row, "connection", self._connection), row.topic)

    def subscription(self, found: Any) -> bool:
        """Whether a subscription is seen: the caller may read all its topics under its name."""
        topics = {*found.topics, *_topics(found.partitions), *_topics(found.delivering)}
        for member in found.members:
            topics.update(at.topic for at in (*member.positions, *member.revoked))
        return all(self.sees(found.connection, topic, found.name) for topic in topics or {None})


Sieve = Callable[[Sight, Any], None]


def keep(rows: Any, seen: Callable[[Any], bool]) -> None:
    """Leaves out of a repeated field what is not seen."""
    kept = [row for row in rows if seen(row)]
    if len(kept) < len(rows):
        copies = list(map(_copy, kept))
        del rows[:]
        rows.extend(copies)


def _copy(row: Any) -> Any:
    """A row that outlives the list it was in."""
    if not isinstance(row, Message):
        return row
    copy = type(row)()
    copy.CopyFrom(row)
    return copy


def _topics(rows: Iterable[Any]) -> Iterable[str]:
    return (row.position.topic for row in rows)


def _rows(field: str) -> Sieve:
    return lambda sight, answer: keep(getattr(answer, field), sight.row)


def _connections(sight: Sight, answer: Any) -> None:
    keep(answer.connections, lambda row: sight.sees(row.name, EVERY))


def _readers(sight: Sight, answer: Any) -> None:
    keep(answer.readers, lambda row: sight.sees(row.connection))
    for reader in answer.readers:
        name = reader.connection
        keep(reader.topics, lambda topic, name=name: sight.sees(name, topic))  # type: ignore[misc]


def _subscriptions(sight: Sight, answer: Any) -> None:
    keep(answer.subscriptions, sight.subscription)


def _one_subscription(sight: Sight, answer: Any) -> None:
    found = answer.subscription
    if not sight.subscription(found):
        raise not_allowed(Demand(Right.READ, subscription=found.name))


def _trend(sight: Sight, answer: Any) -> None:
    name = answer.subscription
    if not all(sight.sees(answer.connection, topic, name) for topic in answer.topics or (None,)):
        raise not_allowed(Demand(Right.READ, subscription=name))


def _tasks(sight: Sight, answer: Any) -> None:
    keep(answer.tasks, lambda row: sight.sees(row.connection))
    for task in answer.tasks:
        _task(sight, task)


def _own_task(sight: Sight, answer: Any) -> None:
    _task(sight, answer.task)


def _task(sight: Sight, task: Any) -> None:
    for rows in (task.topics, task.pins):
        keep(rows, lambda row: sight.sees(task.connection, row.topic))


def _snapshots(sight: Sight, answer: Any) -> None:
    keep(answer.snapshots, sight.row)
    for row in answer.snapshots:
        _names(sight, row.read_by, row.connection, row.topic)


def _watched(sight: Sight, answer: Any) -> None:
    keep(answer.tasks, lambda row: sight.sees(row.connection))
    for task in answer.tasks:
        if not sight.sees(task.connection, EVERY):
            task.ClearField("activity")  # of all its topics together
            task.ClearField("delivered")
        keep(task.topics, lambda row, task=task: sight.sees(task.connection, row.topic))  # type: ignore[misc]
        for row in task.topics:
            _names(sight, row.subscriptions, task.connection, row.topic)


def _names(sight: Sight, subscriptions: Any, connection: str, topic: str) -> None:
    keep(subscriptions, lambda name: sight.sees(connection, topic, name))


def _topic(sight: Sight, row: Any) -> bool:
    return sight.sees(row.connection, row.name)


def _transition(sight: Sight, row: Any) -> bool:
    return sight.sees(row.connection, row.topic or None)


def _alarm(sight: Sight, row: Any) -> bool:
    if not row.connection:
        return sight.sees(EVERY, EVERY, EVERY)  # of the service
    return sight.sees(row.connection, row.topic or None, row.subscription or None)


LIMITED: Final[Mapping[str, tuple[str, Callable[[Sight, Any], bool]]]] = {
    "Admin.ListTopics": ("topics", _topic),
    "Admin.ListMiningTransitions": ("transitions", _transition),
    "Admin.ListRejects": ("rejects", Sight.row),
    "Admin.ListAlarms": ("alarms", _alarm),
    "Admin.ListDrops": ("drops", Sight.row),
}
"""For each call with a ``limit``, which counts rows that are seen: their field, and which are."""


def _limited(call: str) -> Sieve:
    field, seen = LIMITED[call]
    return lambda sight, answer: keep(getattr(answer, field), lambda row: seen(sight, row))


SIEVES: Final[Mapping[str, Sieve]] = {
    "LogCache.ListOffsets": _rows("partitions"),
    "LogCache.GetSubscription": _one_subscription,
    "LogCache.ListSubscriptions": _subscriptions,
    "Admin.GetSubscriptionTrend": _trend,
    "Admin.ListConnections": _connections,
    "Admin.ListMiningTasks": _tasks,
    "Admin.StartMinedTopic": _own_task,
    "Admin.StopMinedTopic": _own_task,
    "Admin.ListBlockedPartitions": _rows("partitions"),
    "Admin.ListReaders": _readers,
    "Admin.ListSegments": _rows("segments"),
    "Admin.ListJournals": _rows("journals"),
    "Admin.ListSnapshots": _snapshots,
    "Admin.ListModels": _rows("models"),
    "Admin.WatchMining": _watched,
    **{call: _limited(call) for call in LIMITED},
}
"""For each call whose answer has more than what its request names."""
