"""A Java program of the tests: started, ended with a signal, and never left behind."""

from __future__ import annotations

import atexit
import contextlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

JVM_OPTIONS = ("-XX:+UseSerialGC", "-Xshare:auto", "-XX:-UsePerfData", "-Djava.awt.headless=true")


class JavaProcess:
    """At most one JVM at a time. If the process that started it ends, however, so does the JVM.

    Args:
        directory: Where it runs; its output is added to a file there.
        output: Name of that file.
    """

    def __init__(self, directory: Path, output: str) -> None:
        self._directory = directory
        self.output = directory / output
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the running JVM, None if there is none."""
        return self._process.pid if self.is_running and self._process else None

    @property
    def is_running(self) -> bool:
        """Whether the JVM lives."""
        return self._process is not None and self._process.poll() is None

    def start(self, command: Sequence[str]) -> None:
        """Start it; the one before must have ended."""
        self._release()
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                start_new_session=True,
            )
        self._guard = _kill_when_we_end(self._process.pid)
        atexit.register(self.kill)

    def stop(self, timeout_s: float) -> None:
        """Ask it to end with SIGTERM, and kill it after `timeout_s`. Idempotent."""
        if self._process is not None and self.is_running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """End it with SIGKILL. Idempotent."""
        if self._process is not None and self.is_running:
            self._process.kill()
            self._process.wait()
        self._release()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for it to end by itself; return its exit code, or None after `timeout_s`."""
        if self._process is None:
            return None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def _release(self) -> None:
        atexit.unregister(self.kill)
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
        self._guard = None
        self._process = None


def _kill_when_we_end(pid: int) -> subprocess.Popen[bytes]:
    """Start a shell that kills `pid` once this process is gone and its pipe closes."""
    return subprocess.Popen(
        ["/bin/sh", "-c", f"read _; kill -9 {pid}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
