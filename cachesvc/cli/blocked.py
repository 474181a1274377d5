"""``cachesvc mining blocked`` and ``retry``: partitions that have stopped at one record."""

from typing import Annotated

import typer

from cachesvc.cli.answers import Answer, Rows
from cachesvc.cli.command import calls
from cachesvc.cli.options import InConnection
from cachesvc.cli.render import Column
from cachesvc.cli.service import Service
from cachesvc.units import show_bytes, show_time
from cachesvc.v1.mining_tasks_pb2 import (
    BlockedPartition,
    ListBlockedPartitionsRequest,
    ListBlockedPartitionsResponse,
    RetryPartitionsRequest,
    RetryPartitionsResponse,
)


def _retried(partition: BlockedPartition) -> str:
    at_ms = partition.blocked.retry_ms
    return show_time(at_ms) if at_ms else "on request"


def _size(partition: BlockedPartition) -> str:
    return show_bytes(partition.blocked.bytes) if partition.blocked.bytes else "?"


_COLUMNS = (
    Column("connection", lambda p: p.connection),
    Column("topic", lambda p: p.topic),
    Column("partition", lambda p: str(p.partition), number=True),
    Column("offset", lambda p: str(p.blocked.offset), number=True),
    Column("size", _size, number=True),
    Column("reason", lambda p: p.blocked.reason),
    Column("since", lambda p: show_time(p.blocked.since_ms)),
    Column("tried again", _retried),
    Column("detail", lambda p: p.blocked.detail),
)


@calls
def blocked(
    service: Service,
    connection: InConnection = "",
    topic: Annotated[
        str, typer.Option("--topic", metavar="NAME", help="Only this topic.", show_default=False)
    ] = "",
) -> Answer:
    """List partitions that have stopped at one record: where, why, when they are tried again."""
    request = ListBlockedPartitionsRequest(connection=connection, topic=topic)
    response: ListBlockedPartitionsResponse = service.ask(request)
    return Rows(response.partitions, _COLUMNS, "no partition is blocked")


@calls
def retry(
    service: Service,
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="The topic's name.")],
    partition: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="This partition only, not all that are blocked."),
    ] = None,
    connection: InConnection = "",
) -> Answer:
    """Have blocked partitions of a topic tried again, at once.

    One that stops again is blocked again; `mining blocked` tells.
    """
    request = RetryPartitionsRequest(connection=connection, topic=topic, partition=partition)
    response: RetryPartitionsResponse = service.ask(request)
    return Rows(response.partitions, _COLUMNS, "no partition is blocked")
