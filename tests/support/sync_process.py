"""``cachesvc-sync`` as a process: run, killed and run again; and its other commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cachesvc.sync import TaskStatus
from cachesvc.sync.control import NotRunning, ask
from cachesvc.sync.state import StateDirectory
from tests.support.file_sink import entry_point

_COMMAND = [sys.executable, "-m", "cachesvc.sync"]
_COMMAND_S = 120.0
_LOG_TAIL_BYTES = 4_000


class SyncProcess:
    """One task with a file and state of its own.

    Args:
        directory: Holds the task's file, its state, its log and what the sink writes.
        service: HOST:PORT.
        topic: The task's only one.
        tables: More settings, by table; those of the top under the empty name. A sink with a kind
            has those settings alone.
    """

    def __init__(
        self,
        directory: Path,
        service: str,
        topic: str,
        tables: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.file = directory / "task.toml"
        self.output = directory / "output"
        self.log_path = directory / "task.log"
        self._state = directory / "state"
        path = os.pathsep.join(
            filter(None, (str(entry_point(directory)), os.environ.get("PYTHONPATH")))
        )
        self._environment = {**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{Path.cwd()}"}
        self._process: subprocess.Popen[bytes] | None = None
        settings: dict[str, dict[str, Any]] = {
            "": {"name": f"task-{topic}"},
            "source": {"service": service, "topics": [topic], "mode": "FULL_AND_INCREMENTAL"},
            "sink": {"kind": "stage", "path": "output"},
            "batch": {"wait_s_max": 0.05},
            "retry": {"delay_max_s": 0.5},
        }
        for name, table in (tables or {}).items():
            if name == "sink" and "kind" in table:
                settings[name] = {}
            settings.setdefault(name, {}).update(table)
        self.name: str = settings[""]["name"]
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.pop("").items()]
        for name, table in settings.items():
            lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
        self.file.write_text("\n".join([*lines, ""]))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, terminal: int | None = None) -> Self:
        """Runs the task; returns at once. What it says goes to its log, or to a terminal."""
        with self.log_path.open("ab") as log:
            said = log if terminal is None else terminal
            self._process = subprocess.Popen(
                [*_COMMAND, "run", str(self.file), "--state", str(self._state)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=self._environment,
            )
        return self

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        if self._process is not None:
            self._process.wait()

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(_COMMAND_S)

    def wait(self, timeout_s: float = _COMMAND_S) -> int:
        """The exit code, once it has ended by itself."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command of the task; those that reach it look into its state."""
        with_state = arguments[0] in ("status", "pause", "resume", "stop", "reset")
        state = ["--state", str(self._state)] if with_state else []
        return subprocess.run(
            [*_COMMAND, *arguments, *state],
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            env=self._environment,
        )

    def json(self, *arguments: str) -> Any:
        """The answer of a command as JSON types; None where it gives none."""
        answer = self.call(*arguments, "--json").stdout
        return json.loads(answer) if answer else None

    def status(self) -> TaskStatus | None:
        """Of the task while it runs, and how it ended; None where neither is known."""
        state = StateDirectory(self._state)
        if not state.runs(self.name):
            return state.end_of(self.name)
        try:
            return ask(state.socket_of(self.name), "status")
        except NotRunning:
            return None

    def ended(self) -> TaskStatus:
        """How the task ended."""
        found = self.status()
        assert found is not None
        return found

    @property
    def state(self) -> str:
        """The word for how it is; empty where that is not known."""
        found = self.status()
        return "" if found is None else found.state

    @property
    def outside(self) -> bool:
        """Whether it reads the broker now."""
        found = self.status()
        return found is not None and found.outside

    @property
    def log(self) -> str:
        """What it said."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        if kind is not None:
            print(self.log[-_LOG_TAIL_BYTES:])


def _toml(value: Any) -> str:
    """JSON's texts, numbers, booleans and lists are TOML's too; tables are written in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
