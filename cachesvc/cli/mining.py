"""``cachesvc mining``: mining tasks, their topics, and the readers that mine them."""

from typing import Annotated

import typer

from cachesvc.cli.answers import Answer, Done, Many, One
from cachesvc.cli.blocked import blocked, retry
from cachesvc.cli.by_name import group_of
from cachesvc.cli.command import calls
from cachesvc.cli.failure import NOT_FOUND, USAGE, CommandFailed
from cachesvc.cli.mining_tables import show_task, show_tasks, show_transitions
from cachesvc.cli.options import InConnection
from cachesvc.cli.overview import readers
from cachesvc.cli.render import as_dict
from cachesvc.cli.service import Service
from cachesvc.cli.watching import watch
from cachesvc.units import parse_time_ms
from cachesvc.v1.mining_tasks_pb2 import (
    EditMiningTaskRequest,
    ListMiningTasksRequest,
    ListMiningTasksResponse,
    ListMiningTransitionsRequest,
    ListMiningTransitionsResponse,
    MiningStart,
    MiningTask,
    PinTopicRequest,
    StartMinedTopicRequest,
    StartMiningTaskRequest,
    StopMinedTopicRequest,
    StopMiningTaskRequest,
    UnpinTopicRequest,
)

mining_app = group_of("CONNECTION")
mining_app.command("watch")(watch)
mining_app.command("readers")(readers)
mining_app.command("blocked")(blocked)
mining_app.command("retry")(retry)
mining_app.command("unblock", hidden=True)(retry)

Connection = Annotated[
    str, typer.Argument(metavar="CONNECTION", help="The connection that the task mines.")
]
Topic = Annotated[str, typer.Argument(metavar="TOPIC", help="The topic's name.")]
OneTopic = Annotated[
    str,
    typer.Option(
        "--topic", metavar="NAME", help="This topic only; the others go on.", show_default=False
    ),
]


@mining_app.callback(invoke_without_command=True)
@calls
def list_tasks(service: Service, connection: InConnection = "") -> Answer:
    """What is mined, by whom and how far behind the source; stop, start or edit it.

    There is one task per connection; it appears with the first subscription. Counts are since the
    service started.
    """
    return Many(_tasks(service, connection), show_tasks)


mining_app.command("list")(list_tasks)


@mining_app.command("show")
@calls
def show(service: Service, connection: Connection) -> Answer:
    """Show one task with its settings and topics."""
    tasks = _tasks(service, connection)
    if not tasks:
        what = f"connection {connection!r} has no mining task"
        raise CommandFailed(what, advice="the first subscription makes it", code=NOT_FOUND)
    return One(tasks[0], show_task)


@mining_app.command("stop")
@calls
def stop(
    service: Service,
    connection: Connection,
    topic: OneTopic = "",
) -> Answer:
    """Stop a task, or a topic of it, until it is started again; restarts do not start it.

    Subscribers are given what is cached, are told, and wait.
    """
    request = (
        StopMinedTopicRequest(connection=connection, topic=topic)
        if topic
        else StopMiningTaskRequest(connection=connection)
    )
    return One(service.ask(request).task, show_task)


@mining_app.command("start")
@calls
def start(
    service: Service,
    connection: Connection,
    topic: OneTopic = "",
) -> Answer:
    """Start a task, or a topic of it, that was stopped."""
    request = (
        StartMinedTopicRequest(connection=connection, topic=topic)
        if topic
        else StartMiningTaskRequest(connection=connection)
    )
    return One(service.ask(request).task, show_task)


@mining_app.command("edit")
@calls
def edit(
    service: Service,
    connection: Connection,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Call the task so.")] = None,
    retention_days: Annotated[
        float | None,
        typer.Option(
            metavar="DAYS", help="How long records stay; 0 leaves it to the configuration."
        ),
    ] = None,
    retention_bytes: Annotated[
        int | None,
        typer.Option(
            metavar="BYTES", help="Bytes of each topic that stay; 0 leaves it to the configuration."
        ),
    ] = None,
    retention_records: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Records of each topic that stay; 0 leaves it to the configuration."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="START",
            help="Where mining begins of topics not cached yet: earliest, now, a time (ISO 8601) "
            "or milliseconds since the epoch.",
        ),
    ] = None,
) -> Answer:
    """Change a task that is stopped."""
    if all(
        each is None for each in (name, retention_days, retention_bytes, retention_records, start)
    ):
        advice = "give --name, --retention-days, --retention-bytes, --retention-records or --start"
        raise CommandFailed("nothing is to be changed", advice=advice, code=USAGE)
    request = EditMiningTaskRequest(
        connection=connection,
        name=name,
        retention_days=retention_days,
        retention_bytes=retention_bytes,
        retention_records=retention_records,
        start=None if start is None else _parse_start(start),
    )
    return One(service.ask(request).task, show_task)


@mining_app.command("history")
@calls
def history(
    service: Service,
    connection: Annotated[
        str,
        typer.Argument(
            metavar="[CONNECTION]",
            help="The connection that the task mines; needed where there are several.",
            show_default=False,
        ),
    ] = "",
    topic: OneTopic = "",
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, metavar="N", help="At most this many.")
    ] = 100,
) -> Answer:
    """List past changes of state with their causes, the newest first."""
    request = ListMiningTransitionsRequest(connection=connection, topic=topic, limit=limit)
    response: ListMiningTransitionsResponse = service.ask(request)
    return Many(response.transitions, show_transitions)


@mining_app.command("pin")
@calls
def pin(
    service: Service,
    connection: Connection,
    topic: Topic,
    reader: Annotated[str, typer.Argument(metavar="READER", help="The reader's name.")],
    strict: Annotated[
        bool,
        typer.Option("--strict", help="While that reader is away, no other mines the topic."),
    ] = False,
) -> Answer:
    """Have a topic mined by one reader, until it is unpinned."""
    request = PinTopicRequest(connection=connection, topic=topic, reader=reader, strict=strict)
    service.ask(request)
    return Done(as_dict(request), f"topic {topic} is pinned to reader {reader}")


@mining_app.command("unpin")
@calls
def unpin(
    service: Service,
    connection: Connection,
    topic: Topic,
) -> Answer:
    """Have a topic given to readers automatically again."""
    request = UnpinTopicRequest(connection=connection, topic=topic)
    service.ask(request)
    return Done(as_dict(request), f"topic {topic} is pinned no more")


def _tasks(service: Service, connection: str) -> list[MiningTask]:
    response: ListMiningTasksResponse = service.ask(ListMiningTasksRequest(connection=connection))
    return list(response.tasks)


def _parse_start(text: str) -> MiningStart:
    if text == "earliest":
        return MiningStart(earliest=True)
    if text == "now":
        return MiningStart(now=True)
    try:
        return MiningStart(timestamp_ms=parse_time_ms(text))
    except ValueError as error:
        advice = "give earliest, now, a time such as 2026-01-31T12:00:00Z, or milliseconds since "
        advice += "the epoch"
        raise CommandFailed(f"--start {text!r} is no start", advice=advice, code=USAGE) from error
