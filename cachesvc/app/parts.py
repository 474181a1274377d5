"""The parts of a service process, built and told of each other; nothing runs yet."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

from cachesvc.alarms.facts import Observed
from cachesvc.alarms.size_shares import SizeShares
from cachesvc.alarms.tasks import alarm_tasks
from cachesvc.alarms.watch import AlarmWatch
from cachesvc.app.callers import Callers, load_callers
from cachesvc.app.jobs import make_jobs
from cachesvc.app.kept import Kept, make_kept
from cachesvc.app.mined import Mined, make_mined
from cachesvc.app.queries import make_queries
from cachesvc.app.stores import open_made, open_stores
from cachesvc.app.subscribed import Subscribed, make_subscribed
from cachesvc.descriptors import journal_descriptors
from cachesvc.jobs.scheduler import JobScheduler
from cachesvc.log.log_store import LogStore
from cachesvc.log.store_settings import LogStoreSettings
from cachesvc.policy.sealing import SealLimits
from cachesvc.settings.config import Config
from cachesvc.sql.engine import QueryEngine
from cachesvc.trends.measured import Measured
from cachesvc.trends.trends import Trends

if TYPE_CHECKING:
    from cachesvc.tracing.traces import Traces

_P = ParamSpec("_P")
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
    """What a service has, beside what it listens on.

    Attributes:
        config: What was set.
        store: The logs.
        mined: For mining.
        subscribed: For those who read.
        kept: For keeping what was mined.
        callers: Who may call.
        alarms: What is wrong.
        alarm_tasks: What runs for that.
        jobs: Scheduled work.
        queries: Operators' questions.
        measured: What is summed up again and again.
        trends: How that was of late.
        traces: The way of records, if somebody wants it.
    """

    config: Config
    store: LogStore
    mined: Mined
    subscribed: Subscribed
    kept: Kept
    callers: Callers
    alarms: AlarmWatch
    alarm_tasks: Sequence[Callable[[], Coroutine[None, None, None]]]
    jobs: JobScheduler
    queries: QueryEngine
    measured: Measured
    trends: Trends
    traces: "Traces | None"


async def build(config: Config, store: LogStore, traces: "Traces | None" = None) -> Parts:
    """Builds them within the event loop that they belong to, and loads what is durable."""
    callers = await load_callers(config, store.catalogue)
    mined = make_mined(config, store, lambda: subscribed.subscriptions)
    subscribed = make_subscribed(config, store, mined.assignments.plan_again, callers)
    kept = make_kept(config, store, mined, subscribed)
    alarms, alarms_running = alarm_tasks(
        config.alarms, store.catalogue, _observed(store, mined, subscribed, kept)
    )
    measured = _measured(store, mined, subscribed)
    parts = Parts(
        config,
        store,
        mined,
        subscribed,
        kept,
        callers,
        alarms,
        alarms_running,
        make_jobs(config, store, mined, subscribed, kept),
        make_queries(config.sql, store, subscribed.shelf),
        measured,
        Trends(measured),
        traces,
    )
    _tell_of_each_other(parts)
    await kept.stores.load()
    await mined.connections.load()
    await asyncio.to_thread(parts.queries.clear)
    return parts


def _observed(store: LogStore, mined: Mined, subscribed: Subscribed, kept: Kept) -> Observed:
    return Observed(
        store,
        mined.sources,
        subscribed.subscriptions,
        mined.mining.tasks,
        kept.retention,
        kept.levels,
        SizeShares(store),
        subscribed.shelf,
    )


def _measured(store: LogStore, mined: Mined, subscribed: Subscribed) -> Measured:
    return Measured(
        store,
        mined.sources,
        mined.assignments,
        subscribed.subscriptions,
        mined.watch,
        subscribed.deliveries,
    )


def _tell_of_each_other(parts: Parts) -> None:
    """Who is asked, and who is told, across the groups of parts."""
    store, mined, kept = parts.store, parts.mined, parts.kept
    mined.connections.check = kept.stores.check
    mined.connections.on_deleted = _in_turn(mined.mining.forget, kept.stores.forget)
    store.stores.choose = kept.stores.choose
    store.writer.check_room = _each(store.sealer.check_room, kept.levels.check_room)
    store.writer.on_published = mined.watch.published
    if parts.traces is not None:
        store.writer.on_published = _each(mined.watch.published, parts.traces.published)
        parts.subscribed.deliveries.on_sent = parts.traces.sent
        parts.subscribed.subscriptions.on_committed = parts.traces.committed


def _each(*calls: Callable[_P, None]) -> Callable[_P, None]:
    """Makes one call after the other."""

    def call_all(*args: _P.args, **named: _P.kwargs) -> None:
        for call in calls:
            call(*args, **named)

    return call_all


def _in_turn(*calls: Callable[[str], Awaitable[None]]) -> Callable[[str], Awaitable[None]]:
    """Awaits one call after the other."""

    async def all_of(name: str) -> None:
        for call in calls:
            await call(name)

    return all_of
