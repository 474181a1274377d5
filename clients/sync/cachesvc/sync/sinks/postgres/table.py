"""What the database knows of the table, and what of that a task fills."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from cachesvc.sync.errors import TargetFailed
from cachesvc.sync.sinks.postgres.session import Connection
from cachesvc.sync.sinks.postgres.settings import PostgresSettings

_COLUMNS = """
select a.attname, format_type(a.atttypid, a.atttypmod), t.typname, t.typcategory::text,
       a.attgenerated <> '', a.attidentity = 'a'
from pg_attribute a join pg_type t on t.oid = a.atttypid
where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""
_UNIQUE = """
select array(select a.attname::text from unnest(i.indkey) with ordinality k(number, place)
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
             where k.place <= i.indnkeyatts order by k.place),
       i.indisprimary
from pg_index i
where i.indrelid = to_regclass(%s) and i.indisunique and i.indisvalid
  and i.indpred is null and i.indexprs is null
order by i.indisprimary desc
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that the task fills.

    Attributes:
        name: Its name.
        field: The field that it is filled from.
        type: Its type, as a cast names it.
        base: The type's own name, such as ``int4``.
        category: The type's category of ``pg_type``, such as ``N`` for numbers.
        fixed: Whether it can be given on insert, but not changed.
    """

    name: str
    field: str
    type: str
    base: str
    category: str
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """The table and its columns, those of the key among them.

    Attributes:
        name: Schema and name.
        columns: Those that the task fills, in the table's order.
        key: Those of them that tell rows apart.
    """

    name: sql.Identifier
    columns: tuple[Column, ...]
    key: tuple[Column, ...]

    @property
    def changing(self) -> tuple[Column, ...]:
        """Columns that an update sets."""
        names = {column.name for column in self.key}
        return tuple(c for c in self.columns if c.name not in names and not c.fixed)


async def read_table(connection: Connection, settings: PostgresSettings) -> Table:
    """The table as it is.

    Raises:
        TargetFailed: It is missing, or a column or the key of the settings is not there.
    """
    where = f"{settings.schema}.{settings.table}"
    name = sql.Identifier(settings.schema, settings.table)
    quoted = name.as_string(connection)
    found = await (await connection.execute(_COLUMNS, [quoted])).fetchall()
    if not found:
        raise TargetFailed(
            f"PostgreSQL has no table {where}; make it, or give its columns in [sink.create]",
            reason="TABLE_MISSING",
        )
    own = {row[0]: row[0] for row in found if not row[4] and row[0] not in settings.leave}
    fields = settings.columns or own
    columns = tuple(
        Column(row[0], fields[row[0]], row[1], row[2], row[3], fixed=row[5])
        for row in found
        if row[0] in fields
    )
    _require({column.name for column in columns}, fields, f"{where} has no column", "columns")
    unique = await (await connection.execute(_UNIQUE, [quoted])).fetchall()
    return Table(name, columns, _key(columns, settings, unique, where))


def _key(
    columns: Sequence[Column],
    settings: PostgresSettings,
    unique: Sequence[tuple[list[str], bool]],
    where: str,
) -> tuple[Column, ...]:
    names = settings.key or next((tuple(found) for found, primary in unique if primary), ())
    if not names:
        raise TargetFailed(
            f"{where} has no primary key; name the columns of a unique index in sink.key",
            reason="KEY_MISSING",
        )
    if not any(set(found) == set(names) for found, _ in unique):
        raise TargetFailed(
            f"{where} has no unique index over {', '.join(names)}, which sink.key names",
            reason="KEY_MISSING",
        )
    by_name = {column.name: column for column in columns}
    _require(by_name, dict.fromkeys(names), "no field is mapped to the key's column", "columns")
    return tuple(by_name[name] for name in names)


def _require(
    there: set[str] | Mapping[str, object], wanted: Mapping[str, object], what: str, setting: str
) -> None:
    missing = [name for name in wanted if name not in there]
    if missing:
        raise TargetFailed(
            f"{what} {', '.join(missing)}; see sink.{setting}", reason="COLUMN_MISSING"
        )
