"""``cachesvc connection test``: one line per check, by the service or from here."""

import asyncio
import os
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cachesvc.app.connections import examine_connection
from cachesvc.cli.command import talks_to_service
from cachesvc.cli.failure import NOT_FOUND, CommandFailed
from cachesvc.cli.options import Common
from cachesvc.cli.render import as_dict, show_json
from cachesvc.cli.service import Service
from cachesvc.serving.admin.connection_tests import check_message
from cachesvc.settings.connection import ConnectionConfig
from cachesvc.settings.layers import Overrides, load_config
from cachesvc.units import printable
from cachesvc.v1.connection_test_pb2 import (
    CHECK_FAILED,
    CHECK_PASSED,
    CHECK_SKIPPED,
    CHECK_WARNING,
    ConnectionCheck,
    TestConnectionRequest,
)
from cachesvc.v1.connections_pb2 import GetConnectionRequest, ListConnectionsRequest

_MARKS = {CHECK_PASSED: "✓", CHECK_WARNING: "!", CHECK_FAILED: "✗", CHECK_SKIPPED: "–"}
_NAME_WIDTH = 14


@talks_to_service
def run_test(
    settings: Common,
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="The connection; not needed for the only one.")
    ] = "",
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Test a connection of this TOML file from here, without a service.",
        ),
    ] = None,
    kafka: Annotated[
        str | None,
        typer.Option(
            "--kafka",
            metavar="HOST:PORT",
            help="Test it with these bootstrap servers instead, separated by commas, before "
            "`connection update` saves them.",
        ),
    ] = None,
    timeout_s: Annotated[
        float,
        typer.Option("--timeout", min=0.1, max=300, metavar="S", help="Seconds for the test."),
    ] = 10.0,
) -> None:
    """Test a connection step by step; exit code 1 if a check fails.

    Leaves nothing in the cluster. ✓ passed, ! works but see the hint, ✗ failed, – skipped.
    """
    report = _Report(settings.as_json)
    if config_file is not None:
        meant = _named(config_file, name)
        if kafka is not None:
            meant = msgspec.structs.replace(meant, bootstrap_servers=tuple(kafka.split(",")))
        asyncio.run(_examine_here(meant, timeout_s, report))
    else:
        with Service(settings) as service:
            for answer in service.stream(_request(service, name, kafka, timeout_s)):
                report.add(answer.check)
    report.end()


def _request(
    service: Service, name: str, kafka: str | None, timeout_s: float
) -> TestConnectionRequest:
    """The test of a connection as it is, or as it would be with other bootstrap servers."""
    if kafka is None:
        return TestConnectionRequest(name=name, timeout_s=timeout_s)
    if not name:
        found = service.ask(ListConnectionsRequest()).connections
        if len(found) != 1:
            names = ", ".join(each.name for each in found) or "none"
            what = "which connection is meant"
            raise CommandFailed(what, advice=f"the service has: {names}", code=NOT_FOUND)
        name = found[0].name
    settings = service.ask(GetConnectionRequest(name=name)).connection
    settings.bootstrap_servers[:] = kafka.split(",")
    return TestConnectionRequest(settings=settings, timeout_s=timeout_s)


def _named(file: Path, name: str) -> ConnectionConfig:
    connections = load_config(file, os.environ, Overrides()).connections
    if not name and len(connections) == 1:
        return connections[0]
    for found in connections:
        if found.name == name:
            return found
    what = f"there is no connection {name!r}" if name else "which connection is meant"
    names = ", ".join(found.name for found in connections) or "none"
    raise CommandFailed(what, where=str(file), advice=f"it has: {names}", code=NOT_FOUND)


async def _examine_here(meant: ConnectionConfig, timeout_s: float, report: "_Report") -> None:
    async with aclosing(examine_connection(meant, timeout_s)) as results:
        async for result in results:
            report.add(check_message(result))


class _Report:
    """Prints each check as it is made, or all of them as JSON at the end."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._checks: list[ConnectionCheck] = []

    def add(self, check: ConnectionCheck) -> None:
        self._checks.append(check)
        if self._as_json:
            return
        mark = _MARKS.get(check.status, "?")
        typer.echo(f"{mark} {check.name:{_NAME_WIDTH}} {printable(check.detail)}")
        if check.hint:
            why = f" ({check.reason})" if check.reason else ""
            typer.echo(f"  {'':{_NAME_WIDTH}} → {printable(check.hint)}{why}")

    def end(self) -> None:
        if self._as_json:
            show_json([as_dict(check) for check in self._checks])
        wrong = [check.name for check in self._checks if check.status == CHECK_FAILED]
        if wrong:
            raise CommandFailed(f"the test of the connection failed: {', '.join(wrong)}")
