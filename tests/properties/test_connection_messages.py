"""A connection stays the same through messages, JSON and the catalogue."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from cachesvc.errors import InvalidConfig
from cachesvc.serving.connection_messages import connection_of, message_of
from cachesvc.settings.connection import ConnectionConfig, connection_dict, parse_connection
from cachesvc.v1 import connections_pb2 as pb

TEXT = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)
PATHS = st.text("abc/é ", min_size=1, max_size=9).map(lambda path: f"/{path}")
NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,20}\Z")


def table(required: dict[str, Any] | None = None, **optional: Any) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(required or {}, optional=optional)


SECRET = st.builds(lambda name: {"password_env": name}, NAMES) | st.builds(
    lambda path: {"password_file": path}, PATHS
)
PAIR = table({"certificate_file": PATHS, "key_file": PATHS}, key_password_env=NAMES, ca_file=PATHS)
TLS = table(ca_file=PATHS, check_hostname=st.booleans()) | PAIR
SASL = st.builds(
    lambda fields, secret: {**fields, **secret},
    table({"mechanism": st.sampled_from(["SCRAM-SHA-256", "SCRAM-SHA-512"]), "username": TEXT}),
    SECRET,
)
KERBEROS = table({"principal": TEXT, "keytab_file": PATHS}, krb5_file=PATHS, service_name=NAMES)
TARGET = table(
    acks=st.sampled_from(["none", "leader", "majority", "all"]),
    compression=st.sampled_from(["none", "gzip", "snappy", "lz4", "zstd"]),
    ignore_push_errors=st.booleans(),
)
SERVERS = st.lists(st.sampled_from(["a:1", "[::1]:9092", "kafka.example.org:65535"]), min_size=1)
LOGIN = table(sasl=SASL) | table(kerberos=KERBEROS)
WRITTEN = table({"type": st.sampled_from(["target", "both"])}, target=TARGET)
BASE = table(
    {"name": NAMES, "bootstrap_servers": SERVERS},
    topic_expression=st.sampled_from([".*", r"a\..*|b", "é+"]),
    non_json_policy=st.sampled_from(["reject", "stop"]),
    log_caching=st.booleans(),
    agent=NAMES,
    model_load_time=st.times().map(lambda time: time.strftime("%H:%M")),
    snapshot_expression=st.sampled_from(["", ".*", "é+"]),
    debezium_expression=st.sampled_from(["", "a|b"]),
    tls=TLS,
)
CONNECTIONS = st.builds(
    lambda *parts: {k: v for part in parts for k, v in part.items()}, BASE, LOGIN, WRITTEN
)


@given(CONNECTIONS)
def test_it_stays_the_same(tree: dict[str, Any]) -> None:
    config = parse_connection(tree, "test")
    message = message_of(config, reachable=True, error="x", in_file=True, created_ms=1)
    assert connection_of(message) == config
    assert connection_of(pb.Connection.FromString(message.SerializeToString())) == config
    as_json = msgspec.json.encode(connection_dict(config))
    assert parse_connection(msgspec.json.decode(as_json), "again") == config
    assert msgspec.json.decode(as_json, type=ConnectionConfig) == config


def test_what_is_left_out_gets_its_default() -> None:
    message = pb.Connection(name="a", bootstrap_servers=["b:1"], tls=pb.ConnectionTls())
    expected = {"name": "a", "bootstrap_servers": ["b:1"], "tls": {}}
    assert connection_of(message) == parse_connection(expected, "test")


@pytest.mark.parametrize(
    ("message", "field"),
    [
        pytest.param(pb.Connection(), "connection.name", id="nothing"),
        (pb.Connection(name="a"), "connection.bootstrap_servers"),
        (pb.Connection(name="a b", bootstrap_servers=["b:1"]), "connection.name"),
        (
            pb.Connection(
                name="a", bootstrap_servers=["b:1"], tls=pb.ConnectionTls(ca_file="ca.pem")
            ),
            "connection.tls.ca_file",
        ),
        (
            pb.Connection(name="a", bootstrap_servers=["b:1"], target=pb.ConnectionTarget()),
            "connection.target",
        ),
    ],
)
def test_what_is_wrong_is_named(message: pb.Connection, field: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        connection_of(message)
    assert caught.value.metadata["field"] == field


def test_a_policy_that_is_none() -> None:
    message = pb.Connection(name="a", bootstrap_servers=["b:1"])
    message.MergeFromString(b"\x20\x63")  # field 4, value 99
    with pytest.raises(InvalidConfig) as caught:
        connection_of(message)
    assert caught.value.metadata["field"] == "connection.non_json_policy"
