"""PostgreSQL as a target: a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from cachesvc.client import Positions
from cachesvc.sync import (
    BatchRefused,
    Delivery,
    SharedSink,
    TargetUnavailable,
)
from cachesvc.sync.sinks.postgres import POSTGRES
from cachesvc.sync.testing import Found, SinkSuite, SinkTarget, changes, delete, delivery, put
from tests.faults.stage import eventually
from tests.integration.postgres_target import (
    PLAIN,
    numbers,
    settings_of,
    sink_of,
    values,
    write,
)
from tests.support.postgres import PASSWORD, PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]
WITH_JSON = {**PLAIN, "extra": "jsonb"}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer({"fsync": "off"}) as server:
        yield server


@pytest.fixture
def table(server: PostgresServer) -> str:
    return f"rows_{next(numbers)}"


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_PASSWORD", PASSWORD)


class TestConformance(SinkSuite):
    """Rows as CSV, and rows as JSON, which a column of type jsonb makes them."""

    @pytest.fixture(params=[PLAIN, WITH_JSON], ids=["csv", "json"])
    def target(
        self, server: PostgresServer, table: str, request: pytest.FixtureRequest
    ) -> SinkTarget:
        settings = settings_of(server, table, create=request.param, key=["id"])

        def read() -> list[Found]:
            if server.run(f"select to_regclass('{table}')") == [(None,)]:
                return []
            rows = server.run(f"select id, partition, number, note from {table}")
            return [Found(row[0], dict(zip(PLAIN, row, strict=True))) for row in rows]

        refused = {"id": 6, "partition": 0, "number": "no number", "note": ""}
        return SinkTarget(POSTGRES, settings, read, "rows", refused)


TYPES = {
    "i2": ("smallint", "-7", -7),
    "i8": ("bigint", "9223372036854775807", 2**63 - 1),
    "f8": ("double precision", "0.1", 0.1),
    "n": ("numeric", "12345678901234567890.12345678901234567890", None),
    "money": ("numeric(10,2)", "12.345", None),
    "b": ("boolean", "true", True),
    "t": ("text", '"a\\"b\\\\c\\n\\u00e4\\t, null"', 'a"b\\c\nä\t, null'),
    "nothing": ("text", "null", None),
    "word": ("text", '"null"', "null"),
    "empty": ("text", '""', ""),
    "v": ("varchar(5)", '"\\\\N"', "\\N"),
    "u": ("uuid", '"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"', None),
    "d": ("date", '"2026-02-28"', None),
    "ts": ("timestamptz", '"2026-02-28T12:00:00.123456+02:00"', None),
    "by": ("bytea", '"\\\\x00ff"', b"\x00\xff"),
    "ip": ("inet", '"10.1.2.3"', None),
}


@pytest.mark.parametrize("way", ["csv", "json"])
def test_both_ways_read_every_type_alike(server: PostgresServer, table: str, way: str) -> None:
    columns = {"id": "int", **{name: type_ for name, (type_, _, _) in TYPES.items()}}
    if way == "json":
        columns["by_json"] = "jsonb"
    fields = ",".join(f' "{name}" : {json}' for name, (_, json, _) in TYPES.items())
    settings = settings_of(server, table, create=columns, key=["id"])
    write(settings, values(f'{{"id":1,{fields}\n}}'))
    (row,) = server.run(f"select {', '.join(TYPES)} from {table}")
    found = dict(zip(TYPES, row, strict=True))
    for name, (_, _, wanted) in TYPES.items():
        if wanted is not None or name == "nothing":
            assert found[name] == wanted, name
    assert str(found["n"]) == "12345678901234567890.12345678901234567890"
    assert str(found["money"]) == "12.35"
    assert str(found["u"]) == "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    assert found["ts"].timestamp() == 1772272800.123456


def test_nested_values_fill_json_and_array_columns(server: PostgresServer, table: str) -> None:
    server.run(f"create table {table} (id int primary key, doc jsonb, tags text[], total int)")
    text = '{"id":1,"doc":{"a":[1,"x"]},"tags":["p","q\\""],"total":"12"}'
    write(settings_of(server, table), values(text, '{"id":2,"doc":null}'))
    assert server.run(f"select * from {table} order by id") == [
        (1, {"a": [1, "x"]}, ["p", 'q"'], 12),
        (2, None, None, None),
    ]


def test_columns_get_the_fields_they_are_mapped_to(server: PostgresServer, table: str) -> None:
    server.run(
        f'create table {table} (key int primary key, "the note" text, kept int default 5, '
        "doubled int generated always as (key * 2) stored)"
    )
    settings = settings_of(server, table, columns={"key": "id", "the note": "note"})
    write(settings, values('{"id":1,"note":"x","other":9}', '{"note":"y","id":3}', None))
    assert server.run(f"select * from {table} order by key") == [(1, "x", 5, 2), (3, "y", 5, 6)]


@pytest.mark.parametrize("extra", ["", ", doc jsonb"])
def test_unknown_fields_are_refused_on_wish(server: PostgresServer, table: str, extra: str) -> None:
    server.run(f"create table {table} (id int primary key, note text{extra})")
    settings = settings_of(server, table, unknown_fields="refuse")
    with pytest.raises(BatchRefused) as caught:
        write(settings, values('{"id":1,"note":"x"}', '{"id":2,"colour":"red"}'))
    assert (caught.value.reason, "colour" in str(caught.value)) == ("UNKNOWN_FIELD", True)
    assert server.run(f"select count(*) from {table}") == [(0,)]


@pytest.mark.parametrize("extra", ["", ", doc jsonb"])
@pytest.mark.parametrize(
    ("type_", "key"),
    [("int", b"7"), ("text", b"a-7"), ("text", b'"a-7"'), ("text", b'{"id":"a-7"}')],
)
def test_a_tombstone_is_found_by_its_key(
    server: PostgresServer, table: str, type_: str, key: bytes, extra: str
) -> None:
    server.run(f"create table {table} (id {type_} primary key, note text{extra})")
    server.run(f"insert into {table} values ('{'7' if type_ == 'int' else 'a-7'}', 'x')")
    write(settings_of(server, table), values(None, key=key))
    assert server.run(f"select * from {table}") == []


@pytest.mark.parametrize("extra", ["", ", doc jsonb"])
def test_key_columns_from_the_records_key(server: PostgresServer, table: str, extra: str) -> None:
    """Where the value has a field of the key as well, the key's counts."""
    server.run(f"create table {table} (a int, b text, note text{extra}, primary key (a, b))")
    settings = settings_of(server, table, key_from="record")
    write(settings, values('{"note":"x"}', ' {"a":9,"note":"y"} ', key=b'{"a":1,"b":"k"}'))
    write(settings, values("{ }", key=b'{"b":"k","a":2}'))
    found = f"select a, b, note from {table} order by a"
    assert server.run(found) == [(1, "k", "y"), (2, "k", None)]
    write(settings, values(None, key=b'{"b":"k","a":1}'))
    assert server.run(found) == [(2, "k", None)]


