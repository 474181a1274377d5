"""``cachesvc topics``: topics that are cached or could be."""

from typing import Annotated

import typer

from cachesvc.cli.answers import Answer, One, Rows
from cachesvc.cli.by_name import group_of
from cachesvc.cli.command import calls
from cachesvc.cli.failure import NOT_FOUND, USAGE, CommandFailed
from cachesvc.cli.options import InConnection
from cachesvc.cli.render import Column, enum_name, show_facts, show_table
from cachesvc.cli.service import Service
from cachesvc.units import show_bytes, show_count
from cachesvc.v1.admin_pb2 import ListTopicsRequest, ListTopicsResponse, Topic
from cachesvc.v1.log_cache_pb2 import MiningState, OffsetRange, PartitionOffsets

topics_app = group_of("TOPIC")


@topics_app.callback(invoke_without_command=True)
@calls
def list_topics(service: Service, connection: InConnection = "") -> Answer:
    """List topics, or show one.

    A topic is needed while a subscription wants it, and only then mined.
    """
    response: ListTopicsResponse = service.ask(ListTopicsRequest(connection=connection))
    return Rows(response.topics, _TOPIC_COLUMNS, "no topics")


topics_app.command("list")(list_topics)


@topics_app.command("show")
@calls
def show_topic(
    service: Service,
    topic: Annotated[str, typer.Argument(metavar="TOPIC")],
    connection: InConnection = "",
) -> Answer:
    """Show one topic and its partitions."""
    response: ListTopicsResponse = service.ask(
        ListTopicsRequest(connection=connection, topic=topic)
    )
    return One(_the_one(list(response.topics), topic), _show)


def _show(found: Topic) -> None:
    show_facts(
        [
            ("topic", found.name),
            ("connection", found.connection),
            ("incarnation", str(found.incarnation)),
            ("needed", _yes_no(found.needed)),
            ("state", _state(found)),
            ("segments", f"{show_count(found.segment_count)}, {show_bytes(found.segment_bytes)}"),
            ("journals", show_bytes(found.journal_bytes)),
            ("rejects", show_count(found.reject_count)),
        ]
    )
    typer.echo()
    show_table(found.partitions, _PARTITION_COLUMNS, "no partitions are known yet")


def mining_lag(partition: PartitionOffsets) -> int | None:
    """Offsets that the source has and the log has not; None while the source was not asked."""
    if not partition.HasField("source_high_watermark"):
        return None
    return max(0, partition.source_high_watermark - partition.log_end_offset)


def _the_one(topics: list[Topic], name: str) -> Topic:
    if not topics:
        advice = "`cachesvc topics` lists them"
        raise CommandFailed(f"there is no topic {name!r}", advice=advice, code=NOT_FOUND)
    if len(topics) > 1:
        names = ", ".join(topic.connection for topic in topics)
        what = f"several connections have a topic {name!r}: {names}"
        raise CommandFailed(what, advice="name one with --connection", code=USAGE)
    return topics[0]


def _topic_lag(topic: Topic) -> int | None:
    lags = [lag for lag in map(mining_lag, topic.partitions) if lag is not None]
    return sum(lags) if lags else None


def _state(topic: Topic) -> str:
    state = enum_name(MiningState, topic.mining_state)
    return f"{state}: {topic.mining_error}" if topic.mining_error else state


def _range(found: OffsetRange) -> str:
    return f"{found.begin_offset} to {found.end_offset}"


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"


_TOPIC_COLUMNS = (
    Column("connection", lambda t: t.connection),
    Column("topic", lambda t: t.name),
    Column("needed", lambda t: _yes_no(t.needed)),
    Column("state", _state),
    Column("partitions", lambda t: show_count(len(t.partitions) or None), number=True),
    Column("mining lag", lambda t: show_count(_topic_lag(t)), number=True),
    Column("segments", lambda t: show_count(t.segment_count), number=True),
    Column("size", lambda t: show_bytes(t.segment_bytes), number=True),
    Column("journals", lambda t: show_bytes(t.journal_bytes), number=True),
    Column("rejects", lambda t: show_count(t.reject_count), number=True),
)
_PARTITION_COLUMNS = (
    Column("partition", lambda p: str(p.partition), number=True),
    Column("log start", lambda p: str(p.log_start_offset), number=True),
    Column("older ranges", lambda p: ", ".join(map(_range, p.older)) or "-"),
    Column("backfill", lambda p: _range(p.backfill) if p.HasField("backfill") else "-"),
    Column("log end", lambda p: str(p.log_end_offset), number=True),
    Column(
        "source end",
        lambda p: str(p.source_high_watermark) if p.HasField("source_high_watermark") else "-",
        number=True,
    ),
    Column("mining lag", lambda p: show_count(mining_lag(p)), number=True),
    Column("state", lambda p: enum_name(MiningState, p.mining_state)),
    Column("error", lambda p: p.mining_error or p.backfill_error),
)
