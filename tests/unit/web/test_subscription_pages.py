"""What pages of subscriptions make of answers."""

from __future__ import annotations

import pytest

from cachesvc.v1.log_cache_pb2 import (
    Lag,
    Member,
    Mode,
    Position,
    Sharing,
    Subscriber,
    Subscription,
    SubscriptionPartition,
)
from cachesvc.web.calls import CallFailed
from cachesvc.web.pages.subscription import (
    delete_preview,
    member_row,
    place_rows,
    runs_of,
    task_of,
)
from cachesvc.web.pages.subscription_reset import changes_of, reset_preview, reset_request
from cachesvc.web.pages.subscriptions import of_kind, subscription_row


def place(
    topic: str, partition: int, offset: int, *, lag: int = 0, incarnation: int = 1
) -> SubscriptionPartition:
    position = Position(topic=topic, partition=partition, offset=offset, incarnation=incarnation)
    return SubscriptionPartition(position=position, lag=Lag(records=lag))


def test_the_row_of_a_subscription() -> None:
    told = Subscription(name="s", topics=["a", "b"], mode=Mode.FULL_AND_INCREMENTAL, connected=True)
    row = subscription_row(told)
    assert (row.topics, row.mode, row.streams, row.shared) == (
        "a, b",
        "full and incremental",
        1,
        False,
    )
    told = Subscription(
        topic_expression="o.*",
        sharing=Sharing.SHARED,
        members=[Member(name="x"), Member(name="y", finished=True)],
    )
    row = subscription_row(told)
    assert (row.topics, row.streams, row.shared) == ("o.*", 1, True)


def test_sync_tasks_by_what_their_clients_say() -> None:
    assert task_of("cachesvc-sync/orders-to-files grpc-python-asyncio/1.7") == "orders-to-files"
    assert task_of("grpc-python-asyncio/1.7 cachesvc-sync/x") == ""
    assert task_of("") == ""
    clients = ["cachesvc-sync/b grpc", "cachesvc-sync/a grpc", "cachesvc-sync/b grpc", "grpc-go/1"]
    told = Subscription(subscribers=[Subscriber(client=client) for client in clients])
    row = subscription_row(told)
    assert row.tasks == ["a", "b"]
    others = subscription_row(Subscription(subscribers=[Subscriber(client="grpc-go/1")]))
    assert of_kind([row, others], "tasks") == [row]


def test_kinds_of_subscriptions() -> None:
    told = [
        Subscription(name="a", connected=True, lag=Lag(records=1)),
        Subscription(name="b", lag=Lag(records=5)),
        Subscription(name="c"),
    ]
    rows = [subscription_row(each) for each in told]
    kinds = ("", "connected", "behind", "away", "else")
    names = {kind: [row.told.name for row in of_kind(rows, kind)] for kind in kinds}
    assert names == {
        "": ["a", "b", "c"],
        "connected": ["a"],
        "behind": ["b", "a"],
        "away": ["b", "c"],
        "else": ["a", "b", "c"],
    }


def test_places_that_are_stored_and_that_are_only_delivered() -> None:
    told = Subscription(
        partitions=[place("t", 1, 10, lag=4), place("t", 0, 7)],
        delivering=[place("t", 1, 13), place("u", 0, 2, lag=3)],
    )
    rows = place_rows(told)
    assert [(row.place.topic, row.place.partition, row.uncommitted) for row in rows] == [
        ("t", 0, None),
        ("t", 1, 3),
        ("u", 0, None),
    ]
    assert [row.behind.lag.records for row in rows] == [0, 4, 3]


