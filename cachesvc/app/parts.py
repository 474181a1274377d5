"""The parts of a service process, built and told of each other; nothing runs yet."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cachesvc.alarms.facts import Observed
from cachesvc.alarms.size_shares import SizeShares
from cachesvc.alarms.tasks import alarm_tasks
from cachesvc.alarms.watch import AlarmWatch
from cachesvc.app.connections import ConnectionWorks
from cachesvc.app.queries import make_queries
from cachesvc.app.snapshots import Snapshotting, snapshot_rule
from cachesvc.app.stores import known_stores, open_made, open_stores
from cachesvc.assignment.assignments import Assignments
from cachesvc.assignment.mining import Mining
from cachesvc.clusters.matching import TopicMatching
from cachesvc.clusters.sources import Sources
from cachesvc.descriptors import journal_descriptors
from cachesvc.errors import NotFound
from cachesvc.jobs.backup import Backup
from cachesvc.jobs.compact import Compact
from cachesvc.jobs.daily import Daily, TimeOfDay
from cachesvc.jobs.expire import Expire
from cachesvc.jobs.job import Job
from cachesvc.jobs.models import LOAD_TIME, RefreshModels
from cachesvc.jobs.move import Move
from cachesvc.jobs.retired_files import RetiredFiles
from cachesvc.jobs.scheduler import JobScheduler
from cachesvc.jobs.scrub import Scrub
from cachesvc.jobs.seal import Seal
from cachesvc.jobs.shedding import Shedding
from cachesvc.jobs.sweep import Sweep
from cachesvc.log.log_store import LogStore, LogStoreSettings
from cachesvc.log.partition_log import PartitionLog
from cachesvc.mining.connections import Connections
from cachesvc.policy.retention import RetentionClock
from cachesvc.policy.sealing import SealLimits
from cachesvc.policy.topics import topic_matcher
from cachesvc.serving.batches import Batches
from cachesvc.serving.local_socket import socket_path
from cachesvc.settings.config import Config
from cachesvc.settings.jobs import BackupConfig, zone_of
from cachesvc.snapshots.shelf import Shelf
from cachesvc.sql.engine import QueryEngine
from cachesvc.stores import KnownStores
from cachesvc.subscriptions.retention import Retention, TopicSize
from cachesvc.subscriptions.store_levels import StoreLevels
from cachesvc.subscriptions.store_usages import StoreUsages
from cachesvc.subscriptions.subscriptions import Subscriptions
from cachesvc.subscriptions.topic_sizes import gather
from cachesvc.watching.calls import Calls
from cachesvc.watching.deliveries import Deliveries
from cachesvc.watching.mining_watch import MiningWatch

_JOURNAL_SHARE = 0.25
"""Of the retention; a journal that is older is sealed."""


def open_store(config: Config, given_up: Callable[[], bool]) -> LogStore:
    """The store that the settings name; see ``LogStore.open``. Blocking."""
    store = config.store
    # What is in a journal does not expire.
    age_s_max = min(store.segment_age_s_max, config.retention.age_s * _JOURNAL_SHARE)
    return LogStore.open(
        LogStoreSettings(
            Path(store.path),
            store.memory_bytes_max,
            store.chunk_cache_bytes_max,
            store.warm_bytes_max,
            SealLimits(
                store.segment_bytes_max,
                store.segment_records_max,
                int(age_s_max * 1000),
                store.segment_bytes_min,
                int(store.segment_age_s_min * 1000),
            ),
            journal_descriptors(),
            store.waiting_bytes_max,
            open_stores(config),
            open_made(config),
        ),
        given_up,
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """What a service has, beside what it listens on."""

    config: Config
    store: LogStore
    sources: Sources
    matching: TopicMatching
    mining: Mining
    assignments: Assignments
    subscriptions: Subscriptions
    shelf: Shelf
    connections: Connections
    watch: MiningWatch
    alarms: AlarmWatch
    alarm_tasks: Sequence[Callable[[], Coroutine[None, None, None]]]
    jobs: JobScheduler
    queries: QueryEngine
    stores: KnownStores
    shedding: Shedding
    usages: StoreUsages
    levels: StoreLevels
    batches: Batches
    deliveries: Deliveries = field(default_factory=Deliveries)
    calls: Calls = field(default_factory=Calls)


async def build(config: Config, store: LogStore) -> Parts:
    """Builds them within the event loop that they belong to, and loads what is durable."""
    sources = Sources([], store.incarnations)
    mining = Mining.open(
        store.catalogue, config.mining.idle_topic_s, config.mining.rebalance_interval_s
    )
    matching = TopicMatching(topic_matcher)
    assignments = Assignments(
        store,
        sources,
        lambda: subscriptions,
        config.mining.reader_timeout_s,
        matching,
        mining,
    )
    subscriptions = Subscriptions(store.catalogue, assignments.plan_again)
    connections = Connections(
        config.connections,
        store.catalogue,
        sources,
        ConnectionWorks(config, socket_path(store.path)),
        subscriptions.using,
        assignments.dismiss,
        lambda: (log.id for log in store.present()),
        config.mining.metadata_interval_s,
    )
    stores = known_stores(config, store, lambda: connections)
    await stores.load()
    connections.check = stores.check
    await connections.load()
    store.stores.choose = stores.choose
    assignments.on_silent = connections.replace_reader
    assignments.on_needed = connections.start_readers
    connections.on_deleted = _in_turn(mining.forget, stores.forget)
    watch = MiningWatch(store.catalogue)
    store.writer.on_published = watch.published
    keep = config.retention
    size = TopicSize(keep.topic_bytes_max, keep.topic_records_max, keep.unread_bytes_max)
    retention = Retention(
        RetentionClock(keep.clock), keep.age_s, keep.unread_age_s, mining.tasks.retention, size
    )
    retired = RetiredFiles(store, retention, config.jobs.sweep.grace_s)
    levels = StoreLevels(store)
    store.writer.check_room = _each(store.sealer.check_room, levels.check_room)
    queries = make_queries(config.sql, store)
    await asyncio.to_thread(queries.clear)
    shelf = Shelf(store, subscriptions.all, config.jobs.snapshot.kept)
    observed = Observed(
        store, sources, subscriptions, mining.tasks, retention, levels, SizeShares(store), shelf
    )
    alarms, alarms_running = alarm_tasks(config.alarms, store.catalogue, observed)
    return Parts(
        config,
        store,
        sources,
        matching,
        mining,
        assignments,
        subscriptions,
        shelf,
        connections,
        watch,
        alarms,
        alarms_running,
        _jobs(config, store, connections, subscriptions, retention, retired, shelf, stores),
        queries,
        stores,
        Shedding(
            store,
            lambda: gather(store, retention, subscriptions.all()),
            retired,
            stores.budgets,
            levels,
        ),
        StoreUsages(store, retention, subscriptions, stores.budgets, levels),
        levels,
        Batches(store.reader, config.store.chunk_cache_bytes_max),
    )


def _jobs(
    config: Config,
    store: LogStore,
    connections: Connections,
    subscriptions: Subscriptions,
    retention: Retention,
    retired: RetiredFiles,
    shelf: Shelf,
    stores: KnownStores,
) -> JobScheduler:
    jobs = config.jobs
    snapshots = Snapshotting(jobs.snapshot, store, shelf, snapshot_rule(connections))
    models, load_time = jobs.models, _load_time_of(connections)
    scrub, daily = jobs.scrub, partial(_daily, config, store)
    return JobScheduler(
        store.catalogue,
        [
            daily(_backup(jobs.backup, store), jobs.backup.daily_at),
            daily(Compact(store, jobs.compact, retention), jobs.compact.daily_at),
            Expire(store, subscriptions.all, retention, retired, jobs.expire.interval_s),
            Move(store, stores.misplaced, jobs.move.interval_s, jobs.move.bytes_per_s_max),
            daily(
                Scrub(store, scrub.interval_s, scrub.bytes_per_s_max, snapshots.scrub),
                scrub.daily_at,
            ),
            Seal(store),
            Sweep(store, retired, jobs.sweep.interval_s),
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
    return Backup(store, directory, config.interval_s, config.kept)


def _each(*checks: Callable[[PartitionLog], None]) -> Callable[[PartitionLog], None]:
    """Makes one check after the other."""

    def check_all(log: PartitionLog) -> None:
        for check in checks:
            check(log)

    return check_all


def _in_turn(*calls: Callable[[str], Awaitable[None]]) -> Callable[[str], Awaitable[None]]:
    """Awaits one call after the other."""

    async def all_of(name: str) -> None:
        for call in calls:
            await call(name)

    return all_of


def _load_time_of(connections: Connections) -> Callable[[str], str]:
    """When models of a connection with many are refreshed; one that was deleted has the default."""

    def of(name: str) -> str:
        try:
            return connections.get(name).config.model_load_time
        except NotFound:
            return LOAD_TIME

    return of
