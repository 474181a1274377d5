"""What a task can say about its table."""

from typing import Literal

import msgspec


class PostgresSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of kind ``postgres``.

    Attributes:
        conninfo: How to connect, as libpq has it: ``host=db port=5432 dbname=shop user=sync
            sslmode=verify-full``, or the same as a URI. Without the password.
        table: Name of the table.
        schema: Where it is.
        password_env: Environment variable with the password.
        password_file: File with the password; a newline at its end does not count.
        key: Columns that tell rows apart; a unique index has to be over them. Without it those of
            the primary key.
        key_from: Where their values are: ``value``: fields of the record's object; ``record``: the
            record's key, which is an object, or a single value where the key has one column.
        columns: Which column gets which field; all others are left alone. Without it every column
            gets the field of its own name, and null where a record has no such field.
        leave: Columns that are left alone, such as those that get their default.
        unknown_fields: What becomes of fields without a column: ``ignore``, or ``refuse`` the
            record.
        create: Columns and types of the table where it is missing, such as ``id = "bigint"``; its
            primary key is ``key``. Or ``"model"``: those that the service has seen in the
            topics' records.
        create_from: With ``create = "model"``, where in the records the object is whose fields
            become columns, such as ``after`` where the transform ``debezium`` takes that out.
        create_types: With it, types of single columns instead of the model's, or of columns that
            it does not know.
        positions_table: Where, in the same schema, the task's positions are kept.
        statement_timeout_s: How long a statement may take; what takes longer is tried again.
    """

    conninfo: str
    table: str
    schema: str = "public"
    password_env: str | None = None
    password_file: str | None = None
    key: tuple[str, ...] = ()
    key_from: Literal["value", "record"] = "value"
    columns: dict[str, str] = {}
    leave: tuple[str, ...] = ()
    unknown_fields: Literal["ignore", "refuse"] = "ignore"
    create: dict[str, str] | Literal["model"] = {}
    create_from: str = ""
    create_types: dict[str, str] = {}
    positions_table: str = "cachesvc_sync_positions"
    statement_timeout_s: float = 600.0
