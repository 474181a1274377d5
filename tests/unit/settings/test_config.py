from __future__ import annotations

import pickle

import msgspec
import pytest

from cachesvc.errors import InvalidConfig
from cachesvc.model import NonJsonPolicy
from cachesvc.policy.addresses import parse_address
from cachesvc.settings.config import (
    Config,
    LogConfig,
    MiningConfig,
    ServerConfig,
    StoreConfig,
    check_fields,
    check_listen,
    check_mining_listen,
    effective_config,
    is_secret,
)
from cachesvc.settings.connection import ConnectionConfig
from cachesvc.settings.jobs import BackupConfig, JobsConfig, zone_of

ORDERS = ConnectionConfig(name="orders", bootstrap_servers=("kafka:9092", "[::1]:9092"))


def test_it_travels_unchanged() -> None:
    config = Config(store=StoreConfig(path="/s"), connections=(ORDERS,))
    assert pickle.loads(pickle.dumps(config)) == config
    assert msgspec.json.decode(msgspec.json.encode(config), type=Config) == config
    assert hash(config) == hash(pickle.loads(pickle.dumps(config)))


def test_defaults() -> None:
    config = Config()
    assert config.store.memory_bytes_max == 64 * 1024**2
    assert config.store.chunk_cache_bytes_max == 32 * 1024**2
    assert config.store.warm_bytes_max == 8 * 1024**3
    assert config.server.listen == "127.0.0.1:7070"
    assert config.retention.age_s == 3 * 24 * 3600
    assert (config.retention.clock, config.retention.unread_age_s) == ("mined", None)
    assert config.jobs.compact.segment_bytes_target == 256 * 1024**2
    assert config.log == LogConfig(level="info", format="text")
    assert ORDERS.topic_expression == ".*"
    assert ORDERS.non_json_policy is NonJsonPolicy.REJECT


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        ("127.0.0.1:7070", ("127.0.0.1", 7070)),
        ("kafka-1.example.com:9092", ("kafka-1.example.com", 9092)),
        ("[::1]:9092", ("::1", 9092)),
        ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
        ("localhost:0", ("localhost", 0)),
        ("h:65535", ("h", 65535)),
    ],
)
def test_addresses(address: str, parsed: tuple[str, int]) -> None:
    assert parse_address(address) == parsed


