"""``cachesvc store list, show, create, update, delete, move``: the stores of a service."""

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from cachesvc.cli.answers import Answer, Done, One
from cachesvc.cli.command import calls, talks_to_service
from cachesvc.cli.failure import CommandFailed
from cachesvc.cli.jobs import follow, show_run
from cachesvc.cli.options import Common, InConnection
from cachesvc.cli.render import Column, as_dict, show_facts, show_json, show_table
from cachesvc.cli.service import Service
from cachesvc.cli.settings_flags import flat, parsed
from cachesvc.cli.units import show_bytes, show_count, show_time
from cachesvc.errors import InvalidConfig
from cachesvc.model import LOCAL_STORE
from cachesvc.serving.store_messages import store_message, store_settings
from cachesvc.settings.config import Config
from cachesvc.settings.layers import Overrides, load_config
from cachesvc.settings.stores import (
    StoreEntry,
    default_store,
    make_store_absolute,
    parse_store,
    setting_paths_of_store,
    store_dict,
    store_of,
)
from cachesvc.settings.validation import unknown_setting
from cachesvc.v1 import stores_pb2 as pb
from cachesvc.v1.admin_pb2 import RunJobRequest

_MOVE = "move"
Name = Annotated[str, typer.Argument(metavar="NAME")]
Here = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Stores of this TOML file from here, without a service."
    ),
]
FromFile = Annotated[
    Path | None,
    typer.Option(
        "--file",
        metavar="FILE",
        help="A TOML file whose [[stores]] have one of this name; its settings count.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SETTING=VALUE",
        help="A setting by its name in the file, such as kind=s3 or secret_key_file=/run/key; may "
        "be repeated.",
    ),
]
Unset = Annotated[
    list[str] | None,
    typer.Option(
        "--unset", metavar="SETTING", help="Gives a setting its default; may be repeated."
    ),
]


@talks_to_service
def list_stores(settings: Common, config_file: Here = None) -> None:
    """List the stores of a service: which connections use each, and what lies there."""
    if config_file is not None:
        found: Iterable[pb.Store] = _of_file(config_file)
    else:
        with Service(settings) as service:
            found = service.ask(pb.ListStoresRequest()).stores
    if settings.as_json:
        show_json([as_dict(each) for each in found])
    else:
        show_table(found, _COLUMNS, "no stores")


@calls
def show_store(service: Service, name: Name) -> Answer:
    """Show one store: its settings, what lies there, who uses it, its last test."""
    return One(service.ask(pb.GetStoreRequest(name=name)).store, _show)


@calls
def create_store(service: Service, name: Name, file: FromFile = None, set_: Set = None) -> Answer:
    """Make a store; it survives a restart.

    Paths are those of the service's machine; relative ones are made absolute here. A secret is
    never given: name an environment variable of the service, or a file, that holds it.
    """
    tree = _from_file(file, name) if file is not None else {"name": name}
    entry = _changed(tree, str(file or "settings"), set_ or ())
    return One(service.ask(pb.CreateStoreRequest(store=_message(entry))).store, _show)


@calls
def update_store(
    service: Service,
    name: Name,
    file: FromFile = None,
    set_: Set = None,
    unset: Unset = None,
) -> Answer:
    """Change settings of a store; with --file all of them. Credentials are read again."""
    if file is not None:
        tree = _from_file(file, name)
    else:
        tree = store_settings(service.ask(pb.GetStoreRequest(name=name)).store)
    for setting in unset or ():
        known = setting_paths_of_store("")
        if setting not in known:
            raise unknown_setting("--unset", "", setting, known)
        tree.pop(setting, None)
    entry = _changed(tree, str(file or "settings"), set_ or ())
    return One(service.ask(pb.UpdateStoreRequest(store=_message(entry))).store, _show)


@calls
def delete_store(service: Service, name: Name) -> Answer:
    """Forget a store that nobody uses; the place itself is left alone."""
    service.ask(pb.DeleteStoreRequest(name=name))
    return Done({"deleted": name}, f"deleted {name}")


