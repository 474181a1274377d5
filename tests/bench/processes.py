"""Processes that a benchmark starts, and what they cost."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.bench.digest import Json

ROOT = Path(__file__).resolve().parents[2]
READY_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 5.0
_LOG_TAIL_BYTES = 2_000
_SAMPLE_S = 0.05


class BenchError(RuntimeError):
    """Something that a benchmark needs does not work. The message says what.

    Args:
        what: Does not work.
        log: What the process concerned has said: its last line joins the message, more of it the
            notes.
    """

    def __init__(self, what: str, log: Path | None = None) -> None:
        said = log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace") if log else ""
        super().__init__(f"{what}: {_last_line(said)}" if said.strip() else what)
        if said.strip():
            self.add_note(f"--- the end of {log}\n{said}")


class Worker:
    """A process of its own that does what it is told; see `worker`.

    Args:
        module: What to run: `tests.bench.direct`, `.cache` or `.live`.
        log: Where its standard error goes.
    """

    def __init__(self, module: str, log: Path) -> None:
        self._name = module
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env=child_environment(),
                text=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def tell(self, action: str, job: Json) -> None:
        """Start an action; `answer` waits for it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"action": action, **job}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise BenchError(f"{self._name} is gone", self._log) from error

    def answer(self, timeout_s: float, event: str = "done") -> Json:
        """Return what it says next, which has to be this event.

        Raises:
            BenchError: it failed, ended or was killed for saying nothing for `timeout_s`.
        """
        assert self._process.stdout is not None
        watchdog = threading.Timer(timeout_s, self._process.kill)
        watchdog.start()
        began = time.monotonic()
        try:
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            waited_s = time.monotonic() - began
            raise BenchError(f"{self._name} ended after {waited_s:.0f} s", self._log)
        message: Json = json.loads(line)
        if message["event"] != event:
            trace = str(message.get("error", message["event"]))
            error = BenchError(f"{self._name}: {_last_line(trace)}")
            error.add_note(trace)
            raise error
        return message

    def run(self, action: str, job: Json, timeout_s: float) -> Json:
        """Start an action and wait for its end."""
        self.tell(action, job)
        return self.answer(timeout_s)

    def end(self) -> None:
        """End the process. Idempotent."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextlib.contextmanager
def workers(module: str, count: int, log: Path) -> Iterator[list[Worker]]:
    """Start so many workers and wait until all are ready; end them afterwards."""
    started: list[Worker] = []
    try:
        for _ in range(count):
            started.append(Worker(module, log))  # noqa: PERF401 - those started are to be ended
        for worker in started:
            worker.answer(READY_TIMEOUT_S, "ready")
        yield started
    finally:
        for worker in started:
            worker.end()


def run_all(crew: Sequence[Worker], action: str, job: Json, timeout_s: float) -> list[Json]:
    """Have all of them do the same at the same time; return their answers in order."""
    for worker in crew:
        worker.tell(action, job)
    deadline = time.monotonic() + timeout_s
    return [worker.answer(max(1.0, deadline - time.monotonic())) for worker in crew]


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the user and system time of these processes and of their living children."""
    total = 0.0
    for pid in pids:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
    return total


class PeakMemory:
    """The largest resident size of a process while the block runs, looked at every 50 ms.

    Attributes:
        peak_bytes: Known after the block.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.peak_bytes = max(self.peak_bytes, self._process.memory_info().rss)
            if self._stop.wait(_SAMPLE_S):
                return


def end_with_us(pid: int) -> subprocess.Popen[bytes]:
    """Start a shell that ends `pid` once this process is gone, however it went."""
    return subprocess.Popen(
        ["/bin/sh", "-c", f"read _; kill -TERM {pid}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def child_environment() -> dict[str, str]:
    """Return the environment for a process that finds this repository's packages."""
    known = os.environ.get("PYTHONPATH", "")
    paths = [str(ROOT), str(ROOT / "clients" / "python"), *known.split(os.pathsep)]
    settings = {n: v for n, v in os.environ.items() if not n.startswith("CACHESVC_")}
    return settings | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def wait_until(
    holds: Callable[[], bool], what: str, timeout_s: float, every_s: float = 0.02
) -> None:
    """Look again and again until it holds.

    Raises:
        BenchError: it does not after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not after {timeout_s:.0f} s")
        time.sleep(every_s)


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
