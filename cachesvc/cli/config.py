"""``cachesvc config``: the settings that hold."""

import os
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
import typer

from cachesvc.cli.command import talks_to_service
from cachesvc.cli.options import Common
from cachesvc.cli.render import show_json
from cachesvc.cli.service import Service
from cachesvc.cli.service_options import ConfigFile, Kafka, Store, Topics
from cachesvc.settings.config import effective_config
from cachesvc.settings.layers import Overrides, load_config
from cachesvc.v1.admin_pb2 import GetConfigRequest, GetConfigResponse

config_app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@config_app.callback()
def config() -> None:
    """Show the effective configuration."""


@config_app.command("show")
@talks_to_service
def show_config(
    settings: Common,
    config_file: ConfigFile = None,
    kafka: Kafka = None,
    topics: Topics = None,
    store: Store = None,
    of_service: Annotated[
        bool, typer.Option("--service", help="That of the running service instead.")
    ] = False,
) -> None:
    """Show the settings that `cachesvc serve` would start with here, defaults included.

    They are checked as serve would, printed as TOML, and secrets are masked.
    """
    if of_service:
        with Service(settings) as service:
            response: GetConfigResponse = service.ask(GetConfigRequest())
        effective = msgspec.json.decode(response.config_json, type=dict[str, Any])
    else:
        overrides = Overrides(kafka=kafka, topics=topics, store=store)
        effective = effective_config(load_config(config_file, os.environ, overrides))
    if settings.as_json:
        show_json(effective)
    else:
        typer.echo("\n".join(as_toml(effective)).strip())


def as_toml(table: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The lines of a TOML document; a setting without a value becomes a comment."""
    tables, arrays = {}, {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            tables[key] = value
        elif isinstance(value, list) and value and all(isinstance(x, Mapping) for x in value):
            arrays[key] = value
        elif value is None:
            yield f"# {key} is not set"
        else:
            # A JSON string, number or array of such is TOML as well, but for one character.
            yield f"{key} = {msgspec.json.encode(value).decode()}".replace("\x7f", "\\u007f")
    for key, inner in tables.items():
        header = [] if _is_only_tables(inner) else ["", f"[{path}{key}]"]
        yield from header
        yield from as_toml(inner, f"{path}{key}.")
    for key, items in arrays.items():
        for item in items:
            yield from ("", f"[[{path}{key}]]")
            yield from as_toml(item, f"{path}{key}.")


def _is_only_tables(table: Mapping[str, Any]) -> bool:
    return bool(table) and all(isinstance(value, Mapping) for value in table.values())