@pytest.mark.parametrize(
    "address",
    [
        *("", ":", "h", "h:", ":7070", "h:x", "h:-1", "h:65536", "h:123456", "h: 1", " h:1"),
        *("::1:9092", "[::1]", "[::1]9092", "[]:1", "[h]:1", "a,b:1", "http://h:1", "u@h:1", "h:١"),
    ],
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(InvalidConfig, match=r"is not HOST:PORT|has no port"):
        parse_address(address)


def test_the_lowest_port_is_the_callers_choice() -> None:
    with pytest.raises(InvalidConfig, match="no port from 1 to 65535"):
        parse_address("h:0", port_min=1)


TLS = ServerConfig(listen="0.0.0.0:1", tls_certificate_file="c.pem", tls_key_file="k.pem")


@pytest.mark.parametrize(
    "server",
    [
        ServerConfig(),
        ServerConfig(listen="127.9.9.9:1"),
        ServerConfig(listen="[::1]:1"),
        ServerConfig(listen="localhost:1"),
        ServerConfig(listen="0.0.0.0:1", insecure=True),
        ServerConfig(listen="[::]:1", insecure=True),
        TLS,
        msgspec.structs.replace(TLS, listen="127.0.0.1:1"),
    ],
)
def test_where_it_may_listen(server: ServerConfig) -> None:
    check_listen(server)


@pytest.mark.parametrize(
    ("server", "field"),
    [
        (ServerConfig(listen="0.0.0.0:1"), "server.listen"),
        (ServerConfig(listen="[::]:1"), "server.listen"),
        (ServerConfig(listen="10.0.0.1:1"), "server.listen"),
        # Not for its name, whatever it resolves to today.
        (ServerConfig(listen="localhost.example.com:1"), "server.listen"),
        (ServerConfig(tls_certificate_file="c.pem"), "server.tls_key_file"),
        (ServerConfig(tls_key_file="k.pem"), "server.tls_certificate_file"),
        (msgspec.structs.replace(TLS, insecure=True), "server.insecure"),
    ],
)
def test_where_it_may_not_listen(server: ServerConfig, field: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        check_listen(server, "x.toml")
    assert str(caught.value).startswith(f"x.toml: {field}: ")
    assert caught.value.metadata == {"field": field}


@pytest.mark.parametrize(
    ("connections", "field"),
    [
        ((ORDERS, ORDERS), "connections[1].name"),
        (
            (msgspec.structs.replace(ORDERS, bootstrap_servers=("a:1", "b")),),
            "connections[0].bootstrap_servers[1]",
        ),
        (
            (msgspec.structs.replace(ORDERS, bootstrap_servers=("a:0",)),),
            "connections[0].bootstrap_servers[0]",
        ),
        (
            (msgspec.structs.replace(ORDERS, topic_expression="(?=a)"),),
            "connections[0].topic_expression",
        ),
        (
            (msgspec.structs.replace(ORDERS, topic_expression="a" * 257),),
            "connections[0].topic_expression",
        ),
        (
            (msgspec.structs.replace(ORDERS, topic_expression=""),),
            "connections[0].topic_expression",
        ),
    ],
)
def test_wrong_connections(connections: tuple[ConnectionConfig, ...], field: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        check_fields(Config(connections=connections), "x.toml")
    assert str(caught.value).startswith(f"x.toml: {field}: ")
    assert caught.value.reason == "INVALID_CONFIG"


def test_good_connections() -> None:
    other = msgspec.structs.replace(ORDERS, name="other", topic_expression="a" * 256)
    check_fields(Config(connections=(ORDERS, other)), "x.toml")


def test_the_effective_config_is_json() -> None:
    effective = effective_config(Config(store=StoreConfig(path="/s"), connections=(ORDERS,)))
    assert effective["store"]["path"] == "/s"
    assert effective["connections"] == [
        {
            "name": "orders",
            "type": "source",
            "bootstrap_servers": ["kafka:9092", "[::1]:9092"],
            "topic_expression": ".*",
            "non_json_policy": "reject",
            "log_caching": True,
            "store": "default",
            "agent": "",
            "model_load_time": "02:00",
            "snapshot_expression": "",
            "debezium_expression": "",
            "tls": None,
            "sasl": None,
            "kerberos": None,
            "target": None,
        }
    ]
    assert msgspec.json.decode(msgspec.json.encode(effective)) == effective


def test_secrets_are_known_by_the_last_word_of_their_name() -> None:
    secret = [name for name in ("password", "sasl_password", "api_token") if is_secret(name)]
    assert len(secret) == 3
    assert not any(map(is_secret, ("password_file", "name", "tls_key_file", "listen")))


FAR = MiningConfig(listen="10.0.0.5:7071", join_token_env="TOKEN")
TLS = ServerConfig(tls_certificate_file="c.pem", tls_key_file="k.pem")


@pytest.mark.parametrize(
    ("mining", "server"),
    [
        (MiningConfig(), ServerConfig()),
        (MiningConfig(listen="127.0.0.1:0"), ServerConfig()),
        (MiningConfig(listen="[::1]:7071", join_token_file="t"), ServerConfig()),
        (FAR, TLS),
    ],
)
def test_where_readers_may_join(mining: MiningConfig, server: ServerConfig) -> None:
    check_mining_listen(Config(mining=mining, server=server))


@pytest.mark.parametrize(
    ("mining", "server", "field"),
    [
        (FAR, ServerConfig(), "mining.listen"),
        (FAR, ServerConfig(insecure=True), "mining.listen"),
        (MiningConfig(listen="0.0.0.0:7071"), TLS, "mining.listen"),
        (MiningConfig(join_token_env="TOKEN"), TLS, "mining.listen"),
        (
            MiningConfig(listen="127.0.0.1:0", join_token_env="A", join_token_file="b"),
            TLS,
            "mining.join_token_file",
        ),
    ],
)
def test_where_readers_may_not_join(mining: MiningConfig, server: ServerConfig, field: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        check_mining_listen(Config(mining=mining, server=server))
    assert caught.value.metadata["field"] == field


def test_time_zones() -> None:
    check_fields(Config(jobs=JobsConfig(time_zone="Europe/Berlin")), "f")
    assert zone_of(JobsConfig()) is None
    assert str(zone_of(JobsConfig(time_zone="Pacific/Apia"))) == "Pacific/Apia"


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "Europe", "../etc/passwd", "/etc/localtime"])
def test_what_is_no_time_zone(name: str) -> None:
    with pytest.raises(InvalidConfig, match="IANA name") as caught:
        check_fields(Config(jobs=JobsConfig(time_zone=name)), "f")
    assert caught.value.metadata["field"] == "jobs.time_zone"


def test_a_daily_backup_needs_a_directory() -> None:
    backup = BackupConfig(directory="/b", daily_at="03:00")
    check_fields(Config(jobs=JobsConfig(backup=backup)), "f")
    without = JobsConfig(backup=BackupConfig(daily_at="03:00"))
    with pytest.raises(InvalidConfig, match="say where backups are to be"):
        check_fields(Config(jobs=without), "f")