@pytest.mark.parametrize(
    ("key", "reason"),
    [(b"\xff", "KEY_NOT_TEXT"), (b"7", "KEY_NOT_OBJECT")],
)
def test_a_key_that_is_of_no_use_is_refused(
    server: PostgresServer, table: str, key: bytes, reason: str
) -> None:
    server.run(f"create table {table} (a int, b text, primary key (a, b))")
    with pytest.raises(BatchRefused) as caught:
        write(settings_of(server, table), values(None, key=key))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('{"id":1}', "NOT_NULL_VIOLATION"),
        ('{"id":1,"note":"x","amount":-1}', "CHECK_VIOLATION"),
        ('{"id":1,"note":"secret text","amount":99999999999}', "NUMERIC_VALUE_OUT_OF_RANGE"),
        ('{"id":1,"note":"\\u0000"}', "CHARACTER_NOT_IN_REPERTOIRE"),
        ('{"note":"x"}', "NOT_NULL_VIOLATION"),
    ],
)
def test_a_row_that_breaks_a_rule_is_refused_without_its_content(
    server: PostgresServer, table: str, value: str, reason: str
) -> None:
    server.run(
        f"create table {table} (id int primary key, note text not null, "
        "amount int check (amount > 0))"
    )
    with pytest.raises(BatchRefused) as caught:
        write(settings_of(server, table), values('{"id":5,"note":"ok"}', value))
    assert caught.value.reason == reason
    assert "secret" not in str(caught.value)
    assert server.run(f"select count(*) from {table}") == [(0,)]


def test_what_was_there_is_updated_in_an_initial_load(server: PostgresServer, table: str) -> None:
    """The copy straight into the table meets rows, then none, then some again."""
    server.run(f"create table {table} (id int primary key, number int, note text)")
    server.run(f"insert into {table} values (3, -1, 'before')")

    async def story() -> None:
        sink = sink_of(settings_of(server, table))
        await sink.open()
        for begin in range(0, 50, 10):
            await sink.write(delivery(changes([put(begin + n, of=n * 2) for n in range(10)])))
        await sink.write(delivery(changes([put(n) for n in range(50, 90)])))
        await sink.close()

    asyncio.run(story())
    found = server.run(f"select id, number from {table} order by id")
    updated = {n * 2: 40 + n for n in range(10)}
    assert found == sorted({3: -1, **updated, **{n: n for n in range(50, 90)}}.items())