def test_members_in_words() -> None:
    positions = [Position(topic="t", partition=n) for n in (4, 0, 1, 2)]
    reads = Member(positions=[*positions, Position(topic="a", partition=9)])
    assert member_row(reads).reads == "a 9; t 0-2, 4"
    assert member_row(reads).state == "reads"
    assert member_row(Member(stalled_since_ms=5, positions=positions)).mood == "bad"
    assert member_row(Member(finished=True)).state == "finished"
    assert member_row(Member()).state == "waits"
    assert runs_of([]) == ""


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"to": "earliest"}, "earliest"),
        ({"to": "latest", "forget": "yes"}, "latest"),
        ({"to": "time", "time": " 1970-01-01T00:00:02 "}, "timestamp_ms"),
        ({"to": "positions", "positions": "t:0=5\n\n u.v:12=7 "}, "positions"),
        ({"to": "mode"}, None),
    ],
)
def test_what_a_form_asks_for(fields: dict[str, str], kind: str | None) -> None:
    request = reset_request({"name": "s", **fields})
    assert request.subscription == "s"
    assert request.start.WhichOneof("start") == kind
    assert request.HasField("start") == (kind is not None)
    assert request.forget_full_sync == ("forget" in fields)
    assert not request.validate_only


def test_positions_and_times_of_a_form() -> None:
    request = reset_request({"to": "positions", "positions": "t:0=5 u.v:12=7"})
    found = [(at.topic, at.partition, at.offset) for at in request.start.positions.positions]
    assert found == [("t", 0, 5), ("u.v", 12, 7)]
    assert reset_request({"to": "time", "time": "1500"}).start.timestamp_ms == 1_500


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"to": "nowhere"},
        {"to": "time"},
        {"to": "time", "time": "tomorrow"},
        {"to": "time", "time": "1960-01-01"},
        {"to": "positions"},
        {"to": "positions", "positions": "t:0"},
        {"to": "positions", "positions": "t:0=-1"},
        {"to": "positions", "positions": f"t:0={2**63}"},
        {"to": "positions", "positions": f"t:{2**31}=1"},
    ],
)
def test_what_is_wrong_with_a_form_is_said(fields: dict[str, str]) -> None:
    with pytest.raises(CallFailed) as failed:
        reset_request(fields)
    assert failed.value.reason == "INVALID_ARGUMENT"


def test_what_a_reset_changes() -> None:
    before = Subscription(
        partitions=[
            place("t", 0, 100),
            place("t", 1, 100),
            place("t", 2, 100),
            place("t", 3, 100),
            place("old", 0, 9),
        ]
    )
    after = Subscription(
        partitions=[
            place("t", 0, 40),
            place("t", 1, 130),
            place("t", 2, 100),
            place("t", 4, 10, lag=7),
            place("old", 0, 0, incarnation=2, lag=3),
        ]
    )
    found = {(c.topic, c.partition): c.meaning for c in changes_of(before, after)}
    assert found == {
        ("t", 0): "60 offsets are delivered again",
        ("t", 1): "30 offsets are left out",
        ("t", 2): "stays where it is",
        ("t", 3): "starts as the mode says",
        ("t", 4): "7 offsets to read",
        ("old", 0): "3 offsets to read",
    }
    assert changes_of(before, after)[0].partition == 0, "what goes back furthest comes first"


def test_the_preview_of_a_reset() -> None:
    before = Subscription(
        name="s",
        connected=True,
        full_sync_done=True,
        partitions=[place("t", number, 100) for number in range(300)],
    )
    after = Subscription(
        partitions=[place("t", number, 90, lag=20) for number in range(300)], lag=Lag(records=6_000)
    )
    preview = reset_preview(before, after)
    said = " ".join(preview.points)
    assert "3,000 offsets are delivered again, 0 are left out" in said
    assert "6,000 offsets are to be read" in said
    assert "SUBSCRIPTION_RESET" in said
    assert "full sync was done is forgotten" in said
    assert "The first 200 of 300 partitions" in said
    assert len(preview.rows) == 200


def test_the_preview_of_a_reset_to_what_the_mode_says() -> None:
    before = Subscription(name="s", mode=Mode.INCREMENTAL)
    preview = reset_preview(before, Subscription())
    assert any("the mode, incremental, says where they start" in point for point in preview.points)
    assert (preview.columns, preview.rows) == ((), [])


def test_the_preview_of_a_deletion() -> None:
    told = Subscription(
        name="s", connected=True, partitions=[place("t", number, 1_000) for number in range(60)]
    )
    preview = delete_preview(told)
    assert "SUBSCRIPTION_DELETED" in preview.points[0]
    assert "60 stored positions" in preview.points[1]
    assert (len(preview.rows), preview.rows[0]) == (50, ("t", "0", "1,000"))
