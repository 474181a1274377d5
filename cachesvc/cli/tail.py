"""``cachesvc tail``: the records of one topic, as they come or as far as they are cached.

It subscribes under a name of its own, which it deletes at the end, also when it is interrupted or
terminated. A topic that nobody else needs is mined for as long as it runs.
"""

import base64
import secrets
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import grpc
import msgspec
import typer

from cachesvc.cli.command import talks_to_service
from cachesvc.cli.failure import CommandFailed
from cachesvc.cli.options import Common
from cachesvc.cli.render import bytes_fields, enum_name
from cachesvc.cli.service import Service
from cachesvc.cli.starts import parse_start
from cachesvc.units import printable, show_exact_time
from cachesvc.v1.filters_pb2 import Projection
from cachesvc.v1.log_cache_pb2 import (
    Batch,
    DeleteSubscriptionRequest,
    Encoding,
    Gap,
    GapCause,
    Header,
    ListOffsetsRequest,
    ListOffsetsResponse,
    MiningState,
    Mode,
    PartitionProgress,
    Position,
    Positions,
    Record,
    SubscribeRequest,
    SubscribeResponse,
    TimestampType,
)

Line = Callable[[Batch, Record], str]
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TROUBLED = (
    MiningState.BLOCKED,
    MiningState.SOURCE_UNREACHABLE,
    MiningState.FAILED,
    MiningState.THROTTLED,
    MiningState.STOPPED,
    MiningState.PAUSED,
)


@talks_to_service
def tail(
    settings: Common,
    topic: Annotated[str, typer.Argument(metavar="TOPIC")],
    connection: Annotated[
        str,
        typer.Option(metavar="NAME", help="Needed where the service has several."),
    ] = "",
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="START",
            help="earliest, latest, a time (ISO 8601) or milliseconds since the epoch; latest "
            "without it, and earliest with --no-follow.",
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow/--no-follow", help="Go on, or end at the log's end as it is now."),
    ] = True,
    filter_text: Annotated[
        str,
        typer.Option(
            "--filter",
            metavar="FILTER",
            help="Only records that meet this, such as 'value.op == \"c\"' or 'key == \"17\"'.",
        ),
    ] = "",
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="PATH",
            help="Of values only this, such as after.price; may be given several times.",
        ),
    ] = None,
    count_max: Annotated[
        int | None,
        typer.Option("--count", "--max", min=1, metavar="N", help="End after N records."),
    ] = None,
) -> None:
    """Print the records of a topic as they come: partition/offset, time, key and value.

    With --json one object a line; the value is in it as it is.
    """
    request = SubscribeRequest(
        subscription=f"tail-{secrets.token_hex(6)}",
        connection=connection,
        topics=[topic],
        mode=Mode.INCREMENTAL,
        start=parse_start(start or ("latest" if follow else "earliest"), "--from"),
        encoding=Encoding.RECORDS,
        filter_text=filter_text,
        projection=Projection(fields=fields),
    )
    line = json_line if settings.as_json else text_line
    with _ended_by_signals() as ending, Service(settings) as service:
        ending.callback(service.cancel_streams)
        if not follow:
            end = _log_end(service, connection, topic)
            if not end.positions:
                typer.echo(f"nothing of {topic} is cached; --follow mines it", err=True)
                return
            request.end.CopyFrom(end)
        with _events(service, request) as events:
            _print_records(events, line, count_max)


def text_line(batch: Batch, record: Record) -> str:
    """A record for people: fields separated by tabs, control characters escaped."""
    place = f"{batch.partition}/{record.offset}"
    key = _text(record.key) if record.HasField("key") else "-"
    value = _text(record.value) if record.HasField("value") else "(tombstone)"
    return "\t".join((place, show_exact_time(record.timestamp_ms), key, value))


def json_line(batch: Batch, record: Record) -> str:
    """A record for programs: one JSON object, the value within as the producer wrote it."""
    fields: dict[str, Any] = {
        "topic": batch.topic,
        "partition": batch.partition,
        "incarnation": batch.incarnation,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "timestamp_type": enum_name(TimestampType, record.timestamp_type),
        **bytes_fields("key", record.key if record.HasField("key") else None),
        "headers": [
            _header_key(header)
            | bytes_fields("value", header.value if header.HasField("value") else None)
            for header in record.headers
        ],
        "value": None,
    }
    if record.HasField("value"):
        try:
            fields["value"] = msgspec.Raw(msgspec.json.format(record.value.decode(), indent=-1))
        except (UnicodeDecodeError, msgspec.DecodeError):
            fields |= bytes_fields("value", record.value)
    return msgspec.json.encode(fields).decode()


