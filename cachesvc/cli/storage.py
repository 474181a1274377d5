"""``cachesvc segments``, ``journals`` and ``rejects``: what lies in the store."""

from typing import Annotated, Any

import typer

from cachesvc.cli.options import Address, AsJson, CaFile, InConnection, OfTopic, common
from cachesvc.cli.render import Column, as_dict, enum_name, show_json, show_table
from cachesvc.cli.service import Service
from cachesvc.cli.units import show_bytes, show_count, show_time
from cachesvc.v1.admin_pb2 import (
    JournalState,
    ListJournalsRequest,
    ListJournalsResponse,
    ListRejectsRequest,
    ListSegmentsRequest,
)

_VALUE_CHARACTERS_MAX = 60


def segments(
    ctx: typer.Context,
    connection: InConnection = "",
    topic: OfTopic = "",
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """List segments (Parquet files), by topic, partition and base offset.

    Paths are below the store's directory; any tool that knows Parquet may read the files.
    """
    settings = common(ctx, address, ca_file, as_json)
    with Service(settings) as service:
        request = ListSegmentsRequest(connection=connection, topic=topic)
        answers = service.stream(service.admin.ListSegments, request)
        found = [segment for answer in answers for segment in answer.segments]
    _show(found, _SEGMENT_COLUMNS, "no segments", settings.as_json)


def journals(
    ctx: typer.Context,
    connection: InConnection = "",
    topic: OfTopic = "",
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """List journals: ACTIVE takes appends, SEALING becomes a segment, WARM is kept for speed."""
    settings = common(ctx, address, ca_file, as_json)
    with Service(settings) as service:
        request = ListJournalsRequest(connection=connection, topic=topic)
        response: ListJournalsResponse = service.call(service.admin.ListJournals, request)
    _show(list(response.journals), _JOURNAL_COLUMNS, "no journals", settings.as_json)


def rejects(
    ctx: typer.Context,
    connection: InConnection = "",
    topic: OfTopic = "",
    limit: Annotated[
        int, typer.Option(min=1, max=1_000_000, metavar="N", help="At most this many.")
    ] = 1_000,
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """List records that the JSON rule turned away, with the reason."""
    settings = common(ctx, address, ca_file, as_json)
    with Service(settings) as service:
        request = ListRejectsRequest(connection=connection, topic=topic, limit=limit)
        answers = service.stream(service.admin.ListRejects, request)
        found = [reject for answer in answers for reject in answer.rejects]
    _show(found, _REJECT_COLUMNS, "no rejects", settings.as_json)


def _show(found: list[Any], columns: tuple[Column, ...], nothing: str, as_json: bool) -> None:
    if as_json:
        show_json([as_dict(item) for item in found])
    else:
        show_table(found, columns, nothing)


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
    Column("path", lambda s: s.path),
)
_JOURNAL_COLUMNS = (
    *_WHERE_COLUMNS,
    *_RANGE_COLUMNS,
    Column("state", lambda j: enum_name(JournalState, j.state)),
    Column("path", lambda j: j.path),
)
_REJECT_COLUMNS = (
    *_WHERE_COLUMNS,
    Column("offset", lambda r: str(r.offset), number=True),
    Column("time", lambda r: show_time(r.timestamp_ms)),
    Column("reason", lambda r: r.reason),
    Column("detail", lambda r: r.detail),
    Column("value", lambda r: _begin(r.value)),
)
