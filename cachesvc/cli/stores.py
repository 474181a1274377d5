"""``cachesvc store list`` and ``store test``: the stores of a configuration, from here."""

import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cachesvc.app.stores import open_one
from cachesvc.cli.failure import NOT_FOUND, CommandFailed
from cachesvc.cli.options import AsJson
from cachesvc.cli.render import Column, show_json, show_table
from cachesvc.cli.service_options import ConfigFile, Store
from cachesvc.cli.units import printable
from cachesvc.model import LOCAL_STORE
from cachesvc.settings.config import Config
from cachesvc.settings.layers import Overrides, load_config
from cachesvc.settings.stores import StoreEntry, default_store, store_of
from cachesvc.store.examination import StoreCheck, examine_store

_MARKS = {True: "✓", False: "✗", None: "–"}
_NAME_WIDTH = 18


def list_stores(config: ConfigFile = None, store: Store = None, as_json: AsJson = False) -> None:
    """List the stores of the settings, and which connections of the file use each.

    Settings come from the file and the environment, as for serve.
    """
    rows = _rows(load_config(config, os.environ, Overrides(store=store)))
    if as_json:
        show_json(rows)
        return
    columns = [
        Column("NAME", lambda row: row["name"]),
        Column("KIND", lambda row: row["kind"]),
        Column("DEFAULT", lambda row: "yes" if row["default"] else ""),
        Column("LOCATION", lambda row: row["location"]),
        Column("USED BY", lambda row: ", ".join(row["used_by"]) or "-"),
    ]
    show_table(rows, columns, "no stores")


def try_store(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The store.")],
    config: ConfigFile = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Try a store item by item from this machine; exit code 1 if a check fails.

    Writes a file of its own there and deletes it. ✓ passed, ✗ failed, – not tried. Settings and
    credentials come from the file and the environment, as for serve.
    """
    entry = _named(load_config(config, os.environ, Overrides(store=store)), name)
    checks: list[StoreCheck] = []
    with tempfile.TemporaryDirectory() as cache:
        # Nothing of it is kept: what is read has to come from the store.
        files = open_one(msgspec.structs.replace(entry, cache_bytes_max=0), Path(cache))
        for check in examine_store(files):
            checks.append(check)
            if not as_json:
                mark = _MARKS[check.works]
                typer.echo(f"{mark} {check.name:{_NAME_WIDTH}} {printable(check.detail)}")
    if as_json:
        show_json([msgspec.to_builtins(check) for check in checks])
    wrong = [check.name for check in checks if check.works is False]
    if wrong:
        raise CommandFailed(f"the test of the store failed: {', '.join(wrong)}")


def _every(config: Config) -> list[StoreEntry]:
    local = StoreEntry(name=LOCAL_STORE, kind="directory", path=config.store.path)
    return [local, *config.stores]


def _rows(config: Config) -> list[dict[str, Any]]:
    return [
        {
            "name": entry.name,
            "kind": entry.kind,
            "default": entry.name == default_store(config.stores),
            "location": entry.location,
            "used_by": [
                each.name
                for each in config.connections
                if each.is_source and store_of(each, config.stores) == entry.name
            ],
        }
        for entry in _every(config)
    ]


def _named(config: Config, name: str) -> StoreEntry:
    every = _every(config)
    for entry in every:
        if entry.name == name:
            return entry
    names = ", ".join(entry.name for entry in every)
    raise CommandFailed(
        f"there is no store {name!r}", advice=f"the settings have: {names}", code=NOT_FOUND
    )
