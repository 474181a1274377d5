"""One connection to the database, made when it is needed."""

import asyncio
from collections.abc import Mapping
from typing import Any, TypeAlias

import psycopg
from psycopg import conninfo
from psycopg.pq import TransactionStatus

from cachesvc.sync.errors import InvalidTask, SyncError, TargetFailed, TargetUnavailable
from cachesvc.sync.sinks.postgres.failures import passes, sync_error
from cachesvc.sync.sinks.postgres.refusals import refusal
from cachesvc.sync.sinks.postgres.settings import PostgresSettings
from cachesvc.sync.sinks.secrets import secret

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]

_CONNECT_TIMEOUT_S = 15
# So that what waits for a merge stays in memory.
_WAITING_ROOM = "32MB"
# The SQLSTATE class of a wrong password, an unknown role, or no line in pg_hba.conf.
_NOT_LET_IN = "28"
# A server that vanished is noticed after about a minute, whatever the system's own limits are.
_KEEPALIVE = {"keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 4}


class Session:
    """Holds the connection; every statement stands for itself until a transaction begins.

    Args:
        settings: Where, and as whom.
        task: Shown by the server as the application's name.
    """

    def __init__(self, settings: PostgresSettings, task: str) -> None:
        self._settings = settings
        self._task = task
        self._connection: Connection | None = None

    async def connect(self) -> Connection:
        """A new connection, in place of the one before.

        Raises:
            TargetUnavailable: No server answers, or it has no room.
            TargetFailed: It does not let us in.
        """
        await self.close()
        parameters = {**self._defaults(), **connection_parameters(self._settings)}
        try:
            self._connection = await psycopg.AsyncConnection.connect(
                "", autocommit=True, **parameters
            )
        except psycopg.Error as error:
            raise await _not_connected(error, parameters) from error
        return self._connection

    @property
    def connection(self) -> Connection:
        """The connection, between two transactions.

        Raises:
            TargetUnavailable: There is none, or something that was cancelled left it unusable.
        """
        connection = self._connection
        if connection is None or connection.closed or connection.broken:
            raise TargetUnavailable("PostgreSQL: not connected", reason="NOT_OPEN")
        if connection.info.transaction_status != TransactionStatus.IDLE:
            raise TargetUnavailable("PostgreSQL: a transaction was left open", reason="NOT_OPEN")
        return connection

    async def close(self) -> None:
        """Lets go of the connection. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _defaults(self) -> dict[str, Any]:
        milliseconds = int(self._settings.statement_timeout_s * 1000)
        return {
            "application_name": f"cachesvc-sync {self._task}"[:63],
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "options": f"-c statement_timeout={milliseconds} -c temp_buffers={_WAITING_ROOM}",
            **_KEEPALIVE,
        }


async def _not_connected(error: psycopg.Error, parameters: Mapping[str, Any]) -> SyncError:
    """What it means for a task that there is no connection."""
    told = sync_error(error)
    pgconn = error.pgconn if isinstance(error, psycopg.OperationalError) else None
    if pgconn is not None and pgconn.needs_password:
        return TargetFailed(
            "PostgreSQL wants a password; give sink.password_env or sink.password_file",
            reason="PASSWORD_MISSING",
        )
    if error.sqlstate is not None or isinstance(error, psycopg.errors.ConnectionTimeout):
        return told
    state = await asyncio.to_thread(refusal, parameters, _CONNECT_TIMEOUT_S)
    if state is None or passes(state):
        return told
    reason = "ACCESS_REFUSED" if state.startswith(_NOT_LET_IN) else None
    return TargetFailed(str(told), reason=reason, metadata={"sqlstate": state})


def connection_parameters(settings: PostgresSettings) -> dict[str, Any]:
    """Parameters of libpq, with the password.

    Raises:
        InvalidTask: They do not go together, or the password is not where it is said to be.
    """
    try:
        given = conninfo.conninfo_to_dict(settings.conninfo)
    except psycopg.Error as error:
        raise InvalidTask(f"sink.conninfo: {error}") from error
    if "password" in given:
        raise InvalidTask(
            "sink.conninfo has a password; name its place with sink.password_env or "
            "sink.password_file instead"
        )
    if "options" in given:
        raise InvalidTask("sink.conninfo cannot have options; there is sink.statement_timeout_s")
    password = secret("sink.password", settings.password_env, settings.password_file)
    return given if password is None else {**given, "password": password}
