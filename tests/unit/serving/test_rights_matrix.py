"""Whoever is not allowed gets nothing: principals × calls × resources, and what answers mention."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from cachesvc.policy.callers import Grant, Right
from cachesvc.policy.rights import CALLS, Scope
from cachesvc.serving.sieves import SIEVES
from cachesvc.v1 import log_cache_pb2 as pb
from tests.unit.policy.test_rights import METHODS
from tests.unit.serving.guarded import Guarded, serving

READ, COMMIT, SUBSCRIPTIONS = Right.READ, Right.COMMIT, Right.SUBSCRIPTIONS
MINING, ADMIN = Right.MINING, Right.ADMIN
EVERY_RIGHT = frozenset(Right)
ALL = "all"


@dataclass(frozen=True)
class Resource:
    connection: str
    topic: str
    subscription: str


ORDERS = Resource("main", "orders", "billing-1")
VAULT = Resource("main", "vault", "payroll-1")
SPARES = Resource("spare", "spares", "spare-1")
RESOURCES = (ORDERS, VAULT, SPARES)

GRANTED: Mapping[str, tuple[Grant, ...]] = {
    "nothing": (),
    "reader": (Grant(frozenset({READ}), ("main",), ("orders",)),),
    "task": (
        Grant(frozenset({READ, COMMIT, SUBSCRIPTIONS}), ("main",), ("^orders.*",), ("billing-*",)),
    ),
    "operator": (
        Grant(frozenset({READ, MINING}), ("main",), ("orders", "orders.eu")),
        Grant(frozenset({MINING}), ("spare",)),
    ),
    "owner": (Grant(EVERY_RIGHT, ("main",)),),
    "admin": (Grant(EVERY_RIGHT),),
}

# Written down apart from the grants: right, connection and topic, without a topic all of them.
MAY: Mapping[str, set[tuple[Right, str, str]]] = {
    "@none": set(),
    "nothing": set(),
    "reader": {(READ, "main", "orders")},
    "task": {(right, "main", "orders") for right in (READ, COMMIT, SUBSCRIPTIONS)},
    "operator": {
        (READ, "main", "orders"),
        (MINING, "main", "orders"),
        (MINING, "spare", "spares"),
        (MINING, "spare", ALL),
    },
    "owner": {(right, "main", topic) for right in Right for topic in ("orders", "vault", ALL)},
}
NOT_TO_BE_SEEN: Mapping[str, tuple[str, ...]] = {
    "@none": ("orders", "vault", "billing", "payroll", "spare", "broker:"),
    "nothing": ("orders", "vault", "billing", "payroll", "spare", "broker:"),
    "reader": ("vault", "payroll", "spare", "orders.eu"),
    "task": ("vault", "payroll", "spare"),
    "operator": ("vault", "payroll", "spare-1"),
    "owner": ("spare",),
    "admin": (),
    "@socket": (),
}
WHO = tuple(NOT_TO_BE_SEEN)


def allowed(who: str, call: str, at: Resource) -> bool:
    """By the rules in words, and what is written down above."""
    if who in ("admin", "@socket") or CALLS[call].scope is Scope.CALLER:
        return True
    may, rule = MAY[who], CALLS[call]
    over = {ALL if rule.scope is Scope.CONNECTION else at.topic}
    if rule.scope is Scope.SERVICE:
        return False
    if call in ("LogCache.GetSubscription", "Admin.GetSubscriptionTrend"):
        return (READ, at.connection, at.topic) in may
    if call == "LogCache.Subscribe":
        return {(READ, at.connection, at.topic), (COMMIT, at.connection, at.topic)} <= may
    if rule.scope is Scope.ROWS and not rule.topic:
        named = {connection for right, connection, _ in may if right is rule.right}
        return at.connection in named if rule.connection else bool(named)
    return any((rule.right, at.connection, topic) in may for topic in over)


def request(call: str, at: Resource) -> Message:
    """A request for a resource that, once it is allowed, changes nothing that others rely on."""
    rule, kind = CALLS[call], GetMessageClass(METHODS[call].input_type)
    message: Any = kind()
    for path, name in ((rule.topic, at.topic), (rule.subscription, at.subscription)):
        if path:
            _set(message, path, name)
    for path in rule.connection[:1]:
        _set(message, path, at.connection)
    fields = METHODS[call].input_type.fields_by_name
    if rule.scope is Scope.SERVICE and "name" in fields:
        message.name = "nobody-has-this"
    if call == "LogCache.Subscribe":
        message.topics.append(at.topic)
        message.mode = pb.INCREMENTAL
        message.start.earliest.SetInParent()
    if call == "LogCache.Commit":
        message.positions.add(topic=at.topic, offset=1)
    if call == "Admin.TestConnection":
        message.timeout_s = 0.2
    return message  # type: ignore[no-any-return]


def _set(message: Any, path: str, value: str) -> None:
    *tables, last = path.split(".")
    for table in tables:
        message = getattr(message, table)
    setattr(message, last, value)


def served(tmp_path: Path, body: Callable[[Guarded], Any]) -> None:
    serving(tmp_path, GRANTED, body)


@pytest.mark.parametrize("who", WHO)
def test_a_principal_gets_what_it_may_and_nothing_else(tmp_path: Path, who: str) -> None:
    wrong: list[str] = []

    async def body(service: Guarded) -> None:
        for call in METHODS:
            for at in RESOURCES:
                await service.make_subscriptions()
                # What is allowed may wait for a broker that is not there.
                timeout_s = 0.5 if allowed(who, call, at) else 60.0
                found = await service.call(call, who, request(call, at), timeout_s)
                cell = f"{call} of {at}: {found.code} {found.reason} {found.words[:200]}"
                if found.refused == allowed(who, call, at) or found.reason == "INTERNAL":
                    wrong.append(cell)
                told = (at.connection, at.topic, at.subscription) if found.refused else ()
                for word in NOT_TO_BE_SEEN[who]:
                    asked = any(word in name for name in told)  # its own words come back
                    if not asked and found.mentions(word):
                        wrong.append(f"{word!r} in {cell}")

    served(tmp_path, body)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("who", WHO)
def test_what_names_nothing_mentions_only_what_the_caller_may_see(tmp_path: Path, who: str) -> None:
    wrong: list[str] = []

    async def body(service: Guarded) -> None:
        for call in METHODS:
            empty = GetMessageClass(METHODS[call].input_type)()
            found = await service.call(call, who, empty, timeout_s=0.5)
            seen = [word for word in NOT_TO_BE_SEEN[who] if found.mentions(word)]
            wrong.extend(f"{word!r} in {call}: {found}" for word in seen)

    served(tmp_path, body)
    assert not wrong, "\n".join(wrong)


SEEN: Mapping[str, tuple[set[str], set[str]]] = {
    "reader": ({"orders"}, {"billing-1"}),
    "task": ({"orders", "orders.eu"}, {"billing-1"}),
    "owner": ({"orders", "orders.eu", "vault"}, {"billing-1", "payroll-1"}),
    "admin": ({"orders", "orders.eu", "vault", "spares"}, {"billing-1", "payroll-1", "spare-1"}),
}


@pytest.mark.parametrize("who", SEEN)
def test_listings_show_all_that_the_caller_may_see(tmp_path: Path, who: str) -> None:
    topics, subscriptions = SEEN[who]

    async def names(service: Guarded, call: str, field: str, name: str) -> set[str]:
        empty = GetMessageClass(METHODS[call].input_type)()
        found = await service.call(call, who, empty)
        return {getattr(row, name) for message in found.messages for row in getattr(message, field)}

    async def body(service: Guarded) -> None:
        assert await names(service, "Admin.ListTopics", "topics", "name") == topics
        assert await names(service, "Admin.ListJournals", "journals", "topic") == topics
        listed = await names(service, "LogCache.ListSubscriptions", "subscriptions", "name")
        assert listed == subscriptions
        offsets = await service.call(
            "LogCache.ListOffsets", who, pb.ListOffsetsRequest(connection="main")
        )
        assert {row.topic for row in offsets.messages[0].partitions} == topics - {"spares"}

    served(tmp_path, body)


def test_every_call_that_answers_in_rows_has_a_sieve() -> None:
    assert {call for call, rule in CALLS.items() if rule.scope is Scope.ROWS} <= set(SIEVES)
    assert set(SIEVES) <= set(CALLS)
