"""``cachesvc lag``: how far every subscription is behind the log, and the log behind its source."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from cachesvc.cli.command import talks_to_service
from cachesvc.cli.options import Common, InConnection, OfTopic, the_same
from cachesvc.cli.render import Column, show_json, show_table
from cachesvc.cli.service import Service
from cachesvc.cli.topics import mining_lag
from cachesvc.units import show_bytes, show_count, show_duration
from cachesvc.v1.admin_pb2 import ListTopicsRequest, ListTopicsResponse, Topic
from cachesvc.v1.log_cache_pb2 import (
    ListSubscriptionsRequest,
    ListSubscriptionsResponse,
    PartitionOffsets,
    Subscription,
    SubscriptionPartition,
)

# Connection, topic, incarnation, partition.
_Key = tuple[str, str, int, int]


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition of one subscription; the fields are those of the JSON output.

    ``position`` is None where nothing is committed yet: the lag is then that of the stream itself,
    which ``delivered`` says where it is; that is None where none is connected.
    ``log_end_offset`` is None where the log has no such partition (any more), the mining lag also
    where the source has not been asked yet.
    """

    subscription: str
    connected: bool
    connection: str
    topic: str
    incarnation: int
    partition: int
    position: int | None
    log_end_offset: int | None
    lag_records: int
    lag_bytes: int
    lag_seconds: float
    mining_lag_records: int | None
    delivered: int | None


@talks_to_service
def lag(
    settings: Common,
    name: Annotated[
        str, typer.Argument(metavar="[SUBSCRIPTION]", help="The same as --subscription.")
    ] = "",
    subscription: Annotated[
        str,
        typer.Option(metavar="NAME", help="Only of this subscription.", show_default=False),
    ] = "",
    connection: InConnection = "",
    topic: OfTopic = "",
) -> None:
    """How far every subscription is behind, connected or not, per partition.

    The lag is in records (offsets, holes included), bytes and time against the log's end, from the
    stored position, or from where the stream is if it has not committed yet; the mining lag is how
    far the log itself is behind its source.
    """
    name = the_same(name, subscription, "--subscription")
    with Service(settings) as service:
        listed: ListSubscriptionsResponse = service.ask(
            ListSubscriptionsRequest(connection=connection)
        )
        topics: ListTopicsResponse = service.ask(
            ListTopicsRequest(connection=connection, topic=topic)
        )
    wanted = [each for each in listed.subscriptions if name in ("", each.name)]
    rows = [
        row for row in partition_lags(wanted, _offsets(topics.topics)) if topic in ("", row.topic)
    ]
    if settings.as_json:
        show_json([asdict(row) for row in rows])
    else:
        show_table(rows, _COLUMNS, "no subscription has a position")
    for remark in _remarks(wanted, name):
        typer.echo(remark, err=True)


def partition_lags(
    subscriptions: Iterable[Subscription], offsets: Mapping[_Key, PartitionOffsets]
) -> Iterator[PartitionLag]:
    """A row for every partition that a subscription has a position of, or streams."""
    for subscription in subscriptions:
        committed = {_place(each): each for each in subscription.partitions}
        delivering = {_place(each): each for each in subscription.delivering}
        for place in sorted({*committed, *delivering}):
            stored, streamed = committed.get(place), delivering.get(place)
            behind = (stored or delivering[place]).lag
            known = offsets.get((subscription.connection, *place))
            topic, incarnation, partition = place
            yield PartitionLag(
                subscription=subscription.name,
                connected=subscription.connected,
                connection=subscription.connection,
                topic=topic,
                incarnation=incarnation,
                partition=partition,
                position=None if stored is None else stored.position.offset,
                log_end_offset=None if known is None else known.log_end_offset,
                lag_records=behind.records,
                lag_bytes=behind.bytes,
                lag_seconds=behind.seconds,
                mining_lag_records=None if known is None else mining_lag(known),
                delivered=None if streamed is None else streamed.position.offset,
            )


def _place(row: SubscriptionPartition) -> tuple[str, int, int]:
    return row.position.topic, row.position.incarnation, row.position.partition


def _remarks(subscriptions: Sequence[Subscription], wanted: str) -> Iterator[str]:
    """What the rows do not tell: which subscriptions have none, and why."""
    if wanted and not subscriptions:
        yield f"there is no subscription {wanted!r}; `cachesvc subscriptions` lists them"
    for each in subscriptions:
        if not each.partitions and not each.delivering:
            why = "reads no partition yet" if each.connected else "is not connected"
            yield f"{each.name} has not committed anything and {why}"


def _offsets(topics: Iterable[Topic]) -> dict[_Key, PartitionOffsets]:
    return {
        (topic.connection, topic.name, partition.incarnation, partition.partition): partition
        for topic in topics
        for partition in topic.partitions
    }


def _offset(offset: int | None) -> str:
    return "-" if offset is None else str(offset)


_COLUMNS = (
    Column("subscription", lambda row: row.subscription),
    Column("topic", lambda row: row.topic),
    Column("partition", lambda row: str(row.partition), number=True),
    Column("position", lambda row: _offset(row.position), number=True),
    Column("log end", lambda row: _offset(row.log_end_offset), number=True),
    Column("lag", lambda row: show_count(row.lag_records), number=True),
    Column("lag bytes", lambda row: show_bytes(row.lag_bytes), number=True),
    Column("lag time", lambda row: show_duration(row.lag_seconds), number=True),
    Column("mining lag", lambda row: show_count(row.mining_lag_records), number=True),
    Column("connected", lambda row: "yes" if row.connected else "no"),
    Column("delivered", lambda row: _offset(row.delivered), number=True),
)
