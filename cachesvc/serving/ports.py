"""What serving needs of other edges, as ports; the composition root fits them together."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol

from cachesvc.clusters.sources import Source
from cachesvc.model import Segment
from cachesvc.policy.connection_checks import CheckResult
from cachesvc.settings.connection import ConnectionConfig
from cachesvc.settings.stores import StoreEntry
from cachesvc.store.examination import StoreCheck
from cachesvc.store.ports import JobRunRecord
from cachesvc.store.stores_port import StoreRecord, StoreTested


class ConnectionState(Protocol):
    """A connection as it is now."""

    @property
    def config(self) -> ConnectionConfig: ...
    @property
    def source(self) -> Source: ...
    @property
    def in_file(self) -> bool: ...
    @property
    def created_ms(self) -> int | None: ...
    @property
    def updated_ms(self) -> int | None: ...


class Connections(Protocol):
    """The connections that operators look at and change; ``mining.connections`` has them."""

    def all(self) -> Sequence[ConnectionState]:
        """Every connection, ordered by name."""

    def get(self, name: str) -> ConnectionState:
        """A connection. Raises NotFound."""

    async def create(self, config: ConnectionConfig) -> ConnectionState:
        """Makes one. Raises PreconditionFailed."""

    async def update(self, config: ConnectionConfig) -> ConnectionState:
        """Replaces the settings of one. Raises NotFound, PreconditionFailed."""

    async def delete(self, name: str) -> None:
        """Forgets one. Raises NotFound, PreconditionFailed."""

    async def accept(self, name: str, cluster_id: str) -> tuple[ConnectionState, str]:
        """Has one mean the cluster that its addresses lead to; also the id of the one before.

        Raises NotFound, PreconditionFailed, SourceUnreachable.
        """


class StoreState(Protocol):
    """A store as it is now; ``stores.StoreState`` says what each means."""

    @property
    def entry(self) -> StoreEntry: ...
    @property
    def record(self) -> StoreRecord | None: ...
    @property
    def segments(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def retired_files(self) -> int: ...
    @property
    def connections(self) -> Sequence[str]: ...
    @property
    def topics(self) -> Sequence[str]: ...
    @property
    def waiting(self) -> tuple[int, int]: ...
    @property
    def error(self) -> str: ...
    @property
    def free_bytes(self) -> int | None: ...
    @property
    def tested(self) -> StoreTested | None: ...


class Stores(Protocol):
    """The stores that operators look at and change; ``stores.KnownStores`` has them."""

    async def states(self) -> Sequence[StoreState]:
        """All stores, ``local`` first, then by name."""

    async def state(self, name: str) -> StoreState:
        """One store. Raises NotFound."""

    async def create(self, entry: StoreEntry) -> StoreState:
        """Makes one. Raises PreconditionFailed, ConnectionUnusable."""

    async def update(self, entry: StoreEntry) -> StoreState:
        """Replaces the settings of one. Raises NotFound, PreconditionFailed, ConnectionUnusable."""

    async def delete(self, name: str) -> None:
        """Forgets one that nobody uses. Raises NotFound, PreconditionFailed."""

    def test(self, name: str) -> AsyncGenerator[StoreCheck, None]:
        """Tries one, check by check. Raises NotFound."""

    def examine(self, entry: StoreEntry) -> AsyncGenerator[StoreCheck, None]:
        """Tries one that need not be made."""

    async def place(self, connection: str, topic: str, store: str) -> Sequence[Segment]:
        """Has a topic, or all of a connection, lie in a store; what lies elsewhere until it moved.

        Raises NotFound, InvalidRequest.
        """


class JobProgress(Protocol):
    """How far a run is; ``run`` is set in the last one."""

    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def message(self) -> str: ...
    @property
    def run(self) -> JobRunRecord | None: ...


class JobDescription(Protocol):
    """What a job is called and how often it runs."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def interval_s(self) -> float: ...


class JobState(Protocol):
    """A job as it is now."""

    @property
    def job(self) -> JobDescription: ...
    @property
    def paused(self) -> bool: ...
    @property
    def running(self) -> bool: ...
    @property
    def next_run_ms(self) -> int | None: ...
    @property
    def last_run(self) -> JobRunRecord | None: ...
    @property
    def daily_at(self) -> str: ...


class Jobs(Protocol):
    """The jobs that operators look at and start; ``jobs.scheduler.JobScheduler`` is one."""

    async def states(self) -> Sequence[JobState]:
        """All jobs, ordered by name."""

    async def set_paused(self, name: str, *, paused: bool) -> JobState:
        """Pauses or resumes a schedule. Raises NotFound."""

    def run_now(
        self, name: str, directory: str = "", *, join: bool = False
    ) -> AsyncIterator[JobProgress]:
        """Runs a job, or follows the run under way with ``join``, and tells how far it is.

        Raises NotFound, InvalidRequest, PreconditionFailed.
        """

    async def history(self, name: str, limit: int) -> list[JobRunRecord]:
        """Past runs, the newest first. Raises NotFound."""


class ConnectionTester(Protocol):
    """Tries a connection; ``mining.kafka.checks.examine`` does so on Kafka."""

    def __call__(
        self, connection: ConnectionConfig, limit_s: float, cluster_id: str
    ) -> AsyncGenerator[CheckResult, None]:
        """Results in order, as they are known, within about ``limit_s`` seconds. Never raises.

        ``cluster_id`` is that of the cluster that the connection's logs are of; empty without any.
        """


class Queries(Protocol):
    """Answers SQL; ``sql.engine.QueryEngine`` does so in processes of their own."""

    def run(
        self, sql: str, *, connection: str = "", explain: bool = False
    ) -> AsyncGenerator[Sequence[tuple[str, str]] | bytes | int, None]:
        """Names and types of the columns, pieces of one Arrow IPC stream, the number of rows.

        Closing it ends the query. Raises InvalidRequest, NotFound, PreconditionFailed, DamagedFile.
        """
