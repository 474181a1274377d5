"""``cachesvc connection``: the Kafka clusters of a service, looked at and changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cachesvc.cli.answers import Answer, Done, One
from cachesvc.cli.by_name import group_of
from cachesvc.cli.command import calls
from cachesvc.cli.connection_test import run_test
from cachesvc.cli.overview import connections, elsewhere, foreign, listed, reachable
from cachesvc.cli.render import show_facts
from cachesvc.cli.service import Service
from cachesvc.cli.settings_flags import (
    Name,
    Named,
    file_option,
    flat,
    set_option,
    unset_option,
)
from cachesvc.serving.connection_messages import message_of, settings_of
from cachesvc.settings.connection import (
    ConnectionConfig,
    connection_dict,
    make_paths_absolute,
    parse_connection,
    setting_paths_of_connection,
)
from cachesvc.units import show_time
from cachesvc.v1.connections_pb2 import (
    AcceptClusterRequest,
    AcceptClusterResponse,
    Connection,
    CreateConnectionRequest,
    DeleteConnectionRequest,
    GetConnectionRequest,
    UpdateConnectionRequest,
)

connection_app = group_of("NAME")
CONNECTIONS = Named("connection", "connections", make_paths_absolute, setting_paths_of_connection)

File = Annotated[Path | None, file_option("connections")]
Kafka = Annotated[
    str | None,
    typer.Option("--kafka", metavar="HOST:PORT", help="Bootstrap servers, separated by commas."),
]
Topics = Annotated[
    str | None,
    typer.Option(
        "--topics",
        metavar="EXPRESSION",
        help="RE2 expression that has to match a topic's whole name.",
    ),
]
Set = Annotated[
    list[str] | None,
    set_option(
        "Any other setting by its name in the file, such as tls.ca_file=/etc/ca.pem or "
        "sasl.password_env=NAME"
    ),
]
Unset = Annotated[
    list[str] | None, unset_option("a table, such as tls, is taken away. May be repeated.")
]


@connection_app.callback(invoke_without_command=True)
@calls
def connection(service: Service) -> Answer:
    """List Kafka clusters; show, create, update, delete, test or accept one."""
    return listed(service)


connection_app.command("list")(connections)


@connection_app.command("show")
@calls
def show_connection(service: Service, name: Name) -> Answer:
    """Show one connection with all its settings."""
    answer = service.ask(GetConnectionRequest(name=name))
    return One(answer.connection, _show)


@connection_app.command("create")
@calls
def create_connection(
    service: Service,
    name: Name,
    kafka: Kafka = None,
    topics: Topics = None,
    file: File = None,
    set_: Set = None,
) -> Answer:
    """Make a connection; it survives a restart.

    Paths are those of the service's machine; relative ones are made absolute here. A secret is
    never given: name an environment variable of the service, or a file, that holds it.
    """
    tree = CONNECTIONS.from_file(file, name) if file is not None else {"name": name}
    config = _changed(tree, file, kafka, topics, set_ or ())
    answer = service.ask(CreateConnectionRequest(connection=message_of(config)))
    return One(answer.connection, _show)


@connection_app.command("update")
@calls
def update_connection(
    service: Service,
    name: Name,
    kafka: Kafka = None,
    topics: Topics = None,
    file: File = None,
    set_: Set = None,
    unset: Unset = None,
) -> Answer:
    """Change settings of a connection; with --file all of them.

    Its readers are restarted; other connections and running streams are left alone.
    """
    if file is not None:
        tree = CONNECTIONS.from_file(file, name)
    else:
        tree = settings_of(service.ask(GetConnectionRequest(name=name)).connection)
    CONNECTIONS.unset(tree, unset or ())
    config = _changed(tree, file, kafka, topics, set_ or ())
    answer = service.ask(UpdateConnectionRequest(connection=message_of(config)))
    return One(answer.connection, _show)


@connection_app.command("delete")
@calls
def delete_connection(service: Service, name: Name) -> Answer:
    """Forget a connection that no subscription uses.

    What is cached of it stays until retention takes it.
    """
    service.ask(DeleteConnectionRequest(name=name))
    return Done({"deleted": name}, f"deleted {name}")


@connection_app.command("accept")
@calls
def accept_cluster(
    service: Service,
    name: Name,
    cluster_id: Annotated[
        str,
        typer.Option(
            "--cluster",
            metavar="ID",
            help="The id of the cluster; not needed where the addresses lead to one only.",
        ),
    ] = "",
) -> Answer:
    """Go on with the cluster that a connection's addresses lead to now.

    What is cached is of another one and stays readable; each topic begins its next incarnation,
    mined from its earliest offset, and streams tell a gap with the cause SOURCE_CHANGED.
    """
    answer = service.ask(AcceptClusterRequest(name=name, cluster_id=cluster_id))
    return One(answer, _show_accepted)


connection_app.command("test")(run_test)


def _changed(
    tree: dict[str, Any],
    file: Path | None,
    kafka: str | None,
    topics: str | None,
    settings: Sequence[str],
) -> ConnectionConfig:
    """The connection with what flags say of it.

    Raises:
        InvalidConfig: A flag or a setting is wrong.
    """
    given = [
        ("bootstrap_servers", kafka),
        ("topic_expression", topics),
        *CONNECTIONS.parsed(settings),
    ]
    places = [
        (path, value.split(",") if path == "bootstrap_servers" else value)
        for path, value in given
        if value is not None
    ]
    CONNECTIONS.set(tree, places)
    return parse_connection(tree, str(file or "settings"), "", strict=False)


def _show_accepted(answer: AcceptClusterResponse) -> None:
    name, now = answer.connection.name, answer.connection.cluster_id
    if now == answer.previous_cluster_id:
        typer.echo(f"nothing to accept: {name} leads to cluster {now}, as before")
    else:
        before = answer.previous_cluster_id or "none that is known"
        typer.echo(f"accepted: {name} leads to cluster {now} from now on; before: {before}")


def _show(found: Connection) -> None:
    state = f"no: {found.error}" if found.error else reachable(found)
    facts = [("reachable", state), ("cluster", found.cluster_id or "-")]
    if found.foreign_addresses:
        facts += [("set aside", foreign(found))]
    if found.secrets_elsewhere:
        facts += [("secrets elsewhere", elsewhere(found))]
    facts += [("in the file", "yes" if found.in_file else "no")]
    if not found.in_file:
        facts += [("created", show_time(found.created_ms))]
        facts += [("updated", show_time(found.updated_ms))]
    config = parse_connection(settings_of(found), "the service's answer")
    show_facts([*flat(connection_dict(config)), *facts])
