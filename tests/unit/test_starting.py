"""A start without the garbage collector, which is back behind it, and without threads of numpy."""

from __future__ import annotations

import subprocess
import sys

import pytest

THREADS = "OPENBLAS_NUM_THREADS"
_THEN_SAY = """
import gc
import cachesvc.cli.version as command
from cachesvc.__main__ import main
command._installed_version = lambda: f"{gc.isenabled()} {gc.get_freeze_count() > 10_000}"
main()
"""


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(THREADS, raising=False)


def _found(*steps: str) -> list[str]:
    """Whether a process of its own collects, and whether it keeps anything, after each step."""
    look = "print(gc.isenabled(), gc.get_freeze_count() > 0)"
    program = "\n".join(
        ["import gc", "from cachesvc import starting", *(f"{s}; {look}" for s in steps)]
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_a_start_is_not_collected_and_never_looked_at_again() -> None:
    assert _found("starting.begin()", "starting.settled()") == ["False False", "True True"]


def test_numpy_has_no_threads_unless_somebody_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    say = f"starting.begin(); import os; print(os.environ['{THREADS}'])"
    assert _found(say)[0] == "1"
    monkeypatch.setenv(THREADS, "3")
    assert _found(say)[0] == "3"


def test_nothing_is_kept_where_no_start_began() -> None:
    assert _found("starting.settled()") == ["True False"]


def test_what_a_service_has_made_is_kept_as_well() -> None:
    assert _found("starting.keep()") == ["True True"]


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
