"""Who may make which call: one table of calls and rights, and what grants come to.

Deny by default: a call without an entry in the table needs every right over everything, and so a
call that somebody adds is closed until somebody has thought about it.

A grant limits connections, topics and subscriptions, each by itself. It covers a demand if it has
the right and no limit speaks against it. What a call has nothing to do with is not asked about; for
what it does to *all* names, such as all topics of a connection, a grant must not limit them at all.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, Protocol

from cachesvc.errors import InvalidRequest, NotAllowed
from cachesvc.policy.callers import Caller, Grant, Right
from cachesvc.policy.topics import check_expression, check_topic_name, topic_matcher

EVERY: Final = "*"
"""Stands for all names of a kind, those to come included."""
_DECISIONS_MAX = 2_000
_NAME_LENGTH_MAX = 249


class Roles(Protocol):
    """What the roles of callers allow now."""

    def stands(self, caller: Caller) -> bool:
        """Whether what a caller showed still opens a call: not expired, not revoked."""

    def grants(self, caller: Caller) -> tuple[Grant, ...]:
        """What is granted to a caller, by its roles as they are now."""


class Scope(StrEnum):
    """What of the service a call is about; the words are those of docs/security.md."""

    SERVICE = "the whole service"
    CONNECTION = "the connection, with all its topics"
    TOPIC = "the topic"
    SUBSCRIPTION = "the subscription, and the topics that are named"
    CALLER = "nobody but the caller, who needs no right"
    ROWS = "each row of the answer, and what is named"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a call needs.

    Attributes:
        right: The right.
        scope: Over what.
        connection: The field of the request that names the connection; the first that is set counts
            where there are several. Empty: none does.
        topic: The field that names the topic; empty: none does.
        subscription: Likewise.
        one: Whether it is about one connection, which may be left out only where there is just one.
        also: A further right over the same, with when it is needed.
    """

    right: Right
    scope: Scope
    connection: tuple[str, ...] = ("connection",)
    topic: str = ""
    subscription: str = ""
    one: bool = False
    also: str = ""


_TOPIC_ROWS = Rule(Right.READ, Scope.ROWS, topic="topic")
_ONE_TOPIC_ROWS = Rule(Right.READ, Scope.ROWS, topic="topic", one=True)
_ROWS = Rule(Right.READ, Scope.ROWS)
_OPERATE = Rule(Right.MINING, Scope.CONNECTION)
_OPERATE_TOPIC = Rule(Right.MINING, Scope.TOPIC, topic="topic")
_SERVICE = Rule(Right.ADMIN, Scope.SERVICE, ())
_BY_NAME = Rule(Right.ADMIN, Scope.CONNECTION, ("name",))
_SETTINGS = Rule(Right.ADMIN, Scope.CONNECTION, ("connection.name",))
_CALLER = Rule(Right.READ, Scope.CALLER, ())
_MANAGE = Rule(Right.SUBSCRIPTIONS, Scope.SUBSCRIPTION, (), subscription="subscription")

