from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from cachesvc.cli import reader as command
from cachesvc.mining.black_box import BlackBox
from cachesvc.mining.reader import ReaderSettings
from tests.unit.cli.conftest import Run

TOKEN = "correct-horse-battery"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[ReaderSettings]:
    """The settings of readers that would have been run."""
    found: list[ReaderSettings] = []

    def run_reader(settings: ReaderSettings) -> int:
        found.append(settings)
        return 0

    monkeypatch.setattr(command, "run_reader", run_reader)
    monkeypatch.setenv("JOIN", TOKEN)
    return found


def reader(run: Run, service: str, *arguments: str) -> Any:
    return run("reader", "--service", service, "--connection", "main", *arguments)


@pytest.mark.usefixtures("logging_put_back")
def test_a_reader_of_another_machine(
    run: Run, started: list[ReaderSettings], tmp_path: Path
) -> None:
    roots = tmp_path / "ca.pem"
    roots.write_text("certificates")
    arguments = ["--tls-ca", str(roots), "--token-env", "JOIN", "--name", "far"]
    assert reader(run, "kafka-cache:7071", *arguments).exit_code == 0
    (settings,) = started
    assert (settings.name, settings.roots, settings.token) == ("far", b"certificates", TOKEN)
    assert TOKEN not in repr(settings)


@pytest.mark.usefixtures("logging_put_back")
def test_a_token_in_plain_text_stays_on_the_machine(
    run: Run, started: list[ReaderSettings]
) -> None:
    refused = reader(run, "kafka-cache:7071", "--token-env", "JOIN")
    assert refused.exit_code == 2
    assert "--tls-ca" in refused.stderr
    assert TOKEN not in refused.stderr
    assert not started
    assert reader(run, "127.0.0.1:7071", "--token-env", "JOIN").exit_code == 0
    assert started[0].token == TOKEN


def test_what_is_missing_is_named(run: Run, started: list[ReaderSettings]) -> None:
    for arguments in (["--token-env", "NOT_SET"], ["--tls-ca", "/no/such/file.pem"]):
        result = reader(run, "127.0.0.1:7071", *arguments)
        assert result.exit_code == 2
        assert arguments[1] in result.stderr
    assert not started


@pytest.mark.usefixtures("logging_put_back")
def test_a_reader_without_a_box_of_its_own_removes_those_that_were_left(
    run: Run, started: list[ReaderSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    socket = f"unix:{tmp_path}/service.sock"
    for name in ("long ago", "again"):
        reader(run, socket, "--name", name)
        box = BlackBox.open(started[-1].black_box or Path())
        assert box is not None
        box.close(clean=False)
    left, again = (settings.black_box or Path() for settings in started)
    for path in (left, again):
        os.utime(path, (0, 0))
    reader(run, socket, "--name", "again", "--black-box", str(tmp_path / "own"))
    assert left.exists()
    reader(run, socket, "--name", "again")
    assert (left.exists(), again.exists()) == (False, True)
