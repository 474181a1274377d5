"""``cachesvc store``: the files of the store."""

import dataclasses
import os
from pathlib import Path
from typing import Annotated

import typer

from cachesvc.app.stores import all_stores
from cachesvc.cli.answers import Answer, One
from cachesvc.cli.command import calls
from cachesvc.cli.failure import CommandFailed
from cachesvc.cli.jobs import follow, progress_bar, show_run
from cachesvc.cli.options import AsJson
from cachesvc.cli.render import show_facts, show_json
from cachesvc.cli.service import Service
from cachesvc.cli.service_options import ConfigFile, Store
from cachesvc.cli.store_test import run_store_test
from cachesvc.cli.store_usage import drops, usage
from cachesvc.cli.stores import (
    create_store,
    delete_store,
    list_stores,
    move,
    show_store,
    update_store,
)
from cachesvc.log.rebuilding import Rebuilt, rebuild
from cachesvc.log.restoring import restore
from cachesvc.settings.layers import Overrides, load_config
from cachesvc.units import show_count, show_time
from cachesvc.v1.admin_pb2 import RunJobRequest

store_app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

store_app.command("list")(list_stores)
store_app.command("show")(show_store)
store_app.command("create")(create_store)
store_app.command("update")(update_store)
store_app.command("delete")(delete_store)
store_app.command("test")(run_store_test)
store_app.command("move")(move)
store_app.command("usage")(usage)
store_app.command("drops")(drops)

_SCRUB = "scrub"
_BACKUP = "backup"


@store_app.callback()
def store() -> None:
    """List, change, test, verify, back up, restore or rebuild stores; usage; move topics."""


@store_app.command("verify")
@calls
def verify(service: Service) -> Answer:
    """Read all segments, snapshots and journals now, and repair those that are damaged.

    What a damaged one had is mined again while streams that need it wait, and a damaged snapshot is
    made again; the service's log names it (segment_damaged, journal_damaged, snapshot_damaged), and
    so does an alarm of segments and journals. It reads at most
    jobs.scrub.bytes_per_s_max bytes a second, goes on in the service if this command is stopped,
    and after a restart where it was. Exit code 1 if something was damaged.
    """
    run = follow(_SCRUB, service.stream(RunJobRequest(name=_SCRUB)))
    failed = None
    if not run.succeeded:
        failed = CommandFailed(f"the files could not all be read: {run.error}")
    else:
        kinds = ("segments", "snapshots", "journals")
        found = {kind: run.counts[f"{kind}_damaged"] for kind in kinds}
        if any(found.values()):
            told = ", ".join(f"{count} {kind}" for kind, count in found.items())
            failed = CommandFailed(f"damaged: {told}")
    return One(run, show_run, failed)


@store_app.command("backup")
@calls
def backup(
    service: Service,
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="Where to, on the service's machine: empty, or not there yet. Without it a new "
            "directory below jobs.backup.directory.",
        ),
    ] = None,
) -> Answer:
    """Copy the store as it is at one moment, while it runs.

    What comes of it is a store; `cachesvc store restore` puts it to its place. Of those below
    jobs.backup.directory the newest jobs.backup.kept stay; one in a DIR stays until somebody
    deletes it.
    """
    into = "" if directory is None else str(directory.absolute())
    run = follow(_BACKUP, service.stream(RunJobRequest(name=_BACKUP, directory=into)))
    failed = None if run.succeeded else CommandFailed(f"there is no backup: {run.error}")
    return One(run, show_run, failed)


@store_app.command("restore")
def restore_store(
    backup: Annotated[
        Path, typer.Argument(metavar="DIR", help="The backup, which is left as it is.")
    ],
    config: ConfigFile = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Make the store what a backup has.

    The store's directory is empty or not there yet, and no service runs on it. Everything is
    looked at before and is durable at the end; until then nothing is a store. Start the service
    then: what was mined since the backup is mined again, as far as the source has it. Settings come
    from the file and the environment, as for serve.
    """
    settings = load_config(config, os.environ, Overrides(store=store))
    with progress_bar("restore") as told:
        restored = restore(backup, Path(settings.store.path), told)
    if as_json:
        show_json({**dataclasses.asdict(restored), "stores": list(restored.stores)})
    else:
        show_facts(
            [
                ("files", show_count(restored.files)),
                ("bytes", show_count(restored.bytes)),
                ("segments", show_count(restored.segments)),
                ("subscriptions", show_count(restored.subscriptions)),
                ("needs stores", ", ".join(restored.stores) or "none"),
            ]
        )


@store_app.command("rebuild")
def rebuild_store(config: ConfigFile = None, store: Store = None, as_json: AsJson = False) -> None:
    """Make a damaged or lost catalogue anew, from its newest copy, changes since, and the files.

    For a store that no service runs on: `cachesvc serve` says when it is needed. Subscriptions,
    positions, mining tasks, connections and tokens are as they were. Where changes since the copy
    are missing, they are as old as those that are there, tasks get again what they committed since,
    and tokens that were made at run time are revoked. The damaged catalogue is kept in quarantine/.
    Settings come from the file and the environment, as for serve.
    """
    settings = load_config(config, os.environ, Overrides(store=store))
    found = rebuild(Path(settings.store.path), all_stores(settings))
    if as_json:
        show_json(_as_object(found))
    else:
        show_facts(_facts(found))


def _as_object(found: Rebuilt) -> dict[str, object]:
    kept = None if found.kept_as is None else str(found.kept_as)
    return {**dataclasses.asdict(found), "kept_as": kept, "stores_away": list(found.stores_away)}


def _facts(found: Rebuilt) -> list[tuple[str, str]]:
    copy = "none was there" if found.copied_ms is None else show_time(found.copied_ms)
    return [
        ("copy of", copy),
        ("changes since", show_count(found.changes)),
        ("changes missing", "none" if found.changes_whole else "yes: see docs/damage.md"),
        ("tokens revoked", show_count(found.tokens_revoked)),
        ("subscriptions", show_count(found.subscriptions)),
        ("segments", show_count(found.segments)),
        ("not in the copy", show_count(found.segments_found)),
        ("gone since", show_count(found.segments_missing)),
        ("stores away", ", ".join(found.stores_away) or "none"),
        ("damaged one", "none was there" if found.kept_as is None else str(found.kept_as)),
    ]
