"""Every call has its entry, and grants cover what they name and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from cachesvc.errors import InvalidRequest, NotAllowed
from cachesvc.policy.callers import Grant, Right
from cachesvc.policy.rights import (
    CALLS,
    EVERY,
    EVERYTHING,
    NOTHING,
    Demand,
    Permissions,
    Scope,
    check_grant,
    permissions_of,
    rule_of,
)
from cachesvc.v1 import admin_pb2, log_cache_pb2

READ, COMMIT, MINING, ADMIN = Right.READ, Right.COMMIT, Right.MINING, Right.ADMIN


def methods() -> Iterator[tuple[str, MethodDescriptor]]:
    """Every call of the public services, as the .proto files have it."""
    for file, service in ((log_cache_pb2, "LogCache"), (admin_pb2, "Admin")):
        for method in file.DESCRIPTOR.services_by_name[service].methods:
            yield f"{service}.{method.name}", method


METHODS = dict(methods())


def field_at(message: Descriptor, path: str) -> FieldDescriptor:
    *tables, last = path.split(".")
    for table in tables:
        found = message.fields_by_name[table].message_type
        assert found is not None, f"{path} of {message.full_name}"
        message = found
    return message.fields_by_name[last]


def test_every_call_has_an_entry_and_every_entry_is_a_call() -> None:
    assert set(CALLS) == set(METHODS)


@pytest.mark.parametrize("call", METHODS)
def test_the_fields_that_name_things_are_in_the_request(call: str) -> None:
    rule, request = CALLS[call], METHODS[call].input_type
    for path in (*rule.connection, *filter(None, [rule.topic, rule.subscription])):
        assert field_at(request, path).type == FieldDescriptor.TYPE_STRING


@pytest.mark.parametrize("call", METHODS)
def test_a_call_that_names_a_connection_or_topic_is_held_to_it(call: str) -> None:
    """Unless it needs the right over the whole service, or over a subscription, by its own code."""
    rule, fields = CALLS[call], METHODS[call].input_type.fields_by_name
    assert not ("subscription" in fields and not rule.subscription)
    if rule.scope in (Scope.SERVICE, Scope.SUBSCRIPTION):
        return
    assert not ("topic" in fields and not rule.topic)
    assert not ("connection" in fields and not rule.connection)


@pytest.mark.parametrize("call", METHODS)
def test_what_changes_something_needs_more_than_to_read(call: str) -> None:
    name = call.partition(".")[2]
    looks = name.startswith(("Get", "List", "Describe", "Watch", "Subscribe", "TestFilter"))
    assert looks or CALLS[call].right is not READ


def test_a_call_that_nobody_has_entered_is_for_administrators_of_everything() -> None:
    rule = rule_of("Admin.ThatIsNew")
    assert (rule.right, rule.scope) == (ADMIN, Scope.SERVICE)


def grant(*rights: Right, **limits: tuple[str, ...]) -> Grant:
    return Grant(frozenset(rights), **limits)


@pytest.mark.parametrize(
    ("limits", "demand", "covered"),
    [
        ({}, Demand(READ, "main", "orders", "billing"), True),
        ({}, Demand(READ, EVERY, EVERY, EVERY), True),
        ({}, Demand(COMMIT, "main", "orders", "billing"), False),
        ({"connections": ("main",)}, Demand(READ, "main", EVERY), True),
        ({"connections": ("main",)}, Demand(READ, "mai", EVERY), False),
        ({"connections": ("main",)}, Demand(READ, EVERY), False),
        ({"connections": ("main",)}, Demand(READ), True),
        ({"topics": ("orders",)}, Demand(READ, "main", "orders"), True),
        ({"topics": ("orders",)}, Demand(READ, "main", "orders.secret"), False),
        ({"topics": ("orders",)}, Demand(READ, "main", EVERY), False),
        ({"topics": ("orders",)}, Demand(READ, "main", None), True),
        ({"topics": ("^orders\\..*",)}, Demand(READ, "main", "orders.eu"), True),
        ({"topics": ("^orders\\..*",)}, Demand(READ, "main", "my.orders.eu"), False),
        ({"topics": ("^orders",)}, Demand(READ, "main", "orders.eu"), False),
        ({"topics": ("^.*",)}, Demand(READ, "main", "__consumer_offsets"), False),
        ({"topics": ("^.*",)}, Demand(READ, "main", EVERY), False),
        ({"topics": ("orders", "^bill.*")}, Demand(READ, "main", "bills"), True),
        ({"topics": (".*",)}, Demand(READ, "main", "orders"), False),
        ({"subscriptions": ("billing",)}, Demand(READ, "main", "orders", "billing"), True),
        ({"subscriptions": ("billing",)}, Demand(READ, "main", "orders", "billing-2"), False),
        ({"subscriptions": ("billing*",)}, Demand(READ, "main", "orders", "billing-2"), True),
        ({"subscriptions": ("billing*",)}, Demand(READ, "main", "orders", "bill"), False),
        ({"subscriptions": ("billing*",)}, Demand(READ, "main", "orders"), True),
        ({"subscriptions": ("billing*",)}, Demand(READ, EVERY, EVERY, EVERY), False),
    ],
)
def test_what_a_grant_covers(
    limits: dict[str, tuple[str, ...]], demand: Demand, covered: bool
) -> None:
    permissions = Permissions([grant(READ, **limits)])
    assert permissions.cover(demand) is covered
    assert permissions.cover(demand) is covered  # as it is remembered


def test_limits_of_different_grants_do_not_mix() -> None:
    permissions = Permissions(
        [
            grant(READ, connections=("main",), topics=("orders",)),
            grant(READ, MINING, connections=("other",), topics=("bills",)),
        ]
    )
    assert permissions.cover(Demand(READ, "main", "orders"))
    assert permissions.cover(Demand(READ, "other", "bills"))
    assert not permissions.cover(Demand(READ, "main", "bills"))
    assert not permissions.cover(Demand(MINING, "main", "orders"))


def test_nothing_covers_nothing_and_everything_all() -> None:
    for right in Right:
        assert not NOTHING.cover(Demand(right))
        assert EVERYTHING.cover_all(right)


def test_administering_does_not_include_reading() -> None:
    assert not Permissions([grant(ADMIN)]).cover(Demand(READ, "main", "orders"))


def test_a_refusal_says_what_is_missing() -> None:
    with pytest.raises(NotAllowed) as caught:
        NOTHING.check(Demand(MINING, "main", EVERY))
    assert caught.value.reason == "NOT_ALLOWED"
    assert caught.value.metadata == {"right": "mining", "connection": "main", "topic": "*"}
    assert "'mining' over connection 'main', every topic" in str(caught.value)


def test_what_is_remembered_is_bounded_in_number_and_size() -> None:
    permissions = Permissions([grant(READ, topics=("orders",))])
    for number in range(5_000):
        assert not permissions.cover(Demand(READ, "main", f"t{number}"))
    assert not permissions.cover(Demand(READ, "main", "x" * 100_000))
    assert permissions.cover(Demand(READ, "main", "orders"))
    assert len(permissions._decisions) <= 2_000
    assert all(len(each.topic or "") < 300 for each in permissions._decisions)


def test_the_same_grants_are_compiled_once() -> None:
    grants = (grant(READ, topics=("^a.*",)),)
    assert permissions_of(grants) is permissions_of((grant(READ, topics=("^a.*",)),))


@pytest.mark.parametrize(
    "good",
    [
        grant(READ),
        grant(READ, connections=("main",), topics=("orders", "^a.*"), subscriptions=("b", "c*")),
        grant(READ, subscriptions=("*",)),
    ],
)
def test_grants_that_can_match(good: Grant) -> None:
    check_grant(good)


@pytest.mark.parametrize(
    "bad",
    [
        grant(),
        grant(READ, connections=("",)),
        grant(READ, connections=("*",)),
        grant(READ, topics=("",)),
        grant(READ, topics=("*",)),
        grant(READ, topics=("orders.*",)),
        grant(READ, topics=("^(",)),
        grant(READ, subscriptions=("",)),
        grant(READ, subscriptions=("a*b",)),
    ],
)
def test_grants_that_cannot(bad: Grant) -> None:
    with pytest.raises(InvalidRequest):
        check_grant(bad)


def test_the_documents_show_the_table() -> None:
    rows = [
        f"| `{call}` | {'—' if rule.scope is Scope.CALLER else f'`{rule.right.value}`'} | "
        f"{rule.scope.value}{f'; {rule.also}' if rule.also else ''} |"
        for call, rule in CALLS.items()
    ]
    text = (Path(__file__).parents[3] / "docs" / "security.md").read_text(encoding="utf-8")
    calls = ("| `LogCache.", "| `Admin.")
    assert [line for line in text.splitlines() if line.startswith(calls)] == rows
