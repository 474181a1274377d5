"""The real service as a process: started, stopped, killed and started again on one store."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.ports import HOST, free_ports

_READY_S = 90.0
# Of these 10 are the service's own grace; the others are a busy machine's.
_STOP_S = 60.0
_SERVE = [sys.executable, "-m", "cachesvc", "serve"]
_LOG_TAIL_BYTES = 6_000


class ServiceError(AssertionError):
    """The service did not do what a test needs; the message ends with its log's tail."""


class ServiceProcess:
    """``python -m cachesvc serve`` with a configuration file of its own.

    Args:
        directory: Holds the store, the configuration and the log.
        bootstrap: Of the broker; becomes the connection ``default``.
        settings: More settings, as in the TOML file, by section.
        connection: More settings of the connection.
        ca_file: Speak TLS and trust these certificates.
        connections: Further connections, whole.
        descriptors: Soft and hard limit of file descriptors; those of the tests without it.
        http: Answer monitoring and browsers; it makes a start longer.
    """

    def __init__(
        self,
        directory: Path,
        bootstrap: str,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        connection: Mapping[str, Any] | None = None,
        ca_file: Path | None = None,
        connections: Sequence[Mapping[str, Any]] = (),
        descriptors: tuple[int, int] | None = None,
        http: bool = False,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.store = directory / "store"
        self.log_path = directory / "service.log"
        self._config = directory / "cachesvc.toml"
        port, http_port = free_ports(2)
        self.address = f"{HOST}:{port}"
        self._http_listen = f"{HOST}:{http_port}" if http else ""
        self._process: subprocess.Popen[bytes] | None = None
        self._ca_file = ca_file
        self._descriptors = descriptors
        default = {"name": "default", "bootstrap_servers": [bootstrap], **(connection or {})}
        self._config.write_text(self._toml(settings or {}, [default, *connections]))

    def _toml(
        self,
        settings: Mapping[str, Mapping[str, Any]],
        connections: Sequence[Mapping[str, Any]],
    ) -> str:
        sections: dict[str, dict[str, Any]] = {
            "store": {"path": str(self.store)},
            "server": {"listen": self.address, "progress_interval_s": 0.5},
            "http": {"listen": self._http_listen},
            "mining": {"metadata_interval_s": 0.5},
            "log": {"level": "debug", "format": "json"},
        }
        for name, values in settings.items():
            sections.setdefault(name, {}).update(values)
        lines = [line for name, values in sections.items() for line in _table(name, values)]
        for connection in connections:
            lines += _table("connections", connection, "[[connections]]")
        return "\n".join([*lines, ""])

    @property
    def config_path(self) -> Path:
        """The configuration file."""
        return self._config

    @property
    def web(self) -> str:
        """The URL that monitoring and browsers go to."""
        assert self._http_listen, "make the ServiceProcess with http=True"
        return f"http://{self._http_listen}"

    @property
    def pid(self) -> int:
        """Of the service process that was started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether that process still runs."""
        return self._process is not None and self._process.poll() is None

    def descriptors_in_use(self) -> int:
        """How many file descriptors the service has open."""
        return psutil.Process(self.pid).num_fds()

    def reader_pids(self) -> list[int]:
        """Of the reader processes that the service runs now."""
        return [
            child.pid
            for child in psutil.Process(self.pid).children()
            if child.status() != psutil.STATUS_ZOMBIE
        ]

    def start(self) -> Self:
        """Starts the service and waits until it says that it serves."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._limiting(), *_SERVE, "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        deadline = time.monotonic() + _READY_S
        while not self._serving():
            if self._process.poll() is not None:
                raise ServiceError(
                    f"the service ended with {self._process.returncode}{self._tail()}"
                )
            if time.monotonic() > deadline:
                self.kill()
                raise ServiceError(f"the service is not ready in {_READY_S} s{self._tail()}")
            time.sleep(0.05)
        return self

    def _limiting(self) -> list[str]:
        if self._descriptors is None:
            return []
        soft, hard = self._descriptors
        return ["prlimit", f"--nofile={soft}:{hard}"]

    def _serving(self) -> bool:
        with self._channel() as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]
                    health_pb2.HealthCheckRequest(), timeout=1
                )
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def _channel(self) -> grpc.Channel:
        if self._ca_file is None:
            return grpc.insecure_channel(self.address)
        credentials = grpc.ssl_channel_credentials(self._ca_file.read_bytes())
        return grpc.secure_channel(self.address, credentials)

    def stop(self, timeout_s: float = _STOP_S) -> float:
        """Ends the service with SIGTERM; returns the seconds that took.

        The bound says that it ends; tests of how soon it does give their own.

        Raises:
            ServiceError: It did not end in time, or not with exit code 0.
        """
        assert self._process is not None
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServiceError(f"the service did not end in {timeout_s} s{self._tail()}") from None
        if code != 0:
            raise ServiceError(f"the service ended with {code}{self._tail()}")
        return time.monotonic() - began

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the service."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, timeout_s: float) -> int:
        """The exit code, once the service has ended by itself."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """Ends the service with SIGKILL; its readers notice and end by themselves."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log records of that event, over all starts."""
        found = []
        for line in self.log_path.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                record = json.loads(line)
                if record.get("event") == name:
                    found.append(record)
        return found

    def _tail(self) -> str:
        text = self.log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        return f"; its log {self.log_path} ends with:\n{text}"

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.kill()
            print(self._tail())
        elif self.running:
            self.stop()


def _table(name: str, values: Mapping[str, Any], head: str = "") -> list[str]:
    """TOML; JSON's texts, numbers, booleans and lists are TOML's too."""
    inner = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    lines = [head or f"[{name}]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in values.items() if key not in inner]
    for key, table in inner.items():
        lines += _table(f"{name}.{key}", table)
    return lines
