"""SIGTERM and SIGINT at any moment of a process's life: the same words, the same exit code."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.ports import HOST

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]
BOTH = (signal.SIGTERM, signal.SIGINT)
# Since the process was born, and since it had a say in signals, until it is at work.
SINCE_BIRTH_MS = (0, 10, 20, 30, 40, 60, 100)
SINCE_TAKEN_MS = (0, 20, 60, 150, 300, 450, 600, 900)
WORDS = {"serve": ["stopping", "stopped"], "reader": ["reader_stopped"]}


class Starting:
    """A ``cachesvc serve`` or ``reader`` from its first moment on."""

    def __init__(self, command: str, directory: Path) -> None:
        self._log = directory / "log"
        own = {
            "serve": ["--kafka", f"{HOST}:1", "--store", str(directory / "store")]
            + ["--listen", f"{HOST}:0"],
            "reader": ["--service", f"unix:{directory}/none", "--connection", "default"],
        }[command]
        arguments = [sys.executable, "-m", "cachesvc", command, *own, "--log-format", "json"]
        with self._log.open("wb") as log:
            # The default address may be another service's, which would be said in the log.
            environment = {**os.environ, "CACHESVC_HTTP__LISTEN": f"{HOST}:0"}
            self._process = subprocess.Popen(arguments, stdout=log, stderr=log, env=environment)

    @property
    def handles_signals(self) -> bool:
        """Whether the process, and not the interpreter that starts, has a say in SIGTERM by now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def code(self) -> int:
        """The exit code, once it has ended."""
        try:
            return self._process.wait(30)
        finally:
            self._process.kill()

    def until_it_handles_signals(self) -> None:
        deadline = time.monotonic() + 60
        while not self.handles_signals:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def until_it_says(self, event: str) -> None:
        deadline = time.monotonic() + 60
        while event not in self.events():
            assert not self.ended, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)

    def events(self) -> list[str]:
        """What it said; lines that are no events as they are."""
        lines = self._log.read_text().splitlines()
        return [json.loads(line)["event"] if line.startswith("{") else line for line in lines]

    def words_of_its_end(self) -> list[str]:
        """The same without what it said of its start and work."""
        return [each for each in self.events() if each not in ("serving", "service_lost")]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["serve", "reader"])
def test_a_signal_at_any_moment_of_the_start(command: str, tmp_path: Path) -> None:
    for moment_ms in SINCE_BIRTH_MS:
        process = Starting(command, tmp_path)
        time.sleep(moment_ms / 1_000)
        handled = process.handles_signals
        process.send(signal.SIGTERM)
        code, events = process.code(), process.events()
        if handled or code != -signal.SIGTERM:
            assert (code, process.words_of_its_end()) == (0, WORDS[command]), (moment_ms, events)
        else:  # the interpreter was still on its way to our first line
            assert events == []
    for moment_ms, number in zip(SINCE_TAKEN_MS, itertools.cycle(BOTH), strict=False):
        process = Starting(command, tmp_path)
        process.until_it_handles_signals()
        time.sleep(moment_ms / 1_000)
        process.send(number)
        code, events = process.code(), process.events()
        assert (code, process.words_of_its_end()) == (0, WORDS[command]), (
            number,
            moment_ms,
            events,
        )


@pytest.mark.parametrize("command", ["serve", "reader"])
@pytest.mark.parametrize("at_work", [False, True], ids=["starting", "at-work"])
def test_signals_again_and_again_until_the_end(command: str, at_work: bool, tmp_path: Path) -> None:
    """No moment without a handler between the first signal and the end of the process."""
    process = Starting(command, tmp_path)
    if at_work:
        process.until_it_says("serving" if command == "serve" else "service_lost")
    process.until_it_handles_signals()
    for number in itertools.cycle(BOTH):
        if process.ended:
            break
        process.send(number)
        time.sleep(0.001)
    assert process.code() == 0, process.events()
    assert process.words_of_its_end() == WORDS[command]
