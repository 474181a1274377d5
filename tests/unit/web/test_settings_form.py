"""Settings as forms: what they show, what they mean, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from cachesvc.serving.connection_messages import connection_of, message_of
from cachesvc.serving.store_messages import entry_of, store_message
from cachesvc.settings.connection import parse_connection, setting_paths_of_connection
from cachesvc.settings.stores import parse_store, setting_paths_of_store
from cachesvc.v1.connections_pb2 import Connection, NonJsonPolicy
from cachesvc.v1.stores_pb2 import Store
from cachesvc.web.pages import connection_form, store_form
from cachesvc.web.pages.settings_shown import settings_of
from cachesvc.web.settings_form import FormWrong, Group, SettingsForm, shown_size

CONNECTION: dict[str, Any] = {
    "name": "main",
    "bootstrap_servers": ["kafka-1:9092", "kafka-2:9092"],
    "type": "both",
    "topic_expression": "orders",
    "non_json_policy": "stop",
    "log_caching": False,
    "store": "local",
    "agent": "r1",
    "model_load_time": "03:10",
    "snapshot_expression": "a.*",
    "debezium_expression": "b.*",
    "tls": {
        "ca_file": "/ca.pem",
        "certificate_file": "/c.pem",
        "key_file": "/k.pem",
        "key_password_env": "KEY",
        "check_hostname": False,
    },
    "sasl": {"mechanism": "PLAIN", "username": "me", "password_file": "/secret"},
    "target": {"acks": "all", "compression": "zstd", "ignore_push_errors": True},
}
STORES: list[dict[str, Any]] = [
    {"name": "cold", "kind": "directory", "path": "/mnt/cold", "bytes_max": 5 << 30},
    {
        "name": "far",
        "kind": "s3",
        "default": True,
        "bucket": "logs",
        "prefix": "a/b",
        "endpoint": "https://s3.example",
        "region": "eu",
        "access_key_env": "A",
        "secret_key_file": "/s",
        "request_timeout_s": 2.5,
        "retry_s": 0.0,
        "cache_bytes_max": 1_000_001,
    },
]


def paths(groups: Sequence[Group]) -> set[str]:
    return {setting.path for group in groups for setting in group.settings}


def sent(form: SettingsForm) -> dict[str, str]:
    """What a browser sends of a form as it is shown."""
    return {path: value for path, value in form.values.items() if value}


def test_forms_have_every_setting() -> None:
    tables = {group.table for group in connection_form.GROUPS if group.table}
    assert paths(connection_form.GROUPS) == set(setting_paths_of_connection("")) - tables
    assert paths(store_form.GROUPS) == set(setting_paths_of_store(""))


def test_a_connection_that_is_sent_as_it_is_shown_stays_as_it_is() -> None:
    config = parse_connection(CONNECTION, "test")
    shown = SettingsForm.told(connection_form.GROUPS, message_of(config))
    message = Connection()
    SettingsForm.sent(connection_form.GROUPS, sent(shown)).fill(message)
    assert connection_of(message) == config
    assert shown.values["bootstrap_servers"] == "kafka-1:9092\nkafka-2:9092"
    assert (shown.values["tls"], shown.values["kerberos"]) == ("yes", "")


def test_kerberos_too() -> None:
    kerberos = {"principal": "c@E", "keytab_file": "/k", "krb5_file": "/5", "service_name": "x"}
    tree = {"name": "main", "bootstrap_servers": ["k:1"], "kerberos": kerberos}
    config = parse_connection(tree, "test")
    shown = SettingsForm.told(connection_form.GROUPS, message_of(config))
    message = message_of(parse_connection(CONNECTION | {"name": "other"}, "test"))
    SettingsForm.sent(connection_form.GROUPS, sent(shown)).fill(message)
    assert connection_of(message) == config, "nothing of what it had is left"


@pytest.mark.parametrize("tree", STORES)
def test_a_store_that_is_sent_as_it_is_shown_stays_as_it_is(tree: dict[str, Any]) -> None:
    entry = parse_store(tree, "test")
    shown = SettingsForm.told(store_form.GROUPS, store_message(entry))
    message = Store(path="/old", bucket="old", retry_s=1)
    SettingsForm.sent(store_form.GROUPS, sent(shown)).fill(message)
    assert entry_of(message) == entry


def test_new_ones_begin_with_the_defaults() -> None:
    fields = sent(SettingsForm.initial(connection_form.GROUPS))
    fields |= {"name": "main", "bootstrap_servers": "a:1, b:2"}
    message = Connection()
    SettingsForm.sent(connection_form.GROUPS, fields).fill(message)
    least = parse_connection({"name": "main", "bootstrap_servers": ["a:1", "b:2"]}, "test")
    assert connection_of(message) == least
    assert message.non_json_policy == NonJsonPolicy.REJECT
    fields = sent(SettingsForm.initial(store_form.GROUPS)) | {"name": "s", "path": "/s"}
    made = Store()
    SettingsForm.sent(store_form.GROUPS, fields).fill(made)
    assert entry_of(made) == parse_store({"name": "s", "kind": "directory", "path": "/s"}, "test")
    fields |= {"kind": "s3", "bucket": "logs"}
    SettingsForm.sent(store_form.GROUPS, fields).fill(made)
    assert entry_of(made) == parse_store({"name": "s", "kind": "s3", "bucket": "logs"}, "test")


@pytest.mark.parametrize(
    ("path", "text", "wrong"),
    [
        ("retry_s", "soon", "'soon' is no number"),
        ("bytes_max", "much", "'much' is no size; give bytes, or one such as 8 GiB"),
        ("bytes_max", "8 GB", "'8 GB' is no size; give bytes, or one such as 8 GiB"),
    ],
)
def test_what_is_no_number(path: str, text: str, wrong: str) -> None:
    form = SettingsForm.sent(store_form.GROUPS, {"kind": "s3", path: text})
    with pytest.raises(FormWrong) as error:
        form.fill(Store())
    assert form.refused(error.value.path, str(error.value)).errors == {path: wrong}


def test_a_word_that_nobody_offered() -> None:
    form = SettingsForm.sent(connection_form.GROUPS, {"non_json_policy": "pray"})
    with pytest.raises(FormWrong, match="none of the choices"):
        form.fill(Connection())


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("8 GiB", 8 << 30),
        ("1.5gib", 3 << 29),
        ("700", 700),
        ("9" * 18 + "TiB", 2**63 - 1),
    ],
)
def test_sizes(text: str, count: int) -> None:
    message = Store()
    SettingsForm.sent(store_form.GROUPS, {"bytes_max": text}).fill(message)
    assert message.bytes_max == count


def test_sizes_are_shown_exactly() -> None:
    shown = [shown_size(count) for count in (0, 1, 1 << 10, (1 << 20) + 1, 3 << 40)]
    assert shown == ["0", "1", "1 KiB", "1048577", "3 TiB"]


def test_what_a_kind_of_store_has_no_use_for() -> None:
    assert store_form.others_than("s3") == {"path"}
    assert {"bucket", "cache_bytes_max"} < store_form.others_than("directory")
    shown = dict(settings_of(store_message(parse_store(STORES[0], "test"))))
    assert shown["bytes_max"] == "5 GiB"


def test_errors_stand_where_they_belong() -> None:
    form = SettingsForm.initial(connection_form.GROUPS)
    said = "request: bootstrap_servers[1]: is no address; give HOST:PORT"
    found = form.refused("bootstrap_servers[1]", said)
    assert found.errors == {"bootstrap_servers": "is no address; give HOST:PORT"}
    assert form.refused("target", "request: target: is not for a source").errors.keys() == {
        "target"
    }
    for field in ("", "unheard_of"):
        found = form.refused(field, "the service is busy")
        assert (found.wrong, found.errors) == ("the service is busy", {})
