"""``cachesvc store list, show, create, update, delete, move``: the stores of a service."""

import os
from collections.abc import Iterable, Sequence
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
from cachesvc.cli.settings_flags import (
    Name,
    Named,
    file_option,
    flat,
    set_option,
    unset_option,
)
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
from cachesvc.units import show_bytes, show_count, show_time
from cachesvc.v1 import stores_pb2 as pb
from cachesvc.v1.admin_pb2 import RunJobRequest

_MOVE = "move"
STORES = Named("store", "stores", make_store_absolute, setting_paths_of_store)
Here = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Stores of this TOML file from here, without a service."
    ),
]
FromFile = Annotated[Path | None, file_option("stores")]
Set = Annotated[
    list[str] | None,
    set_option("A setting by its name in the file, such as kind=s3 or secret_key_file=/run/key"),
]
Unset = Annotated[list[str] | None, unset_option("may be repeated.")]


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
    tree = STORES.from_file(file, name) if file is not None else {"name": name}
    entry = _changed(tree, file, set_ or ())
    return One(service.ask(pb.CreateStoreRequest(store=store_message(entry))).store, _show)


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
        tree = STORES.from_file(file, name)
    else:
        tree = store_settings(service.ask(pb.GetStoreRequest(name=name)).store)
    STORES.unset(tree, unset or ())
    entry = _changed(tree, file, set_ or ())
    return One(service.ask(pb.UpdateStoreRequest(store=store_message(entry))).store, _show)


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
        message = store_message(entry)
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


def _changed(tree: dict[str, Any], file: Path | None, settings: Sequence[str]) -> StoreEntry:
    """The store with what flags say of it."""
    STORES.set(tree, list(STORES.parsed(settings)))
    return parse_store(tree, str(file or "settings"), strict=False)


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
