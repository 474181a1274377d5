"""``cachesvc connection``: the Kafka clusters of a service, looked at and changed."""

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cachesvc.cli.connection_test import run_test
from cachesvc.cli.options import Address, AsJson, CaFile, Common, common
from cachesvc.cli.overview import CONNECTION_COLUMNS
from cachesvc.cli.render import as_dict, show_facts, show_json, show_table
from cachesvc.cli.service import Service
from cachesvc.cli.units import show_time
from cachesvc.connection_config import (
    ConnectionConfig,
    connection_dict,
    make_paths_absolute,
    parse_connection,
)
from cachesvc.errors import InvalidConfig
from cachesvc.serving.connection_messages import message_of, settings_of
from cachesvc.v1.connections_pb2 import (
    Connection,
    CreateConnectionRequest,
    DeleteConnectionRequest,
    GetConnectionRequest,
    ListConnectionsRequest,
    UpdateConnectionRequest,
)

connection_app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]
File = Annotated[
    Path | None,
    typer.Option(
        "--file",
        metavar="FILE",
        help="A TOML file whose [[connections]] have one of this name; its settings count.",
    ),
]
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
    typer.Option(
        "--set",
        metavar="SETTING=VALUE",
        help="Any other setting by its name in the file, such as tls.ca_file=/etc/ca.pem or "
        "sasl.password_env=NAME; may be repeated.",
    ),
]
Unset = Annotated[
    list[str] | None,
    typer.Option(
        "--unset",
        metavar="SETTING",
        help="Gives a setting its default; a table, such as tls, is taken away. May be repeated.",
    ),
]


@connection_app.callback()
def connection(
    ctx: typer.Context,
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """List Kafka clusters; show, create, update, delete or test one."""
    common(ctx, address, ca_file, as_json)


@connection_app.command("list")
def list_connections(
    ctx: typer.Context,
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """List the Kafka clusters, and whether they can be reached."""
    settings = common(ctx, address, ca_file, as_json)
    with Service(settings) as service:
        response = service.call(service.admin.ListConnections, ListConnectionsRequest())
    if settings.as_json:
        show_json([as_dict(connection) for connection in response.connections])
    else:
        show_table(response.connections, CONNECTION_COLUMNS, "no connections")


@connection_app.command("show")
def show_connection(
    ctx: typer.Context,
    name: Name,
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Show one connection with all its settings; secrets are not among them."""
    settings = common(ctx, address, ca_file, as_json)
    with Service(settings) as service:
        found = _get(service, name)
    _show(settings, found)


@connection_app.command("create")
def create_connection(
    ctx: typer.Context,
    name: Name,
    kafka: Kafka = None,
    topics: Topics = None,
    file: File = None,
    set_: Set = None,
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a connection that survives a restart of the service.

    Paths are those of the service's machine; relative ones are made absolute here. A secret is
    never given: name an environment variable of the service, or a file, that holds it.
    """
    settings = common(ctx, address, ca_file, as_json)
    tree = _from_file(file, name) if file is not None else {"name": name}
    config = _changed(tree, kafka, topics, set_ or (), ())
    with Service(settings) as service:
        request = CreateConnectionRequest(connection=message_of(config))
        response = service.call(service.admin.CreateConnection, request)
    _show(settings, response.connection)


@connection_app.command("update")
def update_connection(
    ctx: typer.Context,
    name: Name,
    kafka: Kafka = None,
    topics: Topics = None,
    file: File = None,
    set_: Set = None,
    unset: Unset = None,
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Change some settings of a connection, or with --file all of them.

    Its readers are restarted; other connections and running streams are left alone.
    """
    settings = common(ctx, address, ca_file, as_json)
    with Service(settings) as service:
        tree = _from_file(file, name) if file is not None else settings_of(_get(service, name))
        config = _changed(tree, kafka, topics, set_ or (), unset or ())
        request = UpdateConnectionRequest(connection=message_of(config))
        response = service.call(service.admin.UpdateConnection, request)
    _show(settings, response.connection)


@connection_app.command("delete")
def delete_connection(
    ctx: typer.Context,
    name: Name,
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Forget a connection that no subscription uses; what is cached of it stays for a while."""
    settings = common(ctx, address, ca_file, as_json)
    with Service(settings) as service:
        service.call(service.admin.DeleteConnection, DeleteConnectionRequest(name=name))
    if settings.as_json:
        show_json({"deleted": name})
    else:
        typer.echo(f"deleted {name}")


connection_app.command("test")(run_test)


def _get(service: Service, name: str) -> Connection:
    found: Connection = service.call(
        service.admin.GetConnection, GetConnectionRequest(name=name)
    ).connection
    return found


def _from_file(file: Path, name: str) -> dict[str, Any]:
    """The connection of that name as JSON types, its paths relative to the file's directory."""
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problem = f"{file}: cannot be read: {error.strerror}; check --file"
        raise InvalidConfig(problem) from error
    except ValueError as error:
        raise InvalidConfig(f"{file}: not TOML in UTF-8: {error}") from error
    tables = tree.get("connections", [])
    for table in tables if isinstance(tables, list) else ():
        if isinstance(table, dict) and table.get("name") == name:
            make_paths_absolute(table, file.parent)
            return table
    raise InvalidConfig(f"{file}: it has no [[connections]] with name = {name!r}; add it there")


def _changed(
    tree: dict[str, Any],
    kafka: str | None,
    topics: str | None,
    settings: Sequence[str],
    unset: Sequence[str],
) -> ConnectionConfig:
    """The connection with what flags say of it.

    Raises:
        InvalidConfig: A flag or a setting is wrong.
    """
    for path in unset:
        table, name = _place(tree, path)
        table.pop(name, None)
    given = [("bootstrap_servers", kafka), ("topic_expression", topics), *_parsed(settings)]
    for path, value in given:
        if value is not None:
            table, name = _place(tree, path)
            table[name] = value.split(",") if path == "bootstrap_servers" else value
    make_paths_absolute(tree, Path.cwd())
    return parse_connection(tree, "settings", strict=False)


def _parsed(settings: Sequence[str]) -> Iterator[tuple[str, str]]:
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals or not path:
            raise InvalidConfig(f"--set {setting!r}: give SETTING=VALUE, such as store=default")
        if path == "name":
            raise InvalidConfig("--set name: a connection keeps its name; make another one")
        yield path, value


def _place(tree: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """The table that holds a setting, and its name there."""
    table, dot, name = path.partition(".")
    if not dot:
        return tree, path
    inner = tree.setdefault(table, {})
    if not isinstance(inner, dict):
        raise InvalidConfig(f"{path}: {table} is no table; docs/configuration.md lists all of them")
    return inner, name


def _show(settings: Common, found: Connection) -> None:
    if settings.as_json:
        show_json(as_dict(found))
        return
    facts = [("reachable", "yes" if found.reachable else f"no: {found.error}")]
    facts += [("in the file", "yes" if found.in_file else "no")]
    if not found.in_file:
        facts += [("created", show_time(found.created_ms))]
        facts += [("updated", show_time(found.updated_ms))]
    config = parse_connection(settings_of(found), "the service's answer")
    show_facts([*_flat(connection_dict(config)), *facts])


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every setting that has a value, by its path."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            shown = ", ".join(value) if isinstance(value, list | tuple) else value
            yes_no = {True: "yes", False: "no"}
            yield f"{prefix}{name}", yes_no[value] if isinstance(value, bool) else str(shown)
