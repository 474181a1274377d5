"""A start without the garbage collector, which is back behind it, and without threads of numpy."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cachesvc import starting

THREADS = "OPENBLAS_NUM_THREADS"
_THEN_SAY = """
import gc
import cachesvc.cli.version as command
from cachesvc.__main__ import main
command._installed_version = lambda: f"{gc.isenabled()} {gc.get_freeze_count() > 10_000}"
main()
"""


@pytest.fixture(autouse=True)
def _collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(THREADS, raising=False)
    yield
    gc.unfreeze()
    gc.enable()


def test_a_start_is_not_collected_and_never_looked_at_again() -> None:
    starting.begin()
    assert not gc.isenabled()
    starting.settled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_numpy_has_no_threads_unless_somebody_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    starting.begin()
    assert os.environ[THREADS] == "1"
    monkeypatch.setenv(THREADS, "3")
    starting.begin()
    assert os.environ[THREADS] == "3"


def test_nothing_is_kept_where_no_start_began() -> None:
    gc.unfreeze()
    starting.settled()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_what_a_service_has_made_is_kept_as_well() -> None:
    gc.unfreeze()
    starting.keep()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_a_process_ends_without_a_word() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cachesvc", "serve", "--config", "/nowhere"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_command_runs_with_the_collector_and_without_its_modules() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _THEN_SAY, "version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "cachesvc True True"
