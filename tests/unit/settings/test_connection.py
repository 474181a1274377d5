"""Settings of a connection: what fits together, what is refused, and what is never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from cachesvc.errors import InvalidConfig
from cachesvc.settings.connection import (
    KAFKA_ACKS,
    ConnectionConfig,
    connection_dict,
    make_paths_absolute,
    parse_connection,
    relative_paths,
)

BASE: dict[str, Any] = {"name": "a", "bootstrap_servers": ["kafka:9092"]}
SCRAM = {"mechanism": "SCRAM-SHA-256", "username": "u", "password_env": "P"}
PLAIN = {"mechanism": "PLAIN", "username": "u", "password_env": "P"}
KERBEROS = {"principal": "u@EXAMPLE.ORG", "keytab_file": "/k"}
PAIR = {"certificate_file": "/c", "key_file": "/k"}


def parsed(**settings: Any) -> ConnectionConfig:
    return parse_connection({**BASE, **settings}, "x.toml", "connections[0]")


def refused(**settings: Any) -> InvalidConfig:
    with pytest.raises(InvalidConfig) as caught:
        parsed(**settings)
    return caught.value


def test_defaults() -> None:
    found = parsed(tls={}, type="both", target={}, kerberos=KERBEROS)
    assert (found.store, found.agent, found.model_load_time) == ("default", "", "02:00")
    assert found.log_caching and found.is_source
    assert found.tls is not None and found.tls.check_hostname
    assert found.target is not None
    assert (found.target.acks, found.target.compression) == ("majority", "none")
    assert found.kerberos is not None and found.kerberos.service_name == "kafka"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tls": {**PAIR, "key_password_env": "P"}, "sasl": PLAIN},
        {"tls": {**PAIR, "key_password_file": "/p"}, "kerberos": KERBEROS},
        {"sasl": SCRAM},
        {"sasl": {**PLAIN, "insecure": True}},
        {"sasl": PLAIN, "bootstrap_servers": ["127.0.0.1:9092", "[::1]:1", "localhost:1"]},
        {"type": "target", "target": {"acks": "none"}, "log_caching": False},
        {"type": "both", "target": {"compression": "zstd"}},
        {"agent": "agent-1.b", "model_load_time": "23:59", "store": "default"},
    ],
)
def test_what_fits_together(settings: dict[str, Any]) -> None:
    found = parsed(**settings)
    assert parse_connection(connection_dict(found), "again") == found
    assert msgspec.json.decode(msgspec.json.encode(found), type=ConnectionConfig) == found


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"sasl": SCRAM, "kerberos": KERBEROS}, "kerberos"),
        ({"sasl": {**SCRAM, "password_file": "/p"}}, "sasl.password_file"),
        ({"sasl": {"mechanism": "PLAIN", "username": "u"}}, "sasl.password_env"),
        ({"sasl": {"mechanism": "PLAIN", "password_env": "P"}}, "sasl.username"),
        ({"sasl": {**SCRAM, "mechanism": "GSSAPI"}}, "sasl.mechanism"),
        ({"sasl": {**SCRAM, "username": ""}}, "sasl.username"),
        ({"sasl": {**SCRAM, "password_env": "not a name"}}, "sasl.password_env"),
        ({"sasl": {**SCRAM, "password": "secret"}}, "sasl.password"),
        ({"sasl": PLAIN}, "sasl.mechanism"),
        ({"sasl": PLAIN, "bootstrap_servers": ["127.0.0.1:1", "b:1"]}, "sasl.mechanism"),
        ({"sasl": {**PLAIN, "insecure": True}, "tls": {}}, "sasl.insecure"),
        ({"sasl": {**SCRAM, "insecure": True}}, "sasl.insecure"),
        ({"tls": {"certificate_file": "/c"}}, "tls.key_file"),
        ({"tls": {"key_file": "/k"}}, "tls.certificate_file"),
        ({"tls": {"key_password_env": "P"}}, "tls.key_password_env"),
        ({"tls": {"key_password_file": "/p"}}, "tls.key_password_file"),
        (
            {"tls": {**PAIR, "key_password_env": "P", "key_password_file": "/p"}},
            "tls.key_password_file",
        ),
        ({"tls": {"ca_file": ""}}, "tls.ca_file"),
        ({"tls": True}, "tls"),
        ({"tls": {"enabled": True}}, "tls.enabled"),
        ({"kerberos": {"principal": "u"}}, "kerberos.keytab_file"),
        ({"kerberos": {**KERBEROS, "service_name": "a b"}}, "kerberos.service_name"),
        ({"target": {}}, "target"),
        ({"type": "source", "target": {"acks": "all"}}, "target"),
        ({"type": "both", "target": {"acks": "-1"}}, "target.acks"),
        ({"type": "both", "target": {"compression": "br"}}, "target.compression"),
        ({"type": "sink"}, "type"),
        ({"store": "no name"}, "store"),
        ({"agent": "a b"}, "agent"),
        ({"model_load_time": "24:00"}, "model_load_time"),
        ({"snapshot_expression": "("}, "snapshot_expression"),
        ({"debezium_expression": "(?=a)"}, "debezium_expression"),
        ({"model_load_time": "2:00"}, "model_load_time"),
        ({"log_caching": "yes"}, "log_caching"),
        ({"name": "a/b"}, "name"),
        ({"bootstrap_servers": []}, "bootstrap_servers"),
        ({"bootstrap_servers": ["a:0"]}, "bootstrap_servers[0]"),
        ({"topic_expression": "a" * 257}, "topic_expression"),
        ({"topic_expression": "(?=a)"}, "topic_expression"),
    ],
)
def test_what_is_refused_names_the_field(settings: dict[str, Any], field: str) -> None:
    error = refused(**settings)
    assert error.metadata["field"] == f"connections[0].{field}"
    assert str(error).startswith(f"x.toml: connections[0].{field}: ")
    if field != "topic_expression" and not field.startswith("bootstrap_servers["):
        assert "; " in str(error), "it says what to do"


def test_a_secret_in_the_wrong_place_is_not_repeated() -> None:
    error = refused(sasl={**SCRAM, "password": "hunter2"})
    assert "hunter2" not in str(error)
    error = refused(sasl={**SCRAM, "password_env": "hunter 2!"})
    assert "hunter" not in str(error)
    assert "never the secret itself" in str(error)


def test_a_typing_error_is_answered_with_what_was_meant() -> None:
    assert "did you mean connections[0].tls.ca_file?" in str(refused(tls={"cafile": "/c"}))
    assert "did you mean connections[0].kerberos?" in str(refused(kerberos_={}))


def test_relative_paths_become_absolute() -> None:
    tree: dict[str, Any] = {
        **BASE,
        "tls": {"ca_file": "ca.pem", "certificate_file": "/c", "key_file": "../k"},
        "sasl": {**SCRAM, "password_env": None, "password_file": "p"},
        "kerberos": 7,
    }
    assert relative_paths(parse_connection({**tree, "kerberos": None}, "x")) == [
        "tls.ca_file",
        "tls.key_file",
        "sasl.password_file",
    ]
    make_paths_absolute(tree, Path("/etc/cachesvc"))
    assert tree["tls"] == {
        "ca_file": "/etc/cachesvc/ca.pem",
        "certificate_file": "/c",
        "key_file": "/etc/k",
    }
    assert tree["sasl"]["password_file"] == "/etc/cachesvc/p"
    assert relative_paths(parse_connection({**tree, "kerberos": None}, "x")) == []


def test_every_acks_is_one_of_kafkas() -> None:
    assert KAFKA_ACKS == {"none": 0, "leader": 1, "majority": -1, "all": -1}


_TEXT = st.text(max_size=8) | st.sampled_from(["PLAIN", "a:1", "/p", "all", "both", "P", "02:00"])
_VALUE = st.none() | st.booleans() | st.integers() | _TEXT | st.lists(_TEXT, max_size=2)
_TABLES = {
    "tls": ("ca_file", "certificate_file", "key_file", "key_password_env", "check_hostname", "x"),
    "sasl": ("mechanism", "username", "password_env", "password_file", "insecure", "password"),
    "kerberos": ("principal", "keytab_file", "krb5_file", "service_name"),
    "target": ("acks", "compression", "ignore_push_errors"),
}
_FIELDS = ("name", "type", "bootstrap_servers", "topic_expression", "store", "agent")
_TREES = st.fixed_dictionaries(
    {},
    optional={
        **{
            name: _VALUE | st.dictionaries(st.sampled_from(fields), _VALUE)
            for name, fields in _TABLES.items()
        },
        **dict.fromkeys(_FIELDS, _VALUE),
    },
)


@given(_TREES)
def test_any_input_is_taken_or_refused_with_a_field(tree: dict[str, Any]) -> None:
    refusal: InvalidConfig | None = None
    try:
        found = parse_connection({**BASE, **tree}, "x.toml", "connections[0]")
        assert parse_connection(connection_dict(found), "again") == found
    except InvalidConfig as error:
        refusal = error
    if refusal is not None:
        assert str(refusal).startswith("x.toml: connections[0]")
        assert refusal.metadata["field"].startswith("connections[0]")
