"""What serving needs of other edges, as ports; the composition root fits them together."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol

from cachesvc.clusters.sources import Source
from cachesvc.policy.connection_checks import CheckResult
from cachesvc.settings.connection import ConnectionConfig
from cachesvc.store.ports import JobRunRecord


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

    def run_now(self, name: str) -> AsyncIterator[JobProgress]:
        """Runs a job and tells how far it is. Raises NotFound, PreconditionFailed."""

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
