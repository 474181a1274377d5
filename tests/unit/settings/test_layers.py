"""Settings from a file, the environment and flags."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cachesvc.errors import InvalidConfig
from cachesvc.model import NonJsonPolicy
from cachesvc.settings.config import Config
from cachesvc.settings.layers import Overrides, load_config

MINIMAL = """
[store]
path = "data"
[[connections]]
name = "orders"
bootstrap_servers = ["kafka:9092"]
"""
Write = Callable[[str], Path]
KAFKA = Overrides(kafka="kafka:9092", store="s")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "cachesvc.toml"
        path.write_text(textwrap.dedent(text))
        return path

    return write


def refused(
    path: Path | None, env: dict[str, str] | None = None, overrides: Overrides | None = None
) -> str:
    with pytest.raises(InvalidConfig) as caught:
        load_config(path, env or {}, overrides or Overrides())
    return str(caught.value)


def test_a_whole_file(write: Write, tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    path = write(
        """
        [store]
        path = "data"
        memory_bytes_max = 1_048_576
        segment_age_s_max = 2.5
        [server]
        listen = "[::]:7070"
        tls_certificate_file = "cert.pem"
        tls_key_file = "key.pem"
        [mining]
        readers = 2
        [retention]
        age_s = 3600
        [jobs.compact]
        segment_bytes_target = 1_048_576
        [jobs.sweep]
        grace_s = 0
        [log]
        level = "debug"
        format = "json"
        [[connections]]
        name = "orders"
        bootstrap_servers = ["kafka-1:9092", "[::1]:9092"]
        topic_expression = 'orders\\..*'
        non_json_policy = "stop"
        [[connections]]
        name = "billing"
        bootstrap_servers = ["other:9092"]
        """
    )
    config = load_config(path, {}, Overrides())
    assert config.store.path == str(tmp_path / "data"), "relative to the file"
    assert config.server.tls_key_file == str(tmp_path / "key.pem")
    assert config.store.segment_age_s_max == 2.5
    assert config.store.warm_bytes_max == Config().store.warm_bytes_max
    assert config.mining.readers == 2
    assert config.jobs.sweep.grace_s == 0
    assert config.connections[0].bootstrap_servers == ("kafka-1:9092", "[::1]:9092")
    assert config.connections[0].topic_expression == r"orders\..*"
    assert config.connections[0].non_json_policy is NonJsonPolicy.STOP
    assert config.connections[1].name == "billing"


def test_the_environment_wins_over_the_file_and_flags_over_both(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(MINIMAL)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    env = {
        "CACHESVC_STORE__PATH": "from-env",
        "CACHESVC_SERVER__LISTEN": "127.0.0.1:1",
        "CACHESVC_SERVER__INSECURE": "true",
        "CACHESVC_MINING__READERS": "3",
        "CACHESVC_JOBS__COMPACT__INTERVAL_S": "0.5",
        "CACHESVC_LOG__LEVEL": "error",
    }
    config = load_config(path, env, Overrides(listen="127.0.0.1:2", log_level="warning"))
    assert config.store.path == str(tmp_path / "here" / "from-env")
    assert config.server.listen == "127.0.0.1:2"
    assert config.server.insecure
    assert config.mining.readers == 3
    assert config.jobs.compact.interval_s == 0.5
    assert config.log.level == "warning"


def test_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = Overrides(kafka="a:1,[::1]:2", topics="orders.*", store="s", insecure=True)
    config = load_config(None, {}, overrides)
    (connection,) = config.connections
    assert connection.name == "default"
    assert connection.bootstrap_servers == ("a:1", "[::1]:2")
    assert connection.topic_expression == "orders.*"
    assert config.store.path == str(tmp_path / "s")
    assert config.server.insecure


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[store]\npth = 1", "store.pth: no such setting; did you mean store.path?"),
        ("[stor]\npath = 1", "stor: no such setting; did you mean store?"),
        ("store = 1", "store: expected `object`, got `int`; give a table"),
        (
            "[store]\nmemory_bytes_max = '64 MiB'",
            "store.memory_bytes_max: expected `int`, got `str`; leave it out for the default, 67",
        ),
        ("[store]\nmemory_bytes_max = 1", "store.memory_bytes_max: expected `int` >= 65536;"),
        ("[store]\nsegment_records_max = 1.5", "store.segment_records_max: expected `int`"),
        ("[store]\nsegment_age_s_max = inf", "store.segment_age_s_max: expected `float` <="),
        ("[store]\nsegment_age_s_max = nan", "store.segment_age_s_max: expected `float` >="),
        ("[server]\ninsecure = 1", "server.insecure: expected `bool`, got `int`"),
        ("[server]\nlisten = '7070'", "server.listen: '7070' is not HOST:PORT"),
        ("[server]\nlisten = ':7070'", "server.listen: ':7070' is not HOST:PORT"),
        ("[mining]\nreader_timeout_s = 1", "mining.reader_timeout_s: expected `float` >= 2"),
        ("[log]\nlevel = 'loud'", "log.level: invalid enum value 'loud'; give one of 'debug', "),
        ("[jobs.compct]\n", "jobs.compct: no such setting; did you mean jobs.compact"),
        ("[jobs.sweep]\ngrace = 1", "jobs.sweep.grace: no such setting; did you mean "),
        ("[store", "not TOML in UTF-8: "),
        ("[store]\npath = 's'\n[store]\n", "not TOML in UTF-8: "),
    ],
)
def test_wrong_settings(write: Write, text: str, message: str) -> None:
    path = write(text)
    assert refused(path).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("", "connections[0].name: is missing; give a name of 1 to 64"),
        ("name = 'a'", "connections[0].bootstrap_servers: is missing; give one or"),
        (
            "name = 'a b'\nbootstrap_servers = ['h:1']",
            "connections[0].name: is not as it",
        ),
        ("name = 'a'\nbootstrap_servers = []", "connections[0].bootstrap_servers: expected"),
        ("name = 'a'\nbootstrap_servers = ['h']", "connections[0].bootstrap_servers[0]: 'h' is"),
        (
            "name = 'a'\nbootstrap_servers = ['h:1']\ntopic_expression = 'a('",
            "connections[0].topic_expression: ",
        ),
        (
            "name = 'a'\nbootstrap_servers = ['h:1']\ntopics = 'a'",
            "connections[0].topics: no such setting; did you mean connections[0].topic_expression?",
        ),
        (
            "name = 'a'\nbootstrap_servers = ['h:1']\nnon_json_policy = 'ignore'",
            "connections[0].non_json_policy: invalid enum value 'ignore'",
        ),
        (
            "name = 'a'\nbootstrap_servers = ['h:1']\nsasl_password = 'hunter2'",
            "connections[0].sasl_password: no such setting; did you mean connections[0].sasl.",
        ),
    ],
)
def test_wrong_connections(write: Write, fields: str, message: str) -> None:
    path = write(f"[[connections]]\n{fields}")
    text = refused(path)
    assert text.startswith(f"{path}: {message}")
    assert "hunter2" not in text


def test_a_name_says_what_it_may_be(write: Write) -> None:
    text = refused(write("[[connections]]\nname = 'a/b'\nbootstrap_servers = ['h:1']"))
    assert text.endswith("; give a name of 1 to 64 of A-Z, a-z, 0-9, _ and -")


def test_names_are_unique(write: Write) -> None:
    connection = "[[connections]]\nname = 'a'\nbootstrap_servers = ['h:1']\n"
    text = refused(write(connection * 2))
    assert "connections[1].name: 'a' is the name of another connection" in text


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "absent.toml"
    assert refused(path) == f"{path}: cannot be read: No such file or directory; check --config"
    path.write_bytes(b"\xff")
    assert refused(path).startswith(f"{path}: not TOML in UTF-8: ")


def test_what_has_to_be_there() -> None:
    assert refused(None, {}, Overrides(kafka="h:1")).startswith(
        "flags and environment: store.path: is missing; "
    )


def test_files_for_tls_have_to_be_there(write: Write, tmp_path: Path) -> None:
    text = '[server]\ntls_certificate_file = "c.pem"\ntls_key_file = "k.pem"\n'
    path = write(MINIMAL + text)
    assert refused(path) == (
        f"{path}: server.tls_certificate_file: no file {tmp_path / 'c.pem'}; give a PEM file"
    )


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (
            {"CACHESVC_STORE__MEMORY_BYTE_MAX": "1"},
            "CACHESVC_STORE__MEMORY_BYTE_MAX: no such setting; did you mean CACHESVC_STORE__MEM",
        ),
        (
            {"CACHESVC_CONNECTIONS__A__NAME": "x"},
            "CACHESVC_CONNECTIONS__A__NAME: no such setting; connections are set in the file",
        ),
        (
            {"CACHESVC_MINING__READERS": "many"},
            "CACHESVC_MINING__READERS: mining.readers: expected `int`, got `str`",
        ),
        ({"CACHESVC_SERVER__LISTEN": ""}, "CACHESVC_SERVER__LISTEN: server.listen: '' is not"),
    ],
)
def test_a_wrong_variable_is_named(env: dict[str, str], message: str) -> None:
    assert refused(None, env, KAFKA).startswith(message)


def test_other_variables_are_not_settings() -> None:
    env = {"CACHESVC_ADDRESS": "x", "CACHESVC_PORT_7070_TCP_PORT": "1", "OTHER__X": "1"}
    assert load_config(None, env, KAFKA) == load_config(None, {}, KAFKA)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (msgspec.structs.replace(KAFKA, kafka="h"), "--kafka: connections[0].bootstrap_servers[0]"),
        (msgspec.structs.replace(KAFKA, kafka="h:1,"), "--kafka: connections[0].bootstrap_serv"),
        (msgspec.structs.replace(KAFKA, topics="("), "--topics: connections[0].topic_expression"),
        (Overrides(topics="a", store="s"), "--topics needs --kafka"),
        (msgspec.structs.replace(KAFKA, listen="x"), "--listen: server.listen: 'x' is not"),
        (msgspec.structs.replace(KAFKA, log_level="x"), "--log-level: log.level: invalid enum"),
        (msgspec.structs.replace(KAFKA, log_format="x"), "--log-format: log.format: invalid enum"),
        (
            msgspec.structs.replace(KAFKA, listen="0.0.0.0:1"),
            "flags and environment: server.listen: 0.0.0.0:1 is beyond loopback without TLS",
        ),
    ],
)
def test_a_wrong_flag_is_named(overrides: Overrides, message: str) -> None:
    assert refused(None, {}, overrides).startswith(message)


def test_a_connection_from_flags_contradicts_those_of_the_file(write: Write) -> None:
    assert "contradicts the file's [[connections]]" in refused(write(MINIMAL), {}, KAFKA)


def test_a_connection_from_flags_completes_a_file_without(write: Write) -> None:
    config = load_config(write("[log]\nlevel = 'debug'"), {}, KAFKA)
    assert config.connections[0].name == "default"
    assert config.log.level == "debug"
