"""The sink itself: connects, writes deliveries as transactions, and tries things out."""

import re
from collections.abc import Sequence

from psycopg import sql

from cachesvc.client import InvalidRequest, Positions, parse_path
from cachesvc.sync.errors import InvalidTask, TargetUnavailable
from cachesvc.sync.own_thread import OwnThread
from cachesvc.sync.sink import Check, Delivery, Sink, SinkKind, TaskContext
from cachesvc.sync.sinks.postgres.checks import check_target
from cachesvc.sync.sinks.postgres.creation import create_missing
from cachesvc.sync.sinks.postgres.failures import telling
from cachesvc.sync.sinks.postgres.positions import KeptPositions
from cachesvc.sync.sinks.postgres.session import Session, connection_parameters
from cachesvc.sync.sinks.postgres.settings import PostgresSettings
from cachesvc.sync.sinks.postgres.table import read_table
from cachesvc.sync.sinks.postgres.writer import TableWriter

# Names of types, their arguments, defaults apart: nothing that could end the statement.
_TYPE = re.compile(r'[A-Za-z_][A-Za-z0-9_ ."]*(\([0-9, ]+\))?[a-z ]*(\[\])*( not null)?', re.ASCII)


class PostgresSink:
    """Upserts and deletes rows by key.

    Effectively once: a delivery and the positions behind it are one transaction, and a task goes on
    at the positions of the table, whatever happened to the confirmation. Tasks that share a
    subscription may write to one table.

    Args:
        settings: The task's.
        context: Its name is that of its positions; its models say what the table is made of.
    """

    def __init__(self, settings: PostgresSettings, context: TaskContext) -> None:
        self._settings = settings
        self._models = context.models
        self._session = Session(settings, context.task)
        place = sql.Identifier(settings.schema, settings.positions_table)
        self._kept = KeptPositions(place, context.task, shared=context.shared)
        self._known = Positions()
        self._thread = OwnThread("postgres")
        self._writer: TableWriter | None = None

    async def open(self) -> Positions | None:
        connection = await self._session.connect()
        with telling():
            await create_missing(connection, self._settings, self._models)
            table = await read_table(connection, self._settings)
            self._writer = TableWriter(
                table,
                self._settings.key_from == "record",
                self._settings.unknown_fields == "refuse",
                self._thread,
            )
            await self._writer.prepare(connection)
            await self._kept.create(connection)
            self._known = await self._kept.read(connection)
        return self._known

    async def read_positions(self) -> Positions:
        with telling():
            self._known = await self._kept.read(self._session.connection)
        return self._known

    async def write(self, delivery: Delivery) -> None:
        connection, writer = self._session.connection, self._writer
        if writer is None:
            raise TargetUnavailable("PostgreSQL: not connected", reason="NOT_OPEN")
        with telling():
            async with connection.transaction():
                await self._kept.claim(connection, self._known, delivery.positions)
                await writer.write(connection, delivery.changes)
                await self._kept.move(connection, delivery.positions)
            self._known = _latest(self._known, delivery.positions)

    async def forget(self) -> None:
        with telling():
            await self._kept.forget(self._session.connection)
        self._known = Positions()

    async def check(self) -> Sequence[Check]:
        return await check_target(self._settings, self._models)

    async def close(self) -> None:
        self._writer = None
        await self._session.close()
        await self._thread.close()


def _latest(known: Positions, moved: Positions) -> Positions:
    """Positions as the table has them after these were written: none moves back."""
    ahead = [
        position
        for key, position in moved.items()
        if key not in known or position.is_after(known[key])
    ]
    return known.moved(*ahead)


def _make(settings: PostgresSettings, context: TaskContext) -> Sink:
    connection_parameters(settings)
    _check_create(settings)
    if settings.columns and settings.leave:
        raise InvalidTask("sink.leave has no meaning beside sink.columns, which names them all")
    if not settings.statement_timeout_s > 0:
        raise InvalidTask("sink.statement_timeout_s has to be more than 0")
    return PostgresSink(settings, context)


def _check_create(settings: PostgresSettings) -> None:
    if settings.create and not settings.key:
        raise InvalidTask("sink.create needs sink.key: the columns of the primary key")
    if settings.create == "model":
        types, where = settings.create_types, "create_types"
        _check_path(settings.create_from)
    else:
        types, where = settings.create, "create"
        if settings.create_from or settings.create_types:
            raise InvalidTask(
                'sink.create_from and sink.create_types belong to sink.create = "model"'
            )
        for column in settings.key if settings.create else ():
            if column not in settings.create:
                raise InvalidTask(f"sink.key names {column}, which sink.create does not have")
    for column, type_ in types.items():
        if _TYPE.fullmatch(type_) is None:
            raise InvalidTask(f"sink.{where}.{column}: {type_!r} is no type")


def _check_path(path: str) -> None:
    try:
        if path:
            parse_path(path)
    except InvalidRequest as error:
        raise InvalidTask(f"sink.create_from: {error}") from error


POSTGRES = SinkKind(PostgresSettings, _make)
