"""What ``[[stores]]`` may say, and what connections may name."""

from typing import Any

import pytest

from cachesvc.errors import InvalidConfig
from cachesvc.settings.connection import ConnectionConfig
from cachesvc.settings.stores import StoreEntry, check_stores, default_store, store_of

S3: dict[str, Any] = {"name": "cold", "kind": "s3", "bucket": "records"}
DIRECTORY: dict[str, Any] = {"name": "big", "kind": "directory", "path": "/big"}


def connection(**settings: Any) -> ConnectionConfig:
    return ConnectionConfig(name="main", bootstrap_servers=("kafka:9092",), **settings)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({**S3, "bucket": ""}, "stores[0].bucket"),
        ({**S3, "path": "/x"}, "stores[0].path"),
        ({**S3, "name": "local"}, "stores[0].name"),
        ({**S3, "name": "default"}, "stores[0].name"),
        ({**S3, "access_key_env": "KEY"}, "stores[0].secret_key_env"),
        ({**S3, "secret_key_file": "/key"}, "stores[0].access_key_env"),
        (
            {**S3, "session_token_env": "T", "session_token_file": "/t"},
            "stores[0].session_token_file",
        ),
        ({**S3, "endpoint": "http://s3.example.org:9000"}, "stores[0].endpoint"),
        ({**DIRECTORY, "path": ""}, "stores[0].path"),
        ({**DIRECTORY, "prefix": "x"}, "stores[0].prefix"),
    ],
)
def test_what_is_refused_names_the_field(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        check_stores([StoreEntry(**wrong)], [], "x.toml")
    assert caught.value.metadata["field"] == field


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "http://127.0.0.1:9000",
        "http://localhost",
        "http://[::1]:9000",
        "https://s3.example.org",
    ],
)
def test_plain_text_stays_on_loopback(endpoint: str) -> None:
    check_stores([StoreEntry(**S3, endpoint=endpoint)], [], "x.toml")


def test_plain_text_beyond_it_can_be_accepted() -> None:
    entry = StoreEntry(**S3, endpoint="http://minio.lan:9000", insecure=True)
    check_stores([entry], [], "x.toml")


@pytest.mark.parametrize(
    ("second", "field"),
    [({**DIRECTORY, "name": "cold"}, "stores[1].name"), (DIRECTORY, "stores[1].default")],
)
def test_names_are_unique_and_one_is_the_default(second: dict[str, Any], field: str) -> None:
    stores = [StoreEntry(**S3, default=True), StoreEntry(**second, default=True)]
    with pytest.raises(InvalidConfig) as caught:
        check_stores(stores, [], "x.toml")
    assert caught.value.metadata["field"] == field


def test_a_connection_names_a_store_that_is_there() -> None:
    stores = [StoreEntry(**S3), StoreEntry(**DIRECTORY)]
    for name in ("cold", "big", "local", "default"):
        check_stores(stores, [connection(store=name)], "x.toml")
    with pytest.raises(InvalidConfig, match="one of 'default', 'local', 'cold', 'big'"):
        check_stores(stores, [connection(store="warm")], "x.toml")


def test_the_default_takes_what_names_no_store() -> None:
    plain = [StoreEntry(**S3)]
    chosen = [StoreEntry(**S3, default=True), StoreEntry(**DIRECTORY)]
    assert default_store(plain) == store_of(connection(), plain) == "local"
    assert store_of(connection(), chosen) == "cold"
    assert store_of(connection(store="big"), chosen) == "big"
    assert store_of(connection(store="local"), chosen) == "local"
