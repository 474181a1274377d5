"""PostgreSQL as a target that refuses: settings, access, and tables that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cachesvc.sync import InvalidTask, TargetFailed, TargetUnavailable
from tests.integration.postgres_target import (
    checked,
    numbers,
    settings_of,
    sink_of,
    values,
    write,
)
from tests.support.postgres import PASSWORD, PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]


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


def _locked(server: PostgresServer, table: str) -> dict[str, Any]:
    server.run(f"create table {table} (id int primary key)")
    server.run("create role reader login password 'secret' in role pg_read_all_data")
    dsn = server.dsn.replace("user=cachesvc", "user=reader")
    return {**settings_of(server, table, conninfo=dsn), "password_env": "READERS_PASSWORD"}


WRONG: list[tuple[str, Callable[[PostgresServer, str], dict[str, Any]], str, str]] = [
    ("no table", settings_of, "table", "TABLE_MISSING"),
    (
        "no key",
        lambda server, table: (
            server.run(f"create table {table} (id int)"),
            settings_of(server, table),
        )[1],
        "table",
        "KEY_MISSING",
    ),
    (
        "no index",
        lambda server, table: (
            server.run(f"create table {table} (id int primary key, b int)"),
            settings_of(server, table, key=["b"]),
        )[1],
        "table",
        "KEY_MISSING",
    ),
    (
        "no column",
        lambda server, table: (
            server.run(f"create table {table} (id int primary key)"),
            settings_of(server, table, columns={"id": "id", "colour": "colour"}),
        )[1],
        "table",
        "COLUMN_MISSING",
    ),
    ("no rights", _locked, "rights", "TARGET_FAILED"),
]


@pytest.mark.parametrize(("name", "make", "step", "reason"), WRONG, ids=[each[0] for each in WRONG])
def test_what_somebody_has_to_change_ends_the_task_and_a_check_says_it(
    server: PostgresServer,
    table: str,
    name: str,
    make: Callable[[PostgresServer, str], dict[str, Any]],
    step: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("READERS_PASSWORD", "secret")
    settings = make(server, table)
    with pytest.raises(TargetFailed) as caught:
        write(settings, values('{"id":1}'))
    assert caught.value.reason == reason
    *passed, failed = checked(settings)
    assert (failed.name, failed.passed) == (step, False)
    assert failed.hint and all(check.passed for check in passed)


def test_whoever_is_not_there_is_asked_again_and_a_missing_password_ends_it(
    server: PostgresServer, table: str
) -> None:
    away = settings_of(server, table, conninfo="host=127.0.0.1 port=9 user=a dbname=b")
    with pytest.raises(TargetUnavailable):
        write(away, values('{"id":1}'))
    without = {
        key: value for key, value in settings_of(server, table).items() if key != "password_env"
    }
    with pytest.raises(TargetFailed) as caught:
        write(without, values('{"id":1}'))
    assert caught.value.reason == "PASSWORD_MISSING"


def _other_word(server: PostgresServer, table: str) -> dict[str, Any]:
    return {**settings_of(server, table), "password_env": "WRONG_PASSWORD"}


def _other_user(server: PostgresServer, table: str) -> dict[str, Any]:
    dsn = server.dsn.replace("user=cachesvc", "user=nobody-of-that-name")
    return settings_of(server, table, conninfo=dsn)


def _other_database(server: PostgresServer, table: str) -> dict[str, Any]:
    dsn = server.dsn.replace("dbname=postgres", "dbname=nowhere")
    return settings_of(server, table, conninfo=dsn)


@pytest.mark.parametrize(
    ("make", "reason", "state"),
    [
        (_other_word, "ACCESS_REFUSED", "28P01"),
        (_other_user, "ACCESS_REFUSED", "28P01"),
        (_other_database, "TARGET_FAILED", "3D000"),
    ],
)
def test_whom_the_server_does_not_let_in_is_not_let_in_later(
    server: PostgresServer,
    table: str,
    make: Callable[[PostgresServer, str], dict[str, Any]],
    reason: str,
    state: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WRONG_PASSWORD", "wrong-but-secret")
    settings = make(server, table)
    with pytest.raises(TargetFailed, match="FATAL") as caught:
        write(settings, values('{"id":1}'))
    assert (caught.value.reason, caught.value.metadata) == (reason, {"sqlstate": state})
    (failed,) = checked(settings)
    assert not failed.passed and "FATAL" in failed.detail and failed.hint
    assert "wrong-but-secret" not in repr(failed) + str(caught.value)


def test_a_server_without_room_is_asked_again(
    server: PostgresServer, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.run("create role crowd login password 'crowded' connection limit 0")
    monkeypatch.setenv("CROWDS_PASSWORD", "crowded")
    dsn = server.dsn.replace("user=cachesvc", "user=crowd")
    crowded = {**settings_of(server, table, conninfo=dsn), "password_env": "CROWDS_PASSWORD"}
    with pytest.raises(TargetUnavailable, match="too many connections"):
        write(crowded, values('{"id":1}'))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"conninfo": "host=x password=geheim"}, "sink.conninfo"),
        ({"conninfo": "hots=x"}, "sink.conninfo"),
        ({"password_env": "NOT_THERE_AT_ALL"}, "sink.password_env"),
        ({"password_env": None, "password_file": "/not/there"}, "sink.password_file"),
        ({"create": {"id": "int"}}, "sink.key"),
        ({"columns": {"id": "id"}, "leave": ["a"]}, "sink.leave"),
        ({"create": {"id": "int"}, "key": ["a"]}, "sink.create"),
        ({"create": {"id": "int); drop table x; --"}, "key": ["id"]}, "is no type"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    server: PostgresServer, more: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidTask, match=words) as caught:
        sink_of(settings_of(server, "t", **more))
    assert "geheim" not in str(caught.value)
