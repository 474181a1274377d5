"""``cachesvc mining``: mining tasks, their topics, and the readers that mine them."""

from typing import Annotated

import typer
from google.protobuf.message import Message

from cachesvc.cli.failure import USAGE, CommandFailed
from cachesvc.cli.mining_tables import show_task, show_tasks, show_transitions
from cachesvc.cli.options import Address, AsJson, CaFile, Common, InConnection, common
from cachesvc.cli.overview import readers
from cachesvc.cli.render import as_dict, show_json
from cachesvc.cli.service import Service
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

mining_app = typer.Typer(rich_markup_mode=None, add_completion=False)
mining_app.command("watch")(watch)
mining_app.command("readers")(readers)

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
def list_tasks(
    ctx: typer.Context,
    connection: InConnection = "",
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """What is mined, by whom and how far behind the source; stop, start or edit it.

    There is one task per connection; it appears with the first subscription. Counts are since the
    service started.
    """
    settings = common(ctx, address, ca_file, as_json)
    if ctx.invoked_subcommand is not None:
        return
    tasks = _tasks(settings, connection)
    if settings.as_json:
        show_json([as_dict(task) for task in tasks])
    else:
        show_tasks(tasks)


@mining_app.command("show")
def show(
    ctx: typer.Context,
    connection: Connection,
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Show one task with its settings and topics."""
    settings = common(ctx, address, ca_file, as_json)
    tasks = _tasks(settings, connection)
    if not tasks:
        what = f"connection {connection} is not mined; its task appears with a subscription"
        raise CommandFailed(what)
    _show(tasks[0], settings)


@mining_app.command("stop")
def stop(
    ctx: typer.Context,
    connection: Connection,
    topic: OneTopic = "",
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Stop a task, or a topic of it, until it is started again; restarts do not start it.

    Subscribers are given what is cached, are told, and wait.
    """
    settings = common(ctx, address, ca_file, as_json)
    with Service(settings) as service:
        answer = (
            service.call(
                service.admin.StopMinedTopic,
                StopMinedTopicRequest(connection=connection, topic=topic),
            )
            if topic
            else service.call(
                service.admin.StopMiningTask, StopMiningTaskRequest(connection=connection)
            )
        )
    _show(answer.task, settings)


@mining_app.command("start")
def start(
    ctx: typer.Context,
    connection: Connection,
    topic: OneTopic = "",
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Start a task, or a topic of it, that was stopped."""
    settings = common(ctx, address, ca_file, as_json)
    with Service(settings) as service:
        answer = (
            service.call(
                service.admin.StartMinedTopic,
                StartMinedTopicRequest(connection=connection, topic=topic),
            )
            if topic
            else service.call(
                service.admin.StartMiningTask, StartMiningTaskRequest(connection=connection)
            )
        )
    _show(answer.task, settings)


@mining_app.command("edit")
def edit(
    ctx: typer.Context,
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
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Change a task that is stopped."""
    settings = common(ctx, address, ca_file, as_json)
    request = EditMiningTaskRequest(
        connection=connection,
        name=name,
        retention_days=retention_days,
        start=None if start is None else _parse_start(start),
    )
    with Service(settings) as service:
        answer = service.call(service.admin.EditMiningTask, request)
    _show(answer.task, settings)


@mining_app.command("history")
def history(
    ctx: typer.Context,
    connection: Connection,
    topic: OneTopic = "",
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, metavar="N", help="At most this many.")
    ] = 100,
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """List past changes of state with their causes, the newest first."""
    settings = common(ctx, address, ca_file, as_json)
    request = ListMiningTransitionsRequest(connection=connection, topic=topic, limit=limit)
    with Service(settings) as service:
        response: ListMiningTransitionsResponse = service.call(
            service.admin.ListMiningTransitions, request
        )
    if settings.as_json:
        show_json([as_dict(each) for each in response.transitions])
    else:
        show_transitions(response.transitions)


@mining_app.command("pin")
def pin(
    ctx: typer.Context,
    connection: Connection,
    topic: Topic,
    reader: Annotated[str, typer.Argument(metavar="READER", help="The reader's name.")],
    strict: Annotated[
        bool,
        typer.Option("--strict", help="While that reader is away, no other mines the topic."),
    ] = False,
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Have a topic mined by one reader, until it is unpinned."""
    request = PinTopicRequest(connection=connection, topic=topic, reader=reader, strict=strict)
    settings = common(ctx, address, ca_file, as_json)
    with Service(settings) as service:
        service.call(service.admin.PinTopic, request)
    _done(request, settings, f"topic {topic} is pinned to reader {reader}")


@mining_app.command("unpin")
def unpin(
    ctx: typer.Context,
    connection: Connection,
    topic: Topic,
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Have a topic given to readers automatically again."""
    request = UnpinTopicRequest(connection=connection, topic=topic)
    settings = common(ctx, address, ca_file, as_json)
    with Service(settings) as service:
        service.call(service.admin.UnpinTopic, request)
    _done(request, settings, f"topic {topic} is pinned no more")


def _tasks(settings: Common, connection: str) -> list[MiningTask]:
    with Service(settings) as service:
        request = ListMiningTasksRequest(connection=connection)
        response: ListMiningTasksResponse = service.call(service.admin.ListMiningTasks, request)
    return list(response.tasks)


def _show(task: MiningTask, settings: Common) -> None:
    if settings.as_json:
        show_json(as_dict(task))
    else:
        show_task(task)


def _done(request: Message, settings: Common, what: str) -> None:
    if settings.as_json:
        show_json(as_dict(request))
    else:
        typer.echo(what)


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
