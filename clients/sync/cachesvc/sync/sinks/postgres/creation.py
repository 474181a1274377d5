"""Making the table where it is missing."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from psycopg import sql

from cachesvc.client import TopicModel
from cachesvc.sync.errors import TargetFailed
from cachesvc.sync.sinks.postgres.modelled import modelled
from cachesvc.sync.sinks.postgres.session import Connection
from cachesvc.sync.sinks.postgres.settings import PostgresSettings

Models: TypeAlias = Callable[[], Awaitable[Sequence[TopicModel]]]


async def create_missing(
    connection: Connection, settings: PostgresSettings, models: Models | None
) -> None:
    """Makes the table, where the settings say so and it is missing.

    Only then is the service asked for a model: a table that is there needs none.

    Raises:
        TargetFailed: Its columns are to be those of a model that is not there or lacks some.
        TargetUnavailable: The service, which has the model, does not answer.
    """
    if not settings.create:
        return
    name = sql.Identifier(settings.schema, settings.table)
    quoted = name.as_string(connection)
    found = await (await connection.execute("select to_regclass(%s)", [quoted])).fetchone()
    if found == (None,):
        types = await _types(settings, models)
        await connection.execute(_create(name, settings.key, types))


async def _types(settings: PostgresSettings, models: Models | None) -> Mapping[str, str]:
    if settings.create != "model":
        return settings.create
    if models is None:
        raise TargetFailed(
            'sink.create = "model" needs a task that knows a service; name the columns instead',
            reason="MODEL_MISSING",
        )
    return modelled(settings, await models())


def _create(name: sql.Identifier, key: Sequence[str], types: Mapping[str, str]) -> sql.Composed:
    columns = [
        # A type is SQL; the settings' own check lets nothing through that could be more.
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(type_))
        for column, type_ in types.items()
    ]
    return sql.SQL("create table if not exists {} ({}, primary key ({}))").format(
        name, sql.SQL(", ").join(columns), sql.SQL(", ").join(map(sql.Identifier, key))
    )
