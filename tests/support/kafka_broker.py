"""A real Kafka broker for tests, benchmarks and trying things out.

One JVM is controller and broker at once (KRaft), listens on 127.0.0.1 only, and can be
stopped, killed and started again on the same data and ports. Only the standard library is
used: `python -m tests.support.kafka_broker start` works without any installed package.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.kafka_jars import (
    ASSETS,
    KafkaUnavailable,
    kafka_version,
    missing_requirements,
    resolve_jars,
)
from tests.support.kafka_probe import serves_metadata
from tests.support.kafka_properties import Listeners, broker_properties
from tests.support.ports import HOST, free_ports, is_free

__all__ = ["BrokerError", "KafkaBroker", "KafkaUnavailable", "main", "missing_requirements"]

START_TIMEOUT_S = 90.0
FORMAT_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
_LOG_TAIL_BYTES = 4_000
_JVM_OPTIONS = ("-XX:+UseSerialGC", "-Xshare:auto", "-XX:-UsePerfData", "-Djava.awt.headless=true")


class BrokerError(RuntimeError):
    """The broker did not start or did not live on. The message ends with its log's tail."""


class KafkaBroker:
    """One Kafka node in a directory of its own.

    The directory gets `data/`, `broker.log` (Kafka's own log), `console.log` (output of the
    JVM) and `server.properties`; nothing in it is ever deleted but by `discard_data`. A second
    `KafkaBroker` on the directory of a stopped one goes on with its data. Ports are chosen once
    per object and stay the same over restarts.

    Transactions work, topics are never created by asking for them, nothing expires unless a
    topic's own settings say so, and records of up to 16 MiB are taken. If the process that
    started the broker ends, however it ends, the broker is killed.

    With `proxy_port`, a second listener PROXIED waits on `proxied_listen_port` and tells its
    clients that the broker lives on `proxy_port`, so that a TCP proxy between the two sees all
    their traffic. `bootstrap` still leads past the proxy.

    Args:
        directory: Created if missing.
        port: Where clients connect; 0 chooses a free one.
        proxy_port: Where a TCP proxy listens that forwards to `proxied_listen_port`.
        heap_mb: Maximum size of the JVM's heap.
        config: Further broker properties, or others than the ones chosen here.
        jvm_options: Further options of the JVM.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        proxy_port: int | None = None,
        heap_mb: int = 512,
        config: Mapping[str, str] | None = None,
        jvm_options: Sequence[str] = (),
    ) -> None:
        self.directory = directory.absolute()
        chosen = free_ports(3)
        self._listeners = Listeners(
            direct=port or chosen[0], controller=chosen[1], proxied=chosen[2], proxy=proxy_port
        )
        self._config = dict(config or {})
        self._jvm = ("java", f"-Xmx{heap_mb}m", *_JVM_OPTIONS, *jvm_options)
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """Bootstrap address of the DIRECT listener."""
        return f"{HOST}:{self._listeners.direct}"

    @property
    def proxied_bootstrap(self) -> str:
        """Bootstrap address of the proxy.

        Raises:
            ValueError: the broker was made without `proxy_port`.
        """
        if self._listeners.proxy is None:
            raise ValueError("this broker has no PROXIED listener; give it a proxy_port")
        return f"{HOST}:{self._listeners.proxy}"

    @property
    def proxied_listen_port(self) -> int:
        """The port to which the proxy forwards; served only if there is a `proxy_port`."""
        return self._listeners.proxied

    @property
    def log_path(self) -> Path:
        """Kafka's own log."""
        return self.directory / "broker.log"

    @property
    def data_directory(self) -> Path:
        """Where the broker keeps its topics."""
        return self.directory / "data"

    @property
    def pid(self) -> int | None:
        """Process id of the running JVM, None if there is none."""
        return self._process.pid if self.is_running and self._process else None

    @property
    def is_running(self) -> bool:
        """Whether the JVM lives; a broker that is starting counts."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start the JVM and return once clients can use it.

        Also starts a broker again after `stop` or `kill`. Does nothing while it runs. Blocks
        for at most `START_TIMEOUT_S`, plus formatting and resolving the jars at first use.

        Raises:
            KafkaUnavailable: there is no Java, no Maven, or the jars did not resolve.
            BrokerError: a port is taken, or the JVM ended or was not ready in time.
        """
        if self.is_running:
            return self
        self._release()
        lacking = missing_requirements()
        if lacking:
            raise KafkaUnavailable(lacking)
        classpath = f"{resolve_jars()}/*"
        self._check_ports()
        properties = self._write_properties()
        if not (self.data_directory / "meta.properties").exists():
            self._format(classpath, properties)
        with (self.directory / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                [*self._java(classpath), "kafka.Kafka", str(properties)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,
            )
        try:
            self._guard = _kill_when_we_end(self._process.pid)
            atexit.register(self.kill)
            self._wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Shut down with SIGTERM, and with SIGKILL after `timeout_s`. Idempotent."""
        if self._process is not None and self.is_running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """End the JVM with SIGKILL, as a power cut would. Idempotent."""
        if self._process is not None and self.is_running:
            self._process.kill()
            self._process.wait()
        self._release()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the JVM to end by itself; return its exit code, or None after `timeout_s`."""
        if self._process is None:
            return None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def discard_data(self) -> None:
        """Delete the data of a stopped broker and keep its logs.

        Raises:
            BrokerError: the broker runs.
        """
        if self.is_running:
            raise BrokerError("stop the broker before discarding its data")
        shutil.rmtree(self.data_directory, ignore_errors=True)

    def log_tail(self) -> str:
        """Return the paths and ends of both logs, for a message to a person."""
        parts = []
        for path in (self.directory / "console.log", self.log_path):
            text = path.read_bytes()[-_LOG_TAIL_BYTES:] if path.exists() else b"(not written)"
            parts.append(f"--- {path}\n{text.decode(errors='replace').rstrip()}")
        return "\n".join(parts)

    def __enter__(self) -> Self:
        """Start the broker."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the broker; add the path of its log to the notes of an exception."""
        self.stop()
        if error is not None:
            error.add_note(f"The broker's log: {self.log_path}")

    def _java(self, classpath: str) -> list[str]:
        logging = [
            f"-Dlog4j2.configurationFile={ASSETS / 'log4j2.xml'}",
            f"-Dcachesvc.kafka.log={self.log_path}",
        ]
        return [*self._jvm, *logging, "-cp", classpath]

    def _check_ports(self) -> None:
        taken = [port for port in self._listeners.bound().values() if not is_free(port)]
        if taken:
            raise BrokerError(f"port {taken[0]} of {HOST} is taken by another process")

    def _write_properties(self) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "server.properties"
        properties = broker_properties(self._listeners, self.data_directory) | self._config
        lines = [f"{name}={value}\n" for name, value in properties.items()]
        path.write_text("".join(lines))
        return path

    def _format(self, classpath: str, properties: Path) -> None:
        # Kafka's tools take an id that begins with a dash for an option.
        cluster_id = b64encode(uuid.uuid4().bytes, altchars=b"AB").decode().rstrip("=")
        tool = [*self._java(classpath), "kafka.tools.StorageTool", "format"]
        done = subprocess.run(
            [*tool, "--cluster-id", cluster_id, "--config", str(properties)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=FORMAT_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            (self.directory / "console.log").write_bytes(done.stdout)
            raise BrokerError(f"Kafka could not format its storage\n{self.log_tail()}")

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not serves_metadata(self._listeners.direct, timeout_s=1.0):
            if not self.is_running:
                raise BrokerError(f"Kafka ended while starting\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise BrokerError(f"not ready after {START_TIMEOUT_S:.0f} s\n{self.log_tail()}")
            time.sleep(0.05)

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a broker in the foreground until SIGTERM or Ctrl-C; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/kafka", description="A local Kafka broker to develop and try things with."
    )
    verbs = parser.add_subparsers(required=True, metavar="start")
    start = verbs.add_parser("start", help="run a broker in the foreground, until Ctrl-C")
    start.add_argument(
        "--port", type=int, default=0, help="port of 127.0.0.1 (default: a free one)"
    )
    start.add_argument("--dir", type=Path, help="keep data and logs here (default: temporary)")
    start.add_argument("--heap-mb", type=int, default=512, help="JVM heap (default: %(default)s)")
    parser.add_argument("--version", action="version", version=f"Kafka {kafka_version()}")
    options = parser.parse_args(arguments)

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        directory = options.dir
        if directory is None:
            temporary = tempfile.TemporaryDirectory(prefix="kafka-")
            directory = Path(stack.enter_context(temporary))
        broker = KafkaBroker(directory, port=options.port, heap_mb=options.heap_mb)
        stack.callback(broker.stop)
        try:
            broker.start()
            print(f"bootstrap {broker.bootstrap}", flush=True)
            print(f"log {broker.log_path}", flush=True)
            broker.wait()
            print(f"Kafka ended by itself\n{broker.log_tail()}", file=sys.stderr)
        except (BrokerError, KafkaUnavailable) as error:
            print(error, file=sys.stderr)
        except KeyboardInterrupt:
            return 0
    return os.EX_UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