CALLS: Final[Mapping[str, Rule]] = {
    "LogCache.Subscribe": Rule(
        Right.READ,
        Scope.SUBSCRIPTION,
        subscription="subscription",
        also="`commit` for the subscription; `subscriptions` where it makes it",
    ),
    "LogCache.Commit": Rule(Right.COMMIT, Scope.SUBSCRIPTION, (), subscription="subscription"),
    "LogCache.ListOffsets": _ONE_TOPIC_ROWS,
    "LogCache.GetSubscription": Rule(Right.READ, Scope.ROWS, (), subscription="subscription"),
    "LogCache.ListSubscriptions": _TOPIC_ROWS,
    "LogCache.ResetSubscription": _MANAGE,
    "LogCache.DeleteSubscription": _MANAGE,
    "LogCache.TestFilter": _CALLER,
    "Admin.GetConfig": _SERVICE,
    "Admin.ListConnections": Rule(Right.ADMIN, Scope.ROWS, ()),
    "Admin.GetConnection": _BY_NAME,
    "Admin.CreateConnection": _SETTINGS,
    "Admin.UpdateConnection": _SETTINGS,
    "Admin.AcceptCluster": _BY_NAME,
    "Admin.DeleteConnection": _BY_NAME,
    "Admin.TestConnection": Rule(Right.ADMIN, Scope.CONNECTION, ("settings.name", "name")),
    "Admin.ListStores": _SERVICE,
    "Admin.GetStore": _SERVICE,
    "Admin.CreateStore": _SERVICE,
    "Admin.UpdateStore": _SERVICE,
    "Admin.DeleteStore": _SERVICE,
    "Admin.TestStore": _SERVICE,
    "Admin.PlaceTopic": Rule(Right.ADMIN, Scope.TOPIC, topic="topic"),
    "Admin.ListMiningTasks": _ROWS,
    "Admin.StartMiningTask": _OPERATE,
    "Admin.StopMiningTask": _OPERATE,
    "Admin.EditMiningTask": _OPERATE,
    "Admin.StartMinedTopic": _OPERATE_TOPIC,
    "Admin.StopMinedTopic": _OPERATE_TOPIC,
    "Admin.ListMiningTransitions": _ONE_TOPIC_ROWS,
    "Admin.PinTopic": _OPERATE_TOPIC,
    "Admin.UnpinTopic": _OPERATE_TOPIC,
    "Admin.ListBlockedPartitions": _TOPIC_ROWS,
    "Admin.RetryPartitions": _OPERATE_TOPIC,
    "Admin.ListReaders": Rule(Right.MINING, Scope.ROWS, ()),
    "Admin.ListTopics": _TOPIC_ROWS,
    "Admin.ListSegments": _TOPIC_ROWS,
    "Admin.ListJournals": _TOPIC_ROWS,
    "Admin.ListRecords": Rule(Right.READ, Scope.TOPIC, topic="topic"),
    "Admin.ListRejects": _TOPIC_ROWS,
    "Admin.ListSnapshots": _TOPIC_ROWS,
    "Admin.ListJobs": _SERVICE,
    "Admin.RunJob": _SERVICE,
    "Admin.PauseJob": _SERVICE,
    "Admin.ResumeJob": _SERVICE,
    "Admin.ListJobRuns": _SERVICE,
    "Admin.ListModels": _ROWS,
    "Admin.DescribeModel": Rule(Right.READ, Scope.TOPIC, topic="topic"),
    "Admin.WatchMining": _TOPIC_ROWS,
    "Admin.GetOverview": Rule(Right.READ, Scope.SERVICE, ()),
    "Admin.GetTrend": Rule(Right.READ, Scope.SERVICE, ()),
    "Admin.GetTopicTrend": Rule(Right.READ, Scope.TOPIC, topic="topic"),
    "Admin.GetSubscriptionTrend": Rule(Right.READ, Scope.ROWS, (), subscription="subscription"),
    "Admin.ListAlarms": _ROWS,
    "Admin.ListStoreUsage": _SERVICE,
    "Admin.ListDrops": _TOPIC_ROWS,
    "Admin.RunSql": _SERVICE,
    "Admin.ListAudit": _SERVICE,
    "Admin.GetCaller": _CALLER,
    "Admin.ListRoles": _SERVICE,
    "Admin.SetRole": _SERVICE,
    "Admin.DeleteRole": _SERVICE,
    "Admin.ListPrincipals": _SERVICE,
    "Admin.SetPrincipal": _SERVICE,
    "Admin.DeletePrincipal": _SERVICE,
    "Admin.ListTokens": _SERVICE,
    "Admin.CreateToken": _SERVICE,
    "Admin.RevokeToken": _SERVICE,
}
"""Every call of the public services, by the service's short name and its own."""


def rule_of(call: str) -> Rule:
    """What a call needs; every right over the whole service where nobody has said it."""
    return CALLS.get(call, _SERVICE)


@dataclass(frozen=True, slots=True)
class Demand:
    """A right over something.

    Attributes:
        right: The right.
        connection: A name, or ``EVERY``; None: it does not matter which.
        topic: Likewise.
        subscription: Likewise.
        one: Whether it is about one connection, which may be left out only where there is just one.
    """

    right: Right
    connection: str | None = None
    topic: str | None = None
    subscription: str | None = None


