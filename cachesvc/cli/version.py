"""``cachesvc version``."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from typing import Annotated

import typer

from cachesvc.cli.command import talks_to_service
from cachesvc.cli.options import Common
from cachesvc.cli.render import show_facts, show_json
from cachesvc.cli.service import Service
from cachesvc.v1.admin_pb2 import GetConfigRequest, GetConfigResponse


@talks_to_service
def version(
    settings: Common,
    of_service: Annotated[
        bool, typer.Option("--service", help="Also ask the service for its version.")
    ] = False,
) -> None:
    """Show the version of this command, and with --service of the service and its store."""
    facts: dict[str, str | int] = {"version": _installed_version()}
    if of_service:
        with Service(settings) as service:
            response: GetConfigResponse = service.ask(GetConfigRequest())
        facts["service_version"] = response.version
        facts["store_format_version"] = response.store_format_version
    if settings.as_json:
        show_json(facts)
    elif of_service:
        show_facts([(name.replace("_", " "), str(value)) for name, value in facts.items()])
    else:
        typer.echo(f"cachesvc {facts['version']}")


def _installed_version() -> str:
    try:
        return distribution_version("cachesvc")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"
