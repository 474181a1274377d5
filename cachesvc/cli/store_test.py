"""``cachesvc store test``: one line per check, by the service or from here."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from cachesvc.app.stores import open_for_test
from cachesvc.cli.command import only_named, talks_to_service
from cachesvc.cli.failure import CommandFailed
from cachesvc.cli.options import Common
from cachesvc.cli.render import as_dict, show_json
from cachesvc.cli.service import Service
from cachesvc.cli.stores import Here, every_store
from cachesvc.serving.store_messages import check_message
from cachesvc.settings.layers import Overrides, load_config
from cachesvc.store.examination import examine_store
from cachesvc.units import printable
from cachesvc.v1.stores_pb2 import StoreCheck, TestStoreRequest

_NAME_WIDTH = 18


@talks_to_service
def run_store_test(
    settings: Common,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The store.")],
    config_file: Here = None,
) -> None:
    """Try a store item by item; exit code 1 if a check fails.

    Writes a file of its own there and deletes it. ✓ passed, ✗ failed, – not tried. With --config
    from this machine, with settings and credentials of the file and the environment, as for serve.
    """
    checks: list[StoreCheck] = []
    with Service(settings) as service:
        found = _from_here(config_file, name) if config_file else _by_service(service, name)
        for check in found:
            checks.append(check)
            if not settings.as_json:
                typer.echo(f"{_mark(check)} {check.name:{_NAME_WIDTH}} {printable(check.detail)}")
    if settings.as_json:
        show_json([as_dict(check) for check in checks])
    wrong = [check.name for check in checks if check.HasField("works") and not check.works]
    if wrong:
        raise CommandFailed(f"the test of the store failed: {', '.join(wrong)}")


def _by_service(service: Service, name: str) -> Iterator[StoreCheck]:
    return (answer.check for answer in service.stream(TestStoreRequest(name=name)))


def _from_here(file: Path, name: str) -> Iterator[StoreCheck]:
    config = load_config(file, os.environ, Overrides())
    (entry,) = only_named(every_store(config), name, "store")
    with tempfile.TemporaryDirectory() as cache:
        for check in examine_store(open_for_test(entry, Path(cache))):
            yield check_message(check)


def _mark(check: StoreCheck) -> str:
    if not check.HasField("works"):
        return "–"
    return "✓" if check.works else "✗"