@pytest.mark.parametrize("extra", ["", ", doc json"])
def test_a_row_that_is_there_as_it_comes_is_not_written_again(
    server: PostgresServer, table: str, extra: str
) -> None:
    """What differs by a digit after the point or in case alone is."""
    server.run("create extension if not exists citext")
    server.run(f"create table {table} (id int primary key, n numeric, note citext{extra})")
    rows = ['{"id":1,"n":1.0,"note":"a"}', '{"id":2,"n":1.0,"note":"b"}', '{"id":3,"note":"c"}']
    write(settings_of(server, table), values(*rows))
    before = dict(server.run(f"select id, ctid::text from {table}"))
    again = ['{"id":1,"n":1.0,"note":"a"}', '{"id":2,"n":1.00,"note":"b"}', '{"id":3,"note":"C"}']
    task = settings_of(server, table, positions_table=f"{table}_again")
    write(task, values(*again))
    found = server.run(f"select id, n::text, note::text, ctid::text from {table} order by id")
    assert [row[:3] for row in found] == [(1, "1.0", "a"), (2, "1.00", "b"), (3, None, "C")]
    assert [before[row[0]] == row[3] for row in found] == [True, False, False]


def test_a_second_process_of_a_task_cannot_write_into_what_the_first_wrote(
    server: PostgresServer, table: str
) -> None:
    server.run(f"create table {table} (id int primary key, number int)")
    settings = settings_of(server, table)

    async def story() -> None:
        asleep, awake = sink_of(settings), sink_of(settings)
        await asleep.open()
        await awake.open()
        await awake.write(delivery(changes([put(0), put(1, of=0)])))
        with pytest.raises(TargetUnavailable) as caught:
            await asleep.write(delivery(changes([put(0)])))
        assert caught.value.reason == "POSITIONS_MOVED"
        kept = await asleep.open()
        assert kept is not None and kept["conformance", 0].offset == 2
        await asleep.write(delivery(changes([put(2, of=0)])))
        await asleep.close()
        await awake.close()

    asyncio.run(story())
    assert server.run(f"select * from {table}") == [(0, 2)]


def test_tasks_that_share_write_their_partitions_side_by_side(
    server: PostgresServer, table: str
) -> None:
    """One in the middle of a transaction holds nobody up; of one partition one comes first."""
    server.run(f"create table {table} (id int primary key, number int, note text)")
    settings = settings_of(server, table)

    async def story() -> None:
        one, other = (sink_of(settings, shared=True) for _ in range(2))
        await asyncio.gather(one.open(), other.open())
        with server.connect() as held:
            # A row that the first one is to write is somebody else's for now.
            held.execute("begin")
            held.execute(f"insert into {table} values (0, -1, '')")
            waiting = asyncio.create_task(one.write(delivery(changes([put(0)]))))
            await _waiting_for_locks(server, 1)
            await other.write(delivery(changes([put(0, 1)], 1)))
            again = asyncio.create_task(other.write(delivery(changes([put(0), put(1)]))))
            await _waiting_for_locks(server, 2)
            held.execute("rollback")
        await waiting
        with pytest.raises(TargetUnavailable) as caught:
            await again
        assert caught.value.reason == "POSITIONS_MOVED"
        assert isinstance(other, SharedSink)
        kept = await other.read_positions()
        assert {key: at.offset for key, at in kept.items()} == {
            ("conformance", 0): 1,
            ("conformance", 1): 1,
        }
        await other.write(delivery(changes([put(1)])))
        with pytest.raises(TargetUnavailable):
            await one.write(delivery(changes([put(1, note="late")]), changes([put(1, 1)], 1)))
        await asyncio.gather(one.close(), other.close())

    asyncio.run(story())
    found = server.run(f"select number, note from {table} order by id")
    assert found == [(0, ""), (1, ""), (0, "")]


async def _waiting_for_locks(server: PostgresServer, count: int) -> None:
    asked = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
    await asyncio.to_thread(eventually, lambda: server.run(asked) == [(count,)], "locks")


def test_changes_of_one_key_in_a_large_delivery_follow_one_another(
    server: PostgresServer, table: str
) -> None:
    settings = settings_of(server, table, create=PLAIN, key=["id"])
    server.run(
        f"create table {table} (id bigint primary key, partition int, number int, note text)"
    )
    server.run(f"insert into {table} select n, 0, -1, '' from generate_series(0, 400) n")
    # Some waits are merged at once, others end where a key comes again.
    first = [put(n, of=n) for n in range(6_000)]
    again = [
        delete(n, of=n - 6_000) if n % 3 else put(n, of=n - 6_000) for n in range(6_000, 9_000)
    ]
    new = [put(n) for n in range(9_000, 30_000)]
    write(settings, changes([*first, *again, *new]))
    rows = dict(server.run(f"select id, number from {table}"))
    wanted = {n: n for n in range(3_000, 6_000)} | {n: n for n in range(9_000, 30_000)}
    assert rows == wanted | {n - 6_000: n for n in range(6_000, 9_000, 3)}


def test_positions_never_move_back(server: PostgresServer, table: str) -> None:
    settings = settings_of(server, table, create=PLAIN, key=["id"])
    write(settings, changes([put(8)]))
    kept = write(settings, changes([put(2)]))
    assert kept is not None and kept["conformance", 0].offset == 9
    empty = Delivery([changes([put(3)])], Positions())

    async def story() -> None:
        sink = sink_of(settings)
        await sink.open()
        await sink.write(empty)
        await sink.close()

    asyncio.run(story())
    assert server.run(f"select count(*) from {table}") == [(3,)]
