"""SQL over the store's Parquet files, as any user of DuckDB would write it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

_ORDERS = """\
select value->>'$.after.country'                     as country,
       count(*)                                      as orders,
       sum((value->>'$.after.amount')::decimal(9,2)) as amount
from read_parquet('log/**/*.parquet')
where value->>'$.op' = 'c'
group by country order by amount desc limit 4"""

_ANY = """\
select regexp_extract(filename, '/([^/]+)/i[0-9]+/', 1) as topic,
       count(*)                  as records,
       min("timestamp")::varchar as first,
       max("timestamp")::varchar as last
from read_parquet('log/**/*.parquet', filename = true)
group by topic order by records desc limit 4"""


_COUNT = "select count(*) from read_parquet('log/**/*.parquet')"


@dataclass(frozen=True, slots=True)
class Answer:
    """A query and what it gave.

    Attributes:
        sql: What was asked.
        columns: Their names.
        rows: What came back.
        records: Records that all the files hold.
    """

    sql: str
    columns: Sequence[str]
    rows: Sequence[tuple[object, ...]]
    records: int


def ask(store: Path, *, orders: bool) -> Answer:
    """Asks the files of a store; blocks.

    Args:
        store: Its directory.
        orders: Whether the files hold the demo's own orders; else they are asked what any has.
    """
    sql = _ORDERS if orders else _ANY
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set file_search_path = ?", [str(store)])
        (total,) = connection.execute(_COUNT).fetchall()
        result = connection.execute(sql)
        columns = [name for name, *_ in result.description or ()]
        return Answer(sql, columns, result.fetchall(), total[0])
