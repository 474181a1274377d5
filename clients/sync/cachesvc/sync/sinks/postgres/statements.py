"""The statements that bring changes into the table.

Two ways lead there. Rows whose columns are all plain come as CSV, column by column, into a table
like the target's. All others come as JSON, and PostgreSQL takes the fields out, which knows every
type, and costs it several times as much.
"""

from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql

from cachesvc.sync.sinks.postgres.table import Column, Table

ROWS = sql.Identifier("pg_temp", "cachesvc_rows")
KEYS = sql.Identifier("pg_temp", "cachesvc_keys")
DOCUMENTS = sql.Identifier("pg_temp", "cachesvc_documents")

# JSON's own texts: quoted with ", in which \ escapes, and an unquoted null.
_CSV: LiteralString = "copy {} ({}) from stdin (format csv, null 'null', escape '\\')"


@dataclass(frozen=True, slots=True)
class Statements:
    """What is said for one table, ready to be sent.

    Attributes:
        stage: Makes the tables in which changes wait; they are the connection's own.
        copy_straight: Rows as CSV into the table itself.
        copy_rows: Rows as CSV to where they wait.
        copy_keys: Keys as CSV to where they wait.
        copy_documents: Number, whether it deletes, and object of each change, to where they wait.
        merge_rows: Waiting rows, all of different keys, into the table.
        delete_keys: Rows of the waiting keys out of the table.
        merge_documents: Waiting objects into the table, of each key the last one.
        unknown_fields: Whether a waiting object has a field without a column.
        clear_rows: Empties where rows wait.
        clear_keys: Empties where keys wait.
        clear_documents: Empties where objects wait.
    """

    stage: sql.Composed
    copy_straight: sql.Composed
    copy_rows: sql.Composed
    copy_keys: sql.Composed
    copy_documents: sql.Composed
    merge_rows: sql.Composed
    delete_keys: sql.Composed
    merge_documents: sql.Composed
    unknown_fields: sql.Composed
    clear_rows: sql.Composed
    clear_keys: sql.Composed
    clear_documents: sql.Composed


def statements(table: Table) -> Statements:
    """The statements of a table."""
    columns, keys = _names(table.columns), _names(table.key)
    documents = sql.SQL("seq, deleted, document")
    return Statements(
        stage=_stage(table),
        copy_straight=sql.SQL(_CSV).format(table.name, columns),
        copy_rows=sql.SQL(_CSV).format(ROWS, columns),
        copy_keys=sql.SQL(_CSV).format(KEYS, keys),
        copy_documents=sql.SQL("copy {} ({}) from stdin (format csv)").format(DOCUMENTS, documents),
        merge_rows=_insert(table, sql.SQL("select {} from {}").format(columns, ROWS)),
        delete_keys=sql.SQL("delete from {} t using {} gone where {}").format(
            table.name, KEYS, _same_key(table.key, [sql.Identifier(c.name) for c in table.key])
        ),
        merge_documents=_merge_documents(table),
        unknown_fields=_unknown_fields(table),
        clear_rows=sql.SQL("truncate {}").format(ROWS),
        clear_keys=sql.SQL("truncate {}").format(KEYS),
        clear_documents=sql.SQL("truncate {}").format(DOCUMENTS),
    )


def _stage(table: Table) -> sql.Composed:
    return sql.SQL(
        "create temp table cachesvc_rows on commit delete rows"
        " as select {columns} from {table} limit 0;"
        "create temp table cachesvc_keys on commit delete rows"
        " as select {keys} from {table} limit 0;"
        "create temp table cachesvc_documents (seq int, deleted boolean, document json)"
        " on commit delete rows"
    ).format(columns=_names(table.columns), keys=_names(table.key), table=table.name)


def _insert(table: Table, source: sql.Composable) -> sql.Composed:
    return sql.SQL(
        "insert into {} as t ({}) overriding system value {} on conflict ({}) do {}"
    ).format(table.name, _names(table.columns), source, _names(table.key), _action(table))


def _action(table: Table) -> sql.Composable:
    """Updates what differs, byte for byte: 1.0 is not 1.00, and no type needs an equality."""
    names = [sql.Identifier(column.name) for column in table.changing]
    if not names:
        return sql.SQL("nothing")
    return sql.SQL("update set {} where pg_catalog.record_image_ne(row({}), row({}))").format(
        _each("{0} = excluded.{0}", names), _each("t.{}", names), _each("excluded.{}", names)
    )


def _each(words: LiteralString, names: list[sql.Identifier]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL(words).format(name) for name in names)


def _merge_documents(table: Table) -> sql.Composed:
    """Of several changes of one key the last one counts; fields get numbers as names."""
    aliases = {column.name: sql.Identifier(f"c{at}") for at, column in enumerate(table.columns)}
    taken = sql.SQL(", ").join(
        sql.SQL("r.{} as {}").format(sql.Identifier(column.field), aliases[column.name])
        for column in table.columns
    )
    keys = [aliases[column.name] for column in table.key]
    kept = sql.SQL("select {} from latest where not latest.deleted").format(
        sql.SQL(", ").join(aliases[column.name] for column in table.columns)
    )
    return sql.SQL(
        "with latest as materialized (select distinct on ({keys}) * from ("
        "select s.seq, s.deleted, {taken}"
        " from {documents} s, json_to_record(s.document) r({fields})) every"
        " order by {keys}, seq desc), "
        "gone as (delete from {table} t using latest gone where gone.deleted and {same}) {insert}"
    ).format(
        keys=sql.SQL(", ").join(keys),
        taken=taken,
        documents=DOCUMENTS,
        fields=_fields(table),
        table=table.name,
        same=_same_key(table.key, keys),
        insert=_insert(table, kept),
    )


def _fields(table: Table) -> sql.Composed:
    fields = {column.field: column.type for column in table.columns}
    return sql.SQL(", ").join(
        # The type's name comes from format_type, which quotes what has to be.
        sql.SQL("{} {}").format(sql.Identifier(field), sql.SQL(type_))
        for field, type_ in fields.items()
    )


def _unknown_fields(table: Table) -> sql.Composed:
    known = sql.SQL(", ").join(sql.Literal(column.field) for column in table.columns)
    return sql.SQL(
        "select field from {} s, json_object_keys(s.document) field"
        " where not s.deleted and field not in ({}) limit 1"
    ).format(DOCUMENTS, known)


def _same_key(key: tuple[Column, ...], others: list[sql.Identifier]) -> sql.Composed:
    return sql.SQL(" and ").join(
        sql.SQL("t.{} = gone.{}").format(sql.Identifier(column.name), other)
        for column, other in zip(key, others, strict=True)
    )


def _names(columns: tuple[Column, ...]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
