"""Answers full of rows, of which a caller may see some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from cachesvc.errors import NotAllowed
from cachesvc.policy.callers import Grant
from cachesvc.policy.rights import CALLS, EVERYTHING, Permissions
from cachesvc.serving.sieves import SIEVES, Sight
from tests.unit.policy.test_rights import METHODS

SEEN = {"connection": "main", "topic": "orders", "subscription": "billing-1"}
HIDDEN = (
    {"connection": "main", "topic": "vault", "subscription": "payroll-1"},
    {"connection": "spare", "topic": "spares", "subscription": "spare-1"},
)
OF_ONE_SUBSCRIPTION = ("LogCache.GetSubscription", "Admin.GetSubscriptionTrend")
ONLY_ONE = (*OF_ONE_SUBSCRIPTION, "Admin.StartMinedTopic", "Admin.StopMinedTopic")
WORDS = ("vault", "payroll", "spare")
# Where a field is called otherwise than what it names.
NAMES: Mapping[str, str] = {
    "cachesvc.v1.Topic.name": "topic",
    "cachesvc.v1.Reader.topics": "topic",
    "cachesvc.v1.Subscription.name": "subscription",
    "cachesvc.v1.Subscription.topics": "topic",
    "cachesvc.v1.GetSubscriptionTrendResponse.topics": "topic",
    "cachesvc.v1.Snapshot.read_by": "subscription",
    "cachesvc.v1.WatchedTopic.subscriptions": "subscription",
    "cachesvc.v1.Connection.name": "connection",
}


def fill(message: Any, places: tuple[Mapping[str, str], ...]) -> None:
    """Gives every list a row for each place, and every name in it that place's."""
    for field in message.DESCRIPTOR.fields:
        kind = NAMES.get(field.full_name, field.name)
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if field.is_repeated:
                for place in places:
                    # Below a row that has a place, rows are of its own connection.
                    inner = [p for p in (SEEN, *HIDDEN) if p["connection"] == place["connection"]]
                    row = getattr(message, field.name).add()
                    fill(row, (place,) if _leaf(row) else tuple(inner))
                    _name(row, place)
            elif field.message_type.full_name != message.DESCRIPTOR.full_name:
                fill(getattr(message, field.name), places)
        elif field.type == FieldDescriptor.TYPE_STRING and kind in SEEN:
            names = [place[kind] for place in places]
            if field.is_repeated:
                getattr(message, field.name).extend(names)
            else:
                setattr(message, field.name, names[0])


def _leaf(row: Any) -> bool:
    """Whether a row is of one topic, and what is in it too."""
    return row.DESCRIPTOR.name not in ("MiningTask", "Reader", "WatchedTask")


def _name(row: Any, place: Mapping[str, str]) -> None:
    for field in row.DESCRIPTOR.fields:
        kind = NAMES.get(field.full_name, field.name)
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated and kind in SEEN:
            setattr(row, field.name, place[kind])


def answer(call: str) -> Message:
    message = GetMessageClass(METHODS[call].output_type)()
    fill(message, (SEEN,) if call in ONLY_ONE else (SEEN, *HIDDEN))
    return message


def told(message: Message) -> str:
    return message.SerializeToString().decode(errors="replace")


def sight(call: str, *grants: Grant) -> Sight:
    return Sight(Permissions(grants), CALLS[call].right, "main")


@pytest.mark.parametrize("call", SIEVES)
def test_what_may_be_seen_stays_and_nothing_else_does(call: str) -> None:
    message = answer(call)
    before = told(message)
    if call not in ONLY_ONE:
        assert all(word in before for word in ("vault",)) or call == "Admin.ListConnections"
    limits: dict[str, Any] = {"connections": ("main",), "topics": ("orders",)}
    if call == "Admin.ListConnections":
        limits = {"connections": ("main",)}
    limits["subscriptions"] = ("billing-*",)
    SIEVES[call](sight(call, Grant(frozenset({CALLS[call].right}), **limits)), message)
    after = told(message)
    assert "main" in after or "orders" in after
    for word in WORDS:
        assert word not in after, f"{word} in {message}"


@pytest.mark.parametrize("call", SIEVES)
def test_who_may_see_everything_does(call: str) -> None:
    message = answer(call)
    before = message.SerializeToString()
    SIEVES[call](Sight(EVERYTHING, CALLS[call].right, "main"), message)
    assert message.SerializeToString() == before


@pytest.mark.parametrize("call", SIEVES)
def test_who_may_see_nothing_sees_nothing(call: str) -> None:
    message = answer(call)
    if call in OF_ONE_SUBSCRIPTION:
        with pytest.raises(NotAllowed):
            SIEVES[call](sight(call), message)
        return
    SIEVES[call](sight(call), message)
    after = told(message)
    assert "orders" not in after
    assert "billing" not in after