class Permissions:
    """What grants come to. Decisions are remembered, as most calls ask what was asked before.

    Args:
        grants: All of a caller's, in any order; rights add up.
    """

    def __init__(self, grants: Iterable[Grant]) -> None:
        self._grants = [
            (
                grant.rights,
                _one_of(grant.connections, _name_matcher),
                _one_of(grant.topics, _topic_matcher),
                _one_of(grant.subscriptions, _prefix_matcher),
            )
            for grant in grants
        ]
        self._decisions: dict[Demand, bool] = {}

    def cover(self, demand: Demand) -> bool:
        """Whether some grant covers a demand."""
        found = self._decisions.get(demand)
        if found is None:
            found = self._decide(demand)
            if len(self._decisions) >= _DECISIONS_MAX:
                self._decisions.clear()
            names = (demand.connection, demand.topic, demand.subscription)
            if all(len(name or "") <= _NAME_LENGTH_MAX for name in names):  # a caller's own words
                self._decisions[demand] = found
        return found

    def _decide(self, demand: Demand) -> bool:
        return any(
            demand.right in rights
            and _agrees(connections, demand.connection)
            and _agrees(topics, demand.topic)
            and _agrees(subscriptions, demand.subscription)
            for rights, connections, topics, subscriptions in self._grants
        )

    def cover_all(self, right: Right) -> bool:
        """Whether a right is granted over everything."""
        return self.cover(Demand(right, EVERY, EVERY, EVERY))

    def check(self, demand: Demand) -> None:
        """Lets a demand through that is covered.

        Raises:
            NotAllowed: It is not; the error says what is missing, and nothing of whether what was
                named exists.
        """
        if not self.cover(demand):
            raise not_allowed(demand)


@lru_cache(maxsize=256)
def permissions_of(grants: tuple[Grant, ...]) -> Permissions:
    """What grants come to."""
    return Permissions(grants)


def not_allowed(demand: Demand) -> NotAllowed:
    """The error of a demand that nothing covers."""
    named = {
        "connection": demand.connection,
        "topic": demand.topic,
        "subscription": demand.subscription,
    }
    words = {kind: name for kind, name in named.items() if name is not None}
    over = ", ".join(
        f"every {kind}" if name == EVERY else f"{kind} {name!r}" for kind, name in words.items()
    )
    return NotAllowed(
        f"this needs the right {demand.right.value!r}{' over ' + over if over else ''}, which no "
        "role of the caller has; whoever administers the service can grant it",
        metadata={"right": demand.right.value, **words},
    )


def check_grant(grant: Grant) -> None:
    """Accepts a grant whose patterns can match something.

    Raises:
        InvalidRequest: A pattern is none; the message has it.
    """
    if not grant.rights:
        raise InvalidRequest("a grant needs one right at least", reason="INVALID_GRANT")
    for pattern in grant.topics:
        if pattern.startswith("^"):
            check_expression(pattern)
        else:
            check_topic_name(pattern)
    for kind, patterns in (("connection", grant.connections), ("topic", grant.topics)):
        if "" in patterns or EVERY in patterns:
            raise InvalidRequest(
                f"a grant's {kind} is a name; leave them out to mean all", reason="INVALID_GRANT"
            )
    if any("*" in pattern[:-1] or not pattern for pattern in grant.subscriptions):
        raise InvalidRequest(
            "a grant's subscription is a name, or a prefix that ends in *", reason="INVALID_GRANT"
        )


_Matcher = Callable[[str], bool]


def _agrees(limit: _Matcher | None, name: str | None) -> bool:
    return limit is None or name is None or (name != EVERY and limit(name))


def _one_of(patterns: tuple[str, ...], make: Callable[[str], _Matcher]) -> _Matcher | None:
    if not patterns:
        return None
    matchers = [make(pattern) for pattern in patterns]
    return lambda name: any(matches(name) for matches in matchers)


def _name_matcher(pattern: str) -> _Matcher:
    return pattern.__eq__


def _topic_matcher(pattern: str) -> _Matcher:
    return topic_matcher(pattern) if pattern.startswith("^") else pattern.__eq__


def _prefix_matcher(pattern: str) -> _Matcher:
    if not pattern.endswith("*"):
        return pattern.__eq__
    prefix = pattern[:-1]
    return lambda name: name.startswith(prefix)


NOTHING: Final = Permissions(())
EVERYTHING: Final = Permissions([Grant(frozenset(Right))])
