from __future__ import annotations

import logging
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachesvc.errors import CacheError, PreconditionFailed, StoreLocked
from cachesvc.mining.reader import ReaderSettings
from cachesvc.settings.config import Config
from tests.unit.cli.conftest import Run


class App(types.ModuleType):
    """Stands for `cachesvc.app.service` and `.reader`: notes what it is asked to run."""

    def __init__(self) -> None:
        super().__init__("cachesvc.app")
        self.configs: list[Config] = []
        self.readers: list[ReaderSettings] = []
        self.status = 0
        self.error: CacheError | None = None

    def run_service(self, config: Config) -> int:
        self.configs.append(config)
        if self.error is not None:
            raise self.error
        return self.status

    def run_reader(self, settings: ReaderSettings) -> int:
        self.readers.append(settings)
        return self.status


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, logging_put_back: None) -> Iterator[App]:
    fake = App()
    commands = ("cachesvc.cli.serve", "cachesvc.cli.reader")
    for name in ("cachesvc.app.service", "cachesvc.app.reader"):
        monkeypatch.setitem(sys.modules, name, fake)
    for name in commands:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield fake
    for name in commands:
        sys.modules.pop(name, None)


def test_serve_without_a_file(run: Run, app: App, tmp_path: Path) -> None:
    store = tmp_path / "store"
    result = run("serve", "--kafka", "kafka:9092", "--topics", "orders.*", "--store", str(store))
    assert result.exit_code == 0, result.output
    (config,) = app.configs
    assert config.store.path == str(store)
    assert config.connections[0].name == "default"
    assert config.connections[0].topic_expression == "orders.*"


def test_serve_with_a_file_and_flags(run: Run, app: App, tmp_path: Path) -> None:
    file = tmp_path / "cachesvc.toml"
    file.write_text(
        '[store]\npath = "s"\n[log]\nlevel = "error"\n'
        '[[connections]]\nname = "a"\nbootstrap_servers = ["h:1"]\n'
    )
    flags = ("--listen", "0.0.0.0:0", "--insecure", "--log-level", "debug", "--log-format", "json")
    result = run("serve", "--config", str(file), *flags)
    assert result.exit_code == 0, result.output
    (config,) = app.configs
    assert config.server.listen == "0.0.0.0:0"
    assert config.server.insecure
    assert (config.log.level, config.log.format) == ("debug", "json")
    assert logging.getLogger().level == logging.DEBUG


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "store.path: is missing; set it, or give --store DIR"),
        (("--config", "absent.toml"), "error: absent.toml: cannot be read"),
        (("--kafka", "kafka", "--store", "s"), "--kafka: connections[0].bootstrap_servers[0]"),
        (
            ("--kafka", "k:1", "--store", "s", "--listen", "0.0.0.0:7070"),
            "0.0.0.0:7070 is beyond loopback without TLS",
        ),
    ],
)
def test_wrong_settings_end_with_2(
    run: Run, app: App, arguments: tuple[str, ...], message: str
) -> None:
    result = run("serve", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert not app.configs


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreLocked("s is in use by process 7; stop it"), 5),
        (PreconditionFailed("no"), 5),
        (CacheError("no"), 1),
    ],
)
def test_a_service_that_cannot_start_says_why(
    run: Run, app: App, error: CacheError, code: int
) -> None:
    app.error = error
    result = run("serve", "--kafka", "k:1", "--store", "s")
    assert result.exit_code == code
    assert result.stderr == f"error: {error}\n"


def test_the_service_decides_the_exit_code(run: Run, app: App) -> None:
    app.status = 7
    assert run("serve", "--kafka", "k:1", "--store", "s").exit_code == 7


def test_reader(run: Run, app: App) -> None:
    result = run(
        "reader",
        *("--service", "unix:/run/service.sock", "--connection", "a", "--name", "a-0"),
        *("--exit-with-parent", "--log-level", "warning"),
    )
    assert result.exit_code == 0, result.output
    assert app.readers == [
        ReaderSettings(
            service="unix:/run/service.sock",
            connection="a",
            name="a-0",
            exit_with_parent=True,
            black_box=app.readers[0].black_box,
        )
    ]


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--service", "nowhere", "'nowhere' is not HOST:PORT"),
        ("--log-level", "loud", "--log-level"),
    ],
)
def test_reader_with_wrong_flags(run: Run, app: App, flag: str, value: str, message: str) -> None:
    flags = {"--service": "unix:/s", "--connection": "a"} | {flag: value}
    result = run("reader", *(word for pair in flags.items() for word in pair))
    assert result.exit_code == 2
    assert message in result.stderr
    assert not app.readers
