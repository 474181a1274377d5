"""What a task needs of its database, tried out and undone."""

from collections.abc import Awaitable, Callable

import psycopg
from psycopg import sql

from cachesvc.sync.errors import SyncError
from cachesvc.sync.sink import Check
from cachesvc.sync.sinks.postgres.creation import Models, create_missing
from cachesvc.sync.sinks.postgres.failures import sync_error
from cachesvc.sync.sinks.postgres.positions import KeptPositions
from cachesvc.sync.sinks.postgres.session import Connection, Session
from cachesvc.sync.sinks.postgres.settings import PostgresSettings
from cachesvc.sync.sinks.postgres.statements import statements
from cachesvc.sync.sinks.postgres.table import Table, read_table

_TRIAL = "cachesvc-sync check"
_PRIVILEGES = """
select privilege from unnest(%s::text[]) privilege where not has_table_privilege(%s, privilege)
"""
_MEND = "Make the table, or mend sink.table, sink.columns, sink.key or sink.create."
_NEEDED = ["SELECT", "INSERT", "UPDATE", "DELETE"]


async def check_target(settings: PostgresSettings, models: Models | None = None) -> list[Check]:
    """Connects, looks at the table, and writes as a task would, in a transaction that is undone."""
    session = Session(settings, _TRIAL)
    try:
        connection = await session.connect()
    except SyncError as error:
        hint = "Check address, user and password, and pg_hba.conf of the server."
        return [Check("connect", False, str(error), hint)]
    try:
        info = connection.info
        where = f"{info.user}@{info.host}:{info.port}/{info.dbname}"
        tls = "with TLS" if info.pgconn.ssl_in_use else "without TLS"
        version = info.parameter_status("server_version")
        checks = [Check("connect", True, f"{where}, PostgreSQL {version}, {tls}")]
        return checks + await _Trial(connection, settings, models).run()
    finally:
        await session.close()


class _Trial:
    """Steps on one connection, each after the one before has passed; in the end all is undone."""

    def __init__(
        self, connection: Connection, settings: PostgresSettings, models: Models | None
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._models = models
        self._table: Table | None = None

    async def run(self) -> list[Check]:
        steps: list[tuple[str, Callable[[], Awaitable[str]], str]] = [
            ("table", self._look, _MEND),
            ("rights", self._rights, "Grant what is missing to the user of sink.conninfo."),
            ("write", self._write, "Grant the right to create tables, for sink.positions_table."),
        ]
        checks = []
        async with self._connection.transaction(force_rollback=True):
            for name, step, hint in steps:
                try:
                    checks.append(Check(name, True, await step()))
                except (SyncError, psycopg.Error) as error:
                    told = sync_error(error) if isinstance(error, psycopg.Error) else error
                    return [*checks, Check(name, False, str(told), hint)]
        return checks

    async def _look(self) -> str:
        await create_missing(self._connection, self._settings, self._models)
        self._table = table = await read_table(self._connection, self._settings)
        names = ", ".join(f"{column.name} {column.type}" for column in table.columns)
        return f"columns {names}; key {', '.join(column.name for column in table.key)}"

    async def _rights(self) -> str:
        name = sql.Identifier(self._settings.schema, self._settings.table)
        arguments = [_NEEDED, name.as_string(self._connection)]
        lacking = await (await self._connection.execute(_PRIVILEGES, arguments)).fetchall()
        if lacking:
            words = ", ".join(row[0] for row in lacking)
            raise psycopg.errors.InsufficientPrivilege(f"the user lacks {words} on the table")
        return ", ".join(_NEEDED)

    async def _write(self) -> str:
        assert self._table is not None
        said = statements(self._table)
        await self._connection.execute(said.stage)
        for statement in (said.merge_rows, said.delete_keys, said.merge_documents):
            await self._connection.execute(statement)
        place = sql.Identifier(self._settings.schema, self._settings.positions_table)
        kept = KeptPositions(place, _TRIAL)
        await kept.create(self._connection)
        await kept.read(self._connection)
        return "merged nothing into the table, and took it back"