def _header_key(header: Header) -> dict[str, str]:
    """Its text, with the bytes beside it where they are not UTF-8."""
    if not header.HasField("raw_key"):
        return {"key": header.key}
    return {"key": header.key, "key_base64": base64.b64encode(header.raw_key).decode()}


def _print_records(events: Iterable[SubscribeResponse], line: Line, count_max: int | None) -> None:
    """Prints until the stream ends or the count is reached; trouble goes to stderr."""
    left = count_max
    troubles: dict[tuple[str, int], int] = {}
    for event in events:
        kind = event.WhichOneof("event")
        if kind == "batch":
            records = event.batch.records if left is None else event.batch.records[:left]
            sys.stdout.write("".join(f"{line(event.batch, record)}\n" for record in records))
            sys.stdout.flush()
            if left is not None:
                left -= len(records)
                if not left:
                    return
        elif kind == "gap":
            typer.echo(_gap_text(event.gap), err=True)
        elif kind == "progress":
            for partition in event.progress.partitions:
                _tell_trouble(partition, troubles)


def _tell_trouble(partition: PartitionProgress, troubles: dict[tuple[str, int], int]) -> None:
    """Says once when mining of a partition has stopped, and once when it goes on."""
    name = (partition.topic, partition.partition)
    state = partition.mining_state if partition.mining_state in _TROUBLED else 0
    if troubles.get(name, 0) == state:
        return
    troubles[name] = state
    why = f": {printable(partition.mining_error)}" if partition.mining_error else ""
    what = f"is {enum_name(MiningState, state)}{why}" if state else "goes on"
    typer.echo(f"mining of {partition.topic}/{partition.partition} {what}", err=True)


def _gap_text(gap: Gap) -> str:
    where = f"{gap.topic}/{gap.partition}"
    return (
        f"gap: offsets {gap.begin_offset} to {gap.end_offset} (exclusive) of {where} cannot be "
        f"given any more: {enum_name(GapCause, gap.cause)}"
    )


def _log_end(service: Service, connection: str, topic: str) -> Positions:
    """The log's end of every partition that has something cached."""
    request = ListOffsetsRequest(connection=connection, topic=topic)
    response: ListOffsetsResponse = service.ask(request)
    return Positions(
        positions=[
            Position(
                topic=partition.topic,
                partition=partition.partition,
                incarnation=partition.incarnation,
                offset=partition.log_end_offset,
            )
            for partition in response.partitions
            if partition.log_end_offset > partition.log_start_offset
        ]
    )


@contextmanager
def _events(service: Service, request: SubscribeRequest) -> Iterator[Iterator[SubscribeResponse]]:
    """A stream whose subscription is deleted at the end, however the block is left."""
    began = False
    stream = service.stream(request)

    def noting_that_it_began() -> Iterator[SubscribeResponse]:
        nonlocal began
        for event in stream:
            began = True
            yield event

    try:
        yield noting_that_it_began()
    finally:
        stream.close()
        name = request.subscription
        delete = DeleteSubscriptionRequest(subscription=name)
        if not service.settle(delete) and began:
            advice = f"`cachesvc subscriptions delete {name}` removes it"
            typer.echo(f"subscription {name} is left behind; {advice}", err=True)


class _Ending:
    """A signal on its way to the end of the command."""

    def __init__(self) -> None:
        self.code = 0
        self._before: Callable[[], None] = lambda: None

    def callback(self, before: Callable[[], None]) -> None:
        """Has something done when a signal comes, from within its handler."""
        self._before = before

    def begin(self, number: int, frame: object) -> NoReturn:
        """The handler."""
        self.code = 128 + number
        self._before()
        raise SystemExit(self.code)


@contextmanager
def _ended_by_signals() -> Iterator[_Ending]:
    """Lets SIGINT and SIGTERM unwind the stack, so that what has to be undone is.

    What a handler raises is lost where Python is in a callback or a destructor by then. So streams
    are cancelled as well, and what comes of that is the signal's doing.
    """
    ending = _Ending()
    before = {number: signal.signal(number, ending.begin) for number in _SIGNALS}
    try:
        yield ending
    except (CommandFailed, grpc.RpcError) as error:
        if ending.code:
            raise SystemExit(ending.code) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _text(content: bytes) -> str:
    return printable(content.decode(errors="backslashreplace"))
