"""``cachesvc mining``: mining tasks, their topics, and the readers that mine them."""

from typing import Annotated

import typer

from cachesvc.cli.blocked import blocked, retry
from cachesvc.cli.by_name import group_of
from cachesvc.cli.command import ask, show_done, show_many, show_one, talks_to_service
from cachesvc.cli.failure import NOT_FOUND, USAGE, CommandFailed
from cachesvc.cli.mining_tables import show_task, show_tasks, show_transitions
from cachesvc.cli.options import Common, InConnection
from cachesvc.cli.overview import readers
from cachesvc.cli.render import as_dict
from cachesvc.cli.units import parse_time_ms
from cachesvc.cli.watching import watch
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
@talks_to_service
def list_tasks(settings: Common, connection: InConnection = "") -> None:
    """What is mined, by whom and how far behind the source; stop, start or edit it.

    There is one task per connection; it appears with the first subscription. Counts are since the
    service started.
    """
    show_many(settings, _tasks(settings, connection), show_tasks)


mining_app.command("list")(list_tasks)


@mining_app.command("show")
@talks_to_service
def show(settings: Common, connection: Connection) -> None:
    """Show one task with its settings and topics."""
    tasks = _tasks(settings, connection)
    if not tasks:
        what = f"connection {connection!r} has no mining task"
        raise CommandFailed(what, advice="the first subscription makes it", code=NOT_FOUND)
    show_one(settings, tasks[0], show_task)


@mining_app.command("stop")
@talks_to_service
def stop(
    settings: Common,
    connection: Connection,
    topic: OneTopic = "",
) -> None:
    """Stop a task, or a topic of it, until it is started again; restarts do not start it.

    Subscribers are given what is cached, are told, and wait.
    """
    request = (
        StopMinedTopicRequest(connection=connection, topic=topic)
        if topic
        else StopMiningTaskRequest(connection=connection)
    )
    show_one(settings, ask(settings, request).task, show_task)


@mining_app.command("start")
@talks_to_service
def start(
    settings: Common,
    connection: Connection,
    topic: OneTopic = "",
) -> None:
    """Start a task, or a topic of it, that was stopped."""
    request = (
        StartMinedTopicRequest(connection=connection, topic=topic)
        if topic
        else StartMiningTaskRequest(connection=connection)
    )
    show_one(settings, ask(settings, request).task, show_task)


@mining_app.command("edit")
@talks_to_service
def edit(
    settings: Common,
    connection: Connection,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Call the task so.")] = None,
    retention_days: Annotated[
        float | None,
        typer.Option(
            metavar="DAYS", help="How long records stay; 0 leaves it to the configuration."
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
) -> None:
    """Change a task that is stopped."""
    if name is None and retention_days is None and start is None:
        advice = "give --name, --retention-days or --start"
        raise CommandFailed("nothing is to be changed", advice=advice, code=USAGE)
    request = EditMiningTaskRequest(
        connection=connection,
        name=name,
        retention_days=retention_days,
        start=None if start is None else _parse_start(start),
    )
    show_one(settings, ask(settings, request).task, show_task)


@mining_app.command("history")
@talks_to_service
def history(
    settings: Common,
    connection: Connection,
    topic: OneTopic = "",
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, metavar="N", help="At most this many.")
    ] = 100,
) -> None:
    """List past changes of state with their causes, the newest first."""
    request = ListMiningTransitionsRequest(connection=connection, topic=topic, limit=limit)
    response: ListMiningTransitionsResponse = ask(settings, request)
    show_many(settings, response.transitions, show_transitions)


@mining_app.command("pin")
@talks_to_service
def pin(
    settings: Common,
    connection: Connection,
    topic: Topic,
    reader: Annotated[str, typer.Argument(metavar="READER", help="The reader's name.")],
    strict: Annotated[
        bool,
        typer.Option("--strict", help="While that reader is away, no other mines the topic."),
    ] = False,
) -> None:
    """Have a topic mined by one reader, until it is unpinned."""
    request = PinTopicRequest(connection=connection, topic=topic, reader=reader, strict=strict)
    ask(settings, request)
    show_done(settings, as_dict(request), f"topic {topic} is pinned to reader {reader}")


@mining_app.command("unpin")
@talks_to_service
def unpin(
    settings: Common,
    connection: Connection,
    topic: Topic,
) -> None:
    """Have a topic given to readers automatically again."""
    request = UnpinTopicRequest(connection=connection, topic=topic)
    ask(settings, request)
    show_done(settings, as_dict(request), f"topic {topic} is pinned no more")


def _tasks(settings: Common, connection: str) -> list[MiningTask]:
    response: ListMiningTasksResponse = ask(settings, ListMiningTasksRequest(connection=connection))
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