@calls
def move(
    service: Service,
    topic: Annotated[
        str,
        typer.Argument(metavar="[TOPIC]", help="The topic; without it all of the connection."),
    ] = "",
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="The store that takes it.")] = "",
    connection: InConnection = "",
) -> Answer:
    """Move a topic, or all of a connection, to another store while it is read.

    What is sealed goes there from now on, and what lies elsewhere is copied, compared, and only
    then named in its place; streams go on undisturbed, and old files are deleted a grace time
    later. It copies at most jobs.move.bytes_per_s_max bytes a second, goes on in the service if
    this command is stopped, and after a restart where it was.
    """
    if not topic and not connection:
        raise CommandFailed("what is to be moved", advice="give TOPIC, or --connection NAME")
    request = pb.PlaceTopicRequest(connection=connection, topic=topic, store=to)
    service.ask(request)
    run = follow(_MOVE, service.stream(RunJobRequest(name=_MOVE)))
    failed = None
    if not run.succeeded:
        failed = CommandFailed(f"not all is moved, and it is tried again: {run.error}")
    return One(run, show_run, failed)


def _of_file(file: Path) -> list[pb.Store]:
    config = load_config(file, os.environ, Overrides())
    default = default_store(config.stores)
    found = []
    for entry in every_store(config):
        message = _message(entry)
        message.default, message.in_file = entry.name == default, True
        message.connections[:] = (
            each.name
            for each in config.connections
            if each.is_source and store_of(each, config.stores) == entry.name
        )
        found.append(message)
    return found


def every_store(config: Config) -> list[StoreEntry]:
    """The stores of settings, the service's own directory first."""
    local = StoreEntry(
        name=LOCAL_STORE, kind="directory", path=config.store.path, bytes_max=config.store.bytes_max
    )
    return [local, *config.stores]


def _message(entry: StoreEntry) -> pb.Store:
    return store_message(entry)


def _from_file(file: Path, name: str) -> dict[str, Any]:
    """The store of that name as JSON types, its paths relative to the file's directory."""
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problem = f"{file}: cannot be read: {error.strerror}; check --file"
        raise InvalidConfig(problem) from error
    except ValueError as error:
        raise InvalidConfig(f"{file}: not TOML in UTF-8: {error}") from error
    tables = tree.get("stores", [])
    for table in tables if isinstance(tables, list) else ():
        if isinstance(table, dict) and table.get("name") == name:
            make_store_absolute(table, file.parent)
            return table
    raise InvalidConfig(f"{file}: it has no [[stores]] with name = {name!r}; add it there")


def _changed(tree: dict[str, Any], source: str, settings: Iterable[str]) -> StoreEntry:
    """The store with what flags say of it; ``source`` is what the rest comes from."""
    tree.update(parsed(list(settings), "store"))
    make_store_absolute(tree, Path.cwd())
    return parse_store(tree, source, strict=False)


def _show(found: pb.Store) -> None:
    entry = parse_store(store_settings(found), "the service's answer")
    facts = [("location", found.location)]
    facts += [("segments", show_count(found.segment_count)), ("bytes", show_bytes(found.bytes))]
    facts += [("free", show_bytes(found.free_bytes) if found.HasField("free_bytes") else "-")]
    facts += [("connections", ", ".join(found.connections) or "-")]
    facts += [("topics", ", ".join(found.topics) or "-")]
    facts += [("still to be deleted", show_count(found.retired_file_count))]
    waiting = f"{found.waiting_journal_count:,} ({show_bytes(found.waiting_bytes)})"
    facts += [("journals waiting", waiting if found.waiting_journal_count else "-")]
    facts += [("error", found.error or "-"), ("last test", _tested(found))]
    facts += [("in the file", "yes" if found.in_file else "no")]
    if not found.in_file:
        facts += [("created", show_time(found.created_ms))]
        facts += [("updated", show_time(found.updated_ms))]
    show_facts([*flat(store_dict(entry)), *facts])


def _tested(found: pb.Store) -> str:
    if not found.HasField("last_test"):
        return "-"
    test = found.last_test
    outcome = f"{test.failed} failed: {test.detail}" if test.failed else "passed"
    return f"{show_time(test.tested_ms)}, {outcome}"


_COLUMNS = (
    Column("name", lambda s: s.name),
    Column("kind", lambda s: s.kind),
    Column("default", lambda s: "yes" if s.default else ""),
    Column("location", lambda s: s.location),
    Column("segments", lambda s: show_count(s.segment_count), number=True),
    Column("size", lambda s: show_bytes(s.bytes), number=True),
    Column("used by", lambda s: ", ".join(s.connections) or "-"),
    Column("state", lambda s: s.error or "-"),
)
