"""``cachesvc segments``, ``journals``, ``snapshots`` and ``rejects``: what lies in the store."""

from typing import Annotated

import typer

from cachesvc.cli.answers import Answer, Rows
from cachesvc.cli.command import calls
from cachesvc.cli.options import InConnection, OfTopic, TopicName, the_same
from cachesvc.cli.render import Column, enum_name
from cachesvc.cli.service import Service
from cachesvc.units import show_bytes, show_count, show_time
from cachesvc.v1.admin_pb2 import (
    JournalState,
    ListJournalsRequest,
    ListJournalsResponse,
    ListRejectsRequest,
    ListSegmentsRequest,
    ListSnapshotsRequest,
    ListSnapshotsResponse,
)

_VALUE_CHARACTERS_MAX = 60


@calls
def segments(
    service: Service,
    name: TopicName = "",
    connection: InConnection = "",
    topic: OfTopic = "",
) -> Answer:
    """List segments (Parquet files), by topic, partition and base offset.

    Paths are below the store's directory; any tool that knows Parquet may read the files.
    """
    topic = the_same(name, topic, "--topic")
    answers = service.ask_all(ListSegmentsRequest(connection=connection, topic=topic))
    found = [segment for answer in answers for segment in answer.segments]
    return Rows(found, _SEGMENT_COLUMNS, "no segments")


@calls
def journals(
    service: Service,
    name: TopicName = "",
    connection: InConnection = "",
    topic: OfTopic = "",
) -> Answer:
    """List journals: ACTIVE takes appends, SEALING becomes a segment, WARM is kept for speed."""
    topic = the_same(name, topic, "--topic")
    response: ListJournalsResponse = service.ask(
        ListJournalsRequest(connection=connection, topic=topic)
    )
    return Rows(response.journals, _JOURNAL_COLUMNS, "no journals")


@calls
def snapshots(
    service: Service,
    name: TopicName = "",
    connection: InConnection = "",
    topic: OfTopic = "",
) -> Answer:
    """List snapshots: the latest record per key of a partition, up to the offset `end`.

    Topics have them that a connection's snapshot_expression names. `cachesvc jobs run snapshot`
    continues them now, with what is sealed.
    """
    topic = the_same(name, topic, "--topic")
    response: ListSnapshotsResponse = service.ask(
        ListSnapshotsRequest(connection=connection, topic=topic)
    )
    return Rows(response.snapshots, _SNAPSHOT_COLUMNS, "no snapshots")


@calls
def rejects(
    service: Service,
    name: TopicName = "",
    connection: InConnection = "",
    topic: OfTopic = "",
    limit: Annotated[
        int, typer.Option(min=1, max=1_000_000, metavar="N", help="At most this many.")
    ] = 1_000,
) -> Answer:
    """List records that the JSON rule turned away, with the reason."""
    topic = the_same(name, topic, "--topic")
    request = ListRejectsRequest(connection=connection, topic=topic, limit=limit)
    found = [reject for answer in service.ask_all(request) for reject in answer.rejects]
    return Rows(found, _REJECT_COLUMNS, "no rejects")


def _begin(value: bytes) -> str:
    """The first characters of a value."""
    text = value[: 4 * _VALUE_CHARACTERS_MAX].decode(errors="backslashreplace")
    if len(text) <= _VALUE_CHARACTERS_MAX:
        return text
    return f"{text[: _VALUE_CHARACTERS_MAX - 1]}…"


_WHERE_COLUMNS = (
    Column("connection", lambda x: x.connection),
    Column("topic", lambda x: x.topic),
    Column("partition", lambda x: str(x.partition), number=True),
)
_RANGE_COLUMNS = (
    Column("begin", lambda x: str(x.base_offset), number=True),
    Column("end", lambda x: str(x.end_offset), number=True),
    Column("records", lambda x: show_count(x.record_count), number=True),
    Column("size", lambda x: show_bytes(x.bytes), number=True),
)
_SEGMENT_COLUMNS = (
    *_WHERE_COLUMNS,
    *_RANGE_COLUMNS,
    Column("rejects", lambda s: show_count(s.reject_count), number=True),
    Column("level", lambda s: str(s.level), number=True),
    Column("first record", lambda s: show_time(s.min_timestamp_ms)),
    Column("last record", lambda s: show_time(s.max_timestamp_ms)),
    Column("mined", lambda s: show_time(s.newest_mined_ms)),
    Column("path", lambda s: s.path),
)
_JOURNAL_COLUMNS = (
    *_WHERE_COLUMNS,
    *_RANGE_COLUMNS,
    Column("state", lambda j: enum_name(JournalState, j.state)),
    Column("path", lambda j: j.path),
)
_SNAPSHOT_COLUMNS = (
    *_WHERE_COLUMNS,
    *_RANGE_COLUMNS,
    Column("of", lambda s: show_count(s.read_count), number=True),
    Column("complete from", lambda s: str(s.complete_from_offset), number=True),
    Column("made", lambda s: show_time(s.created_ms)),
    Column("read by", lambda s: ", ".join(s.read_by) or "-"),
    Column("path", lambda s: s.path),
)
_REJECT_COLUMNS = (
    *_WHERE_COLUMNS,
    Column("offset", lambda r: str(r.offset), number=True),
    Column("time", lambda r: show_time(r.timestamp_ms)),
    Column("reason", lambda r: r.reason),
    Column("detail", lambda r: r.detail),
    Column("value", lambda r: _begin(r.value)),
)
