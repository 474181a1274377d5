"""What is a query, and which logs it names: by DuckDB's parser, whatever the text looks like."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from cachesvc.errors import InvalidRequest
from cachesvc.sql.messages import NamedLog
from cachesvc.sql.statement import logs_named

ORDERS = NamedLog("orders", "", typed=False)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config={"enable_external_access": False}) as opened:
        yield opened


@pytest.mark.parametrize(
    "sql",
    [
        "select * from log('orders')",
        "FROM LOG('orders') AS o",
        "with x as (from log('orders')) select * from x",
        "select (select max(value) from log('orders'))",
        "select 1 union all select count(*) from log('orders');",
        "select * from range(3) r, lateral (from log('orders') limit 1)",
        "/* log('other') */ select 'log(''other'')', log(10) from log('orders') -- log('other')",
        "summarize from log('orders')",
        "describe from log('orders')",
    ],
)
def test_a_log_is_found_wherever_it_is(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert logs_named(connection, sql) == [ORDERS]


def test_each_log_is_named_once(connection: duckdb.DuckDBPyConnection) -> None:
    sql = (
        "from log('o''x') a, log('orders', connection := 'b') b, log_table('orders') c, "
        "log('o''x'), snapshot('orders', connection := 'b') d"
    )
    assert logs_named(connection, sql) == [
        NamedLog("o'x", "", typed=False),
        NamedLog("orders", "", typed=True),
        NamedLog("orders", "b", typed=False),
        NamedLog("orders", "b", typed=False, snapshot=True),
    ]


def test_a_query_may_name_none(connection: duckdb.DuckDBPyConnection) -> None:
    assert logs_named(connection, "select i from range(3) t(i), unnest([1, 2])") == []


@pytest.mark.parametrize(
    "sql",
    [
        "copy (select 1) to '/tmp/x.csv'",
        "attach '/tmp/x.db'",
        "install httpfs",
        "load httpfs",
        "set threads = 8",
        "reset threads",
        "pragma database_list",
        "create table t as select 1",
        "insert into t values (1)",
        "delete from t",
        "update t set a = 1",
        "drop view v",
        "export database '/tmp/x'",
        "call enable_logging()",
        "explain select 1",
        "prepare p as select 1",
        "with x as (delete from t returning *) select * from x",
        "with x as (insert into t values (1) returning *) select * from x",
        "from read_csv('/etc/passwd')",
        "from read_text('/etc/passwd')",
        "from read_parquet('s3://bucket/x')",
        "select * from range(1), (select * from glob('/etc/*'))",
        "from system.main.read_blob('/etc/passwd')",
        "from main.log('orders')",
        "from query('select 1')",
        "from query_table('x')",
        "from enable_logging()",
        "from arrow_scan(1::ubigint::pointer, 2, 3)",
        "from json_execute_serialized_sql('{}')",
    ],
)
def test_what_is_not_let_through(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        logs_named(connection, sql)
    assert caught.value.reason == "SQL_FORBIDDEN"


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("", "one SELECT statement: nothing else is let through, not 0"),
        ("select 1; select 2", "not 2"),
        ("select 'x", "unterminated"),
        ("selec 1", 'syntax error at or near "selec" at character 1'),
        ("from log()", "names no topic"),
        ("from log('')", "names no topic"),
        ("from log(topic)", "has to be known first"),
        ("from log('a' || 'b')", "has to be known first"),
        ("from log(7)", "has to be known first"),
        ("from log('a', 'b')", "is called otherwise"),
        ("from log('a', cluster := 'b')", "is called otherwise"),
    ],
)
def test_what_is_no_query(connection: duckdb.DuckDBPyConnection, sql: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        logs_named(connection, sql)
    assert caught.value.reason == "INVALID_SQL"
    assert message in str(caught.value)
