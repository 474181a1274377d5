"""Which rows there are to be seen, and what each has."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cachesvc.cli.render import enum_name
from cachesvc.cli.top.columns import Column, Kind
from cachesvc.cli.top.figures import Figures
from cachesvc.v1.admin_pb2 import Job, Reader
from cachesvc.v1.alarms_pb2 import Alarm, AlarmKind
from cachesvc.v1.log_cache_pb2 import MiningState, Subscription
from cachesvc.v1.retention_pb2 import StoreUsage
from cachesvc.v1.watching_pb2 import WatchedTopic

_TROUBLED = (
    MiningState.BLOCKED,
    MiningState.SOURCE_UNREACHABLE,
    MiningState.FAILED,
    MiningState.THROTTLED,
    MiningState.STOPPED,
)
_ALARM_PREFIX = "ALARM_"


@dataclass(frozen=True, slots=True)
class View:
    """Rows of one sort.

    Attributes:
        name: For its tab, and for ``--view``.
        what: The name in a sample of what its rows are made of.
        rows: Made of what was said.
        columns: The first names the row, and is never left out.
        sort: The title of the column by which it is sorted at first.
        descending: Whether the largest come first.
        troubled: Whether something is wrong with a row.
        none_of: What is said where there is no row, unless its name says it.
    """

    name: str
    what: str
    rows: Callable[[Figures], list[Any]]
    columns: Sequence[Column]
    sort: str
    descending: bool = True
    troubled: Callable[[Any], bool] = lambda row: False
    none_of: str = ""

    @property
    def none(self) -> str:
        """What is said where there is no row."""
        return self.none_of or f"no {self.name}"


@dataclass(frozen=True, slots=True)
class _Topic:
    connection: str
    found: WatchedTopic

    @property
    def lag(self) -> int | None:
        activity = self.found.activity
        return activity.lag_records if activity.HasField("lag_records") else None

    @property
    def spared(self) -> float | None:
        """Bytes that subscribers were sent for each that was mined."""
        mined, sent = self.found.activity.bytes_total, self.found.delivered.bytes_total
        return sent / mined if mined else None


@dataclass(frozen=True, slots=True)
class _Reading:
    found: Subscription
    per_s: float | None
    now_ms: int

    @property
    def committed_s(self) -> float | None:
        found = self.found
        return _ago_s(self.now_ms, found.committed_ms if found.HasField("committed_ms") else None)

    @property
    def connected(self) -> str:
        if self.found.members:
            return f"{len(self.found.members)} members"
        return "yes" if self.found.connected else "no"


@dataclass(frozen=True, slots=True)
class _Reader:
    found: Reader
    cores: float | None
    fetched_per_s: float | None
    now_ms: int

    def own(self, name: str) -> float | None:
        """One of its own figures; None where it has said nothing yet."""
        return getattr(self.found.figures, name) if self.found.HasField("figures") else None


@dataclass(frozen=True, slots=True)
class _Job:
    found: Job
    now_ms: int

    @property
    def state(self) -> str:
        if self.found.running:
            return "running"
        if self.found.paused:
            return "paused"
        if self.failed:
            return "failed"
        return "waiting" if self.found.interval_s or self.found.daily_at else "on demand"

    @property
    def failed(self) -> bool:
        return self.found.HasField("last_run") and not self.found.last_run.succeeded

    @property
    def last_s(self) -> float | None:
        known = self.found.HasField("last_run")
        return _ago_s(self.now_ms, self.found.last_run.ended_ms if known else None)

    @property
    def took_s(self) -> float | None:
        run = self.found.last_run
        return (run.ended_ms - run.started_ms) / 1000 if self.found.HasField("last_run") else None

    @property
    def next_s(self) -> float | None:
        if not self.found.HasField("next_run_ms"):
            return None
        return max(0.0, (self.found.next_run_ms - self.now_ms) / 1000)


@dataclass(frozen=True, slots=True)
class _Alarm:
    found: Alarm
    now_ms: int

    @property
    def of(self) -> str:
        found = self.found
        topic = f"/{found.topic}" if found.HasField("topic") else ""
        partition = f"/{found.partition}" if found.HasField("partition") else ""
        subscription = f" {found.subscription}" if found.HasField("subscription") else ""
        return f"{found.connection or 'the service'}{topic}{partition}{subscription}"


def _topics(figures: Figures) -> list[Any]:
    return [_Topic(task.connection, topic) for task in figures.now.tasks for topic in task.topics]


def _subscriptions(figures: Figures) -> list[Any]:
    rates, now_ms = figures.subscriptions_per_s(), figures.now.at_ms
    return [_Reading(each, rates.get(each.name), now_ms) for each in figures.now.subscriptions]


def _readers(figures: Figures) -> list[Any]:
    cores = figures.reader_per_s(lambda reader: reader.figures.cpu_s)
    fetched = figures.reader_per_s(lambda reader: reader.figures.fetched_bytes)
    keyed = ((each, (each.connection, each.name)) for each in figures.now.readers)
    now_ms = figures.now.at_ms
    return [_Reader(each, cores.get(key), fetched.get(key), now_ms) for each, key in keyed]


def _stores(figures: Figures) -> list[Any]:
    return list(figures.now.stores)


def _jobs(figures: Figures) -> list[Any]:
    return [_Job(each, figures.now.at_ms) for each in figures.now.jobs]


def _alarms(figures: Figures) -> list[Any]:
    return [_Alarm(each, figures.now.at_ms) for each in figures.now.alarms]


def _ago_s(now_ms: int, then_ms: int | None) -> float | None:
    return None if not then_ms else max(0.0, (now_ms - then_ms) / 1000)


def _state(row: _Topic) -> str:
    return enum_name(MiningState, row.found.state)


def _names(found: Iterable[str]) -> str:
    return ", ".join(found)


def _held_share(usage: StoreUsage) -> float | None:
    return usage.bytes / usage.bytes_max if usage.bytes_max else None


TOPICS: Final = View(
    "topics",
    "tasks",
    _topics,
    (
        Column("topic", Kind.TEXT, lambda r: r.found.topic),
        Column("connection", Kind.TEXT, lambda r: r.connection, 4),
        Column("state", Kind.TEXT, _state, 2),
        Column("mined/s", Kind.RATE, lambda r: r.found.activity.records_per_s_10s),
        Column("mined B/s", Kind.BYTE_RATE, lambda r: r.found.activity.bytes_per_s_10s, 4),
        Column("lag", Kind.COUNT, lambda r: r.lag),
        Column("lag time", Kind.SECONDS, lambda r: r.found.activity.lag_s, 2),
        Column("sent/s", Kind.RATE, lambda r: r.found.delivered.records_per_s_10s, 1),
        Column("sent B/s", Kind.BYTE_RATE, lambda r: r.found.delivered.bytes_per_s_10s, 4),
        Column("sent/mined", Kind.SHARE, lambda r: r.spared, 6),
        Column("today", Kind.COUNT, lambda r: r.found.activity.records_today, 6),
        Column("total", Kind.COUNT, lambda r: r.found.activity.records_total, 5),
        Column("rejects", Kind.COUNT, lambda r: r.found.activity.rejects_total, 7),
        Column("used by", Kind.COUNT, lambda r: len(r.found.subscriptions), 5),
        Column("why", Kind.TEXT, lambda r: r.found.error, 1),
    ),
    "mined/s",
    troubled=lambda r: r.found.state in _TROUBLED,
    none_of="no topic is mined now; `cachesvc topics` lists what is cached",
)
SUBSCRIPTIONS: Final = View(
    "subscriptions",
    "subscriptions",
    _subscriptions,
    (
        Column("subscription", Kind.TEXT, lambda r: r.found.name),
        Column("connection", Kind.TEXT, lambda r: r.found.connection, 4),
        Column("connected", Kind.TEXT, lambda r: r.connected, 1),
        Column("lag", Kind.COUNT, lambda r: r.found.lag.records),
        Column("lag bytes", Kind.BYTES, lambda r: r.found.lag.bytes, 3),
        Column("lag time", Kind.SECONDS, lambda r: r.found.lag.seconds, 1),
        Column("offsets/s", Kind.RATE, lambda r: r.per_s),
        Column("commit before", Kind.SECONDS, lambda r: r.committed_s, 2),
        Column(
            "topics",
            Kind.TEXT,
            lambda r: r.found.topic_expression or _names(r.found.topics),
            4,
        ),
    ),
    "lag",
)
READERS: Final = View(
    "readers",
    "readers",
    _readers,
    (
        Column("reader", Kind.TEXT, lambda r: r.found.name),
        Column("connection", Kind.TEXT, lambda r: r.found.connection, 4),
        Column("host", Kind.TEXT, lambda r: r.found.host, 4),
        Column("pid", Kind.NUMBER, lambda r: r.found.pid, 6),
        Column("topics", Kind.COUNT, lambda r: len(r.found.topics), 2),
        Column("mined B/s", Kind.BYTE_RATE, lambda r: r.found.bytes_per_second),
        Column("fetched B/s", Kind.BYTE_RATE, lambda r: r.fetched_per_s, 2),
        Column("core", Kind.SHARE, lambda r: r.cores),
        Column("memory", Kind.BYTES, lambda r: r.own("resident_bytes"), 1),
        Column("files", Kind.COUNT, lambda r: r.own("open_files"), 6),
        Column("on its way", Kind.BYTES, lambda r: r.own("unacknowledged_bytes"), 5),
        Column("throttled", Kind.SECONDS, lambda r: r.found.throttled_ms / 1000, 4),
        Column("joined before", Kind.SECONDS, lambda r: _ago_s(r.now_ms, r.found.joined_ms), 5),
        Column("why", Kind.TEXT, lambda r: r.found.source_error, 1),
    ),
    "core",
    troubled=lambda r: bool(r.found.source_error),
)
STORES: Final = View(
    "stores",
    "stores",
    _stores,
    (
        Column("store", Kind.TEXT, lambda r: r.store),
        Column("holds", Kind.BYTES, lambda r: r.bytes),
        Column("of", Kind.BYTES, lambda r: r.bytes_max if r.HasField("bytes_max") else None, 1),
        Column("full", Kind.SHARE, _held_share),
        Column("segments", Kind.BYTES, lambda r: r.segment_bytes, 2),
        Column("journals", Kind.BYTES, lambda r: r.journal_bytes, 2),
        Column("warm", Kind.BYTES, lambda r: r.warm_bytes, 3),
        Column("retired", Kind.BYTES, lambda r: r.retired_bytes, 4),
        Column("snapshots", Kind.BYTES, lambda r: r.snapshot_bytes, 3),
        Column("topics", Kind.COUNT, lambda r: len(r.topics), 3),
        Column("why", Kind.TEXT, lambda r: r.full, 1),
    ),
    "holds",
    troubled=lambda r: bool(r.full),
)
JOBS: Final = View(
    "jobs",
    "jobs",
    _jobs,
    (
        Column("job", Kind.TEXT, lambda r: r.found.name),
        Column("state", Kind.TEXT, lambda r: r.state),
        Column("ended before", Kind.SECONDS, lambda r: r.last_s),
        Column("took", Kind.SECONDS, lambda r: r.took_s, 1),
        Column("next in", Kind.SECONDS, lambda r: r.next_s, 1),
        Column("why", Kind.TEXT, lambda r: r.found.last_run.error, 2),
    ),
    "job",
    descending=False,
    troubled=lambda r: r.failed,
)
ALARMS: Final = View(
    "alarms",
    "alarms",
    _alarms,
    (
        Column(
            "alarm",
            Kind.TEXT,
            lambda r: enum_name(AlarmKind, r.found.kind).removeprefix(_ALARM_PREFIX),
        ),
        Column("of", Kind.TEXT, lambda r: r.of),
        Column("for", Kind.SECONDS, lambda r: _ago_s(r.now_ms, r.found.raised_ms)),
        Column("what", Kind.TEXT, lambda r: r.found.message),
    ),
    "for",
    descending=False,
    troubled=lambda r: True,
)
VIEWS: Final = (TOPICS, SUBSCRIPTIONS, READERS, STORES, JOBS, ALARMS)
