"""``cachesvc store usage`` and ``store drops``: what is held by what, and what went, and why."""

from collections.abc import Iterable
from typing import Annotated

import typer

from cachesvc.cli.answers import Answer, Many, Rows
from cachesvc.cli.command import calls
from cachesvc.cli.options import InConnection, OfTopic, TopicName, the_same
from cachesvc.cli.render import Column, enum_name, show_facts, show_table
from cachesvc.cli.service import Service
from cachesvc.units import show_bytes, show_count, show_time
from cachesvc.v1.retention_pb2 import (
    DropCause,
    ListDropsRequest,
    ListDropsResponse,
    ListStoreUsageRequest,
    ListStoreUsageResponse,
    StoreUsage,
    TopicUsage,
)


@calls
def usage(
    service: Service,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Only this store.")] = "",
) -> Answer:
    """Show what each store holds of its budget, of which topics, and who has still to read it."""
    response: ListStoreUsageResponse = service.ask(ListStoreUsageRequest(store=name))
    return Many(response.stores, _show)


@calls
def drops(
    service: Service,
    name: TopicName = "",
    connection: InConnection = "",
    topic: OfTopic = "",
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, metavar="N", help="At most this many.")
    ] = 100,
) -> Answer:
    """List what retention has dropped, the newest first, and why: by age, by size, to make room."""
    topic = the_same(name, topic, "--topic")
    response: ListDropsResponse = service.ask(
        ListDropsRequest(connection=connection, topic=topic, limit=limit)
    )
    return Rows(response.drops, _DROP_COLUMNS, "nothing was dropped")


def _show(stores: Iterable[StoreUsage]) -> None:
    for number, store in enumerate(stores):
        if number:
            typer.echo()
        of = f" of {show_bytes(store.bytes_max)}" if store.HasField("bytes_max") else ""
        show_facts(
            [
                ("store", store.store),
                ("held", show_bytes(store.bytes) + of),
                ("segments", show_bytes(store.segment_bytes)),
                ("journals", show_bytes(store.journal_bytes)),
                ("snapshots", show_bytes(store.snapshot_bytes)),
                ("warm journals", show_bytes(store.warm_bytes)),
                ("to be swept", show_bytes(store.retired_bytes)),
                ("in quarantine", show_bytes(store.quarantine_bytes)),
                ("full", store.full or "no"),
            ]
        )
        show_table(store.topics, _TOPIC_COLUMNS, "no topics")


def _limit(topic: TopicUsage) -> str:
    parts = []
    if topic.HasField("bytes_max"):
        parts.append(show_bytes(topic.bytes_max))
    if topic.HasField("records_max"):
        parts.append(f"{show_count(topic.records_max)} records")
    return ", ".join(parts) or "-"


_TOPIC_COLUMNS = (
    Column("connection", lambda t: t.connection),
    Column("topic", lambda t: t.topic),
    Column("size", lambda t: show_bytes(t.bytes), number=True),
    Column("records", lambda t: show_count(t.records), number=True),
    Column("limit", _limit, number=True),
    Column("oldest", lambda t: show_time(t.oldest_mined_ms)),
    Column("unread", lambda t: show_bytes(t.unread_bytes), number=True),
    Column("furthest behind", lambda t: t.unread_by or "-"),
    Column("protected", lambda t: "yes" if t.is_protected else "no"),
)
_DROP_COLUMNS = (
    Column("time", lambda d: show_time(d.at_ms)),
    Column("connection", lambda d: d.connection),
    Column("topic", lambda d: d.topic),
    Column("cause", lambda d: enum_name(DropCause, d.cause).removeprefix("DROP_CAUSE_")),
    Column("segments", lambda d: show_count(d.segments), number=True),
    Column("records", lambda d: show_count(d.records), number=True),
    Column("size", lambda d: show_bytes(d.bytes), number=True),
    Column("detail", lambda d: d.detail or "-"),
)
