"""The jobs of a service, as the settings want them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from cachesvc.app.kept import Kept
from cachesvc.app.mined import Mined
from cachesvc.app.snapshots import Snapshotting, snapshot_rule
from cachesvc.app.subscribed import Subscribed
from cachesvc.errors import NotFound
from cachesvc.jobs.backup import Backup
from cachesvc.jobs.compact import Compact
from cachesvc.jobs.daily import Daily, TimeOfDay
from cachesvc.jobs.expire import Expire
from cachesvc.jobs.job import Job
from cachesvc.jobs.models import LOAD_TIME, RefreshModels
from cachesvc.jobs.move import Move
from cachesvc.jobs.scheduler import JobScheduler
from cachesvc.jobs.scrub import Scrub
from cachesvc.jobs.seal import Seal
from cachesvc.jobs.sweep import Sweep
from cachesvc.log.log_store import LogStore
from cachesvc.mining.connections import Connections
from cachesvc.settings.config import Config
from cachesvc.settings.jobs import BackupConfig, zone_of


def make_jobs(
    config: Config, store: LogStore, mined: Mined, subscribed: Subscribed, kept: Kept
) -> JobScheduler:
    """Builds them; none runs yet."""
    jobs, connections = config.jobs, mined.connections
    subscriptions, shelf = subscribed.subscriptions, subscribed.shelf
    snapshots = Snapshotting(jobs.snapshot, store, shelf, snapshot_rule(connections))
    models, load_time = jobs.models, _load_time_of(connections)
    scrub, daily = jobs.scrub, partial(_daily, config, store)
    return JobScheduler(
        store.catalogue,
        [
            daily(_backup(jobs.backup, store), jobs.backup.daily_at),
            daily(Compact(store, jobs.compact, kept.retention), jobs.compact.daily_at),
            Expire(store, subscriptions.all, kept.retention, kept.retired, jobs.expire.interval_s),
            Move(store, kept.stores.misplaced, jobs.move.interval_s, jobs.move.bytes_per_s_max),
            daily(
                Scrub(store, scrub.interval_s, scrub.bytes_per_s_max, snapshots.scrub),
                scrub.daily_at,
            ),
            Seal(store),
            Sweep(store, kept.retired, jobs.sweep.interval_s, jobs.sweep.quarantine_age_s),
            daily(snapshots.job, jobs.snapshot.daily_at),
            RefreshModels(store, models.interval_s, models.records_max, load_time, zone_of(jobs)),
        ],
    )


def _daily(config: Config, store: LogStore, job: Job, at: str | None) -> Job:
    """The job once a day, if it has a time of day."""
    if at is None:
        return job

    async def last_run_ms(name: str) -> int | None:
        runs = await store.catalogue.call(lambda port: port.list_job_runs(name, 1))
        return runs[0].started_ms if runs else None

    return Daily(job, TimeOfDay(at, zone_of(config.jobs)), last_run_ms)


def _backup(config: BackupConfig, store: LogStore) -> Backup:
    directory = None if config.directory is None else Path(config.directory)
    return Backup(
        store, directory, config.interval_s, config.kept, other_stores=config.other_stores
    )


def _load_time_of(connections: Connections) -> Callable[[str], str]:
    """When models of a connection with many are refreshed; one that was deleted has the default."""

    def of(name: str) -> str:
        try:
            return connections.get(name).config.model_load_time
        except NotFound:
            return LOAD_TIME

    return of
