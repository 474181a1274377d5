"""``cachesvc lag``: how far every subscription is behind the log, and the log behind its source."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from cachesvc.cli.command import talks_to_service
from cachesvc.cli.options import Common, InConnection
from cachesvc.cli.render import Column, show_json, show_table
from cachesvc.cli.service import Service
from cachesvc.cli.topics import mining_lag
from cachesvc.cli.units import show_bytes, show_count, show_duration
from cachesvc.v1.admin_pb2 import ListTopicsRequest, ListTopicsResponse, Topic
from cachesvc.v1.log_cache_pb2 import (
    ListSubscriptionsRequest,
    ListSubscriptionsResponse,
    PartitionOffsets,
    Subscription,
)

# Connection, topic, incarnation, partition.
_Key = tuple[str, str, int, int]


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition of one subscription; the fields are those of the JSON output.

    ``log_end_offset`` is None where the log has no such partition (any more), the mining lag also
    where the source has not been asked yet.
    """

    subscription: str
    connected: bool
    connection: str
    topic: str
    incarnation: int
    partition: int
    position: int
    log_end_offset: int | None
    lag_records: int
    lag_bytes: int
    lag_seconds: float
    mining_lag_records: int | None


@talks_to_service
def lag(
    settings: Common,
    subscription: Annotated[
        str,
        typer.Option(metavar="NAME", help="Only of this subscription.", show_default=False),
    ] = "",
    connection: InConnection = "",
) -> None:
    """How far every subscription is behind, connected or not, per partition.

    The lag is in records (offsets, holes included), bytes and time against the log's end; the
    mining lag is how far the log itself is behind its source.
    """
    with Service(settings) as service:
        listed: ListSubscriptionsResponse = service.ask(
            ListSubscriptionsRequest(connection=connection)
        )
        topics: ListTopicsResponse = service.ask(ListTopicsRequest(connection=connection))
    wanted = [s for s in listed.subscriptions if subscription in ("", s.name)]
    rows = list(partition_lags(wanted, _offsets(topics.topics)))
    if settings.as_json:
        show_json([asdict(row) for row in rows])
    else:
        show_table(rows, _COLUMNS, "no subscription has a position")


def partition_lags(
    subscriptions: Iterable[Subscription], offsets: Mapping[_Key, PartitionOffsets]
) -> Iterator[PartitionLag]:
    """A row for every partition that a subscription has a position of."""
    for subscription in subscriptions:
        for partition in subscription.partitions:
            position = partition.position
            place = (position.topic, position.incarnation, position.partition)
            known = offsets.get((subscription.connection, *place))
            yield PartitionLag(
                subscription=subscription.name,
                connected=subscription.connected,
                connection=subscription.connection,
                topic=position.topic,
                incarnation=position.incarnation,
                partition=position.partition,
                position=position.offset,
                log_end_offset=None if known is None else known.log_end_offset,
                lag_records=partition.lag.records,
                lag_bytes=partition.lag.bytes,
                lag_seconds=partition.lag.seconds,
                mining_lag_records=None if known is None else mining_lag(known),
            )


def _offsets(topics: Iterable[Topic]) -> dict[_Key, PartitionOffsets]:
    return {
        (topic.connection, topic.name, partition.incarnation, partition.partition): partition
        for topic in topics
        for partition in topic.partitions
    }


_COLUMNS = (
    Column("subscription", lambda row: row.subscription),
    Column("topic", lambda row: row.topic),
    Column("partition", lambda row: str(row.partition), number=True),
    Column("position", lambda row: str(row.position), number=True),
    Column(
        "log end",
        lambda row: "-" if row.log_end_offset is None else str(row.log_end_offset),
        number=True,
    ),
    Column("lag", lambda row: show_count(row.lag_records), number=True),
    Column("lag bytes", lambda row: show_bytes(row.lag_bytes), number=True),
    Column("lag time", lambda row: show_duration(row.lag_seconds), number=True),
    Column("mining lag", lambda row: show_count(row.mining_lag_records), number=True),
    Column("connected", lambda row: "yes" if row.connected else "no"),
)
