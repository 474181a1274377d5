"""A real Kafka broker for tests, benchmarks and trying things out.

One JVM is controller and broker at once (KRaft), listens on 127.0.0.1 only, and can be
stopped, killed and started again on the same data and ports. Only the standard library is
used: `python -m tests.support.kafka_broker start` works without any installed package.
"""

from __future__ import annotations

import argparse
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

from tests.support.java_process import JVM_OPTIONS, JavaProcess
from tests.support.kafka_jars import (
    CACHE,
    KafkaUnavailable,
    assets,
    kafka_version,
    kafka_versions,
    missing_requirements,
    resolve_jars,
    version_tuple,
)
from tests.support.kafka_prepared import class_archive, format_storage
from tests.support.kafka_probe import serves_metadata
from tests.support.kafka_properties import Listeners, Security, broker_properties
from tests.support.ports import HOST, free_ports, is_free
from tests.support.zookeeper import ZooKeeper

__all__ = ["BrokerError", "KafkaBroker", "KafkaUnavailable", "main", "missing_requirements"]

USUAL_PORT = 9092
START_TIMEOUT_S = 90.0
FORMAT_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
_LOG_TAIL_BYTES = 4_000
_WITH_ZOOKEEPER_BEFORE = (3,)


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
        version: One of `kafka_versions()`; the newest without. Versions before 3 come with a
            ZooKeeper of their own, which lives on when the broker is killed or stopped, until
            `close`.
        security: Listeners beside the plain ones, and what they need.
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
        version: str | None = None,
        security: Security | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self.version = version or kafka_version()
        self._security = security or Security(())
        chosen = free_ports(4)
        with_zookeeper = version_tuple(self.version) < _WITH_ZOOKEEPER_BEFORE
        self._listeners = Listeners(
            direct=port or chosen[0],
            controller=chosen[1],
            proxied=chosen[2],
            proxy=proxy_port,
            zookeeper=chosen[3] if with_zookeeper else None,
            secured=self._security.listeners,
        )
        self._zookeeper = ZooKeeper(self.directory, chosen[3]) if with_zookeeper else None
        self._config = dict(config or {})
        self._jvm = ("java", f"-Xmx{heap_mb}m", *JVM_OPTIONS, *jvm_options)
        self._process = JavaProcess(self.directory, "console.log")

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
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the JVM lives; a broker that is starting counts."""
        return self._process.is_running

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
        lacking = missing_requirements(self.version)
        if lacking:
            raise KafkaUnavailable(lacking)
        java = self._java(f"{resolve_jars(CACHE, self.version)}/*")
        self._check_ports()
        properties = self._write_properties()
        if self._zookeeper is not None:
            self._zookeeper.start(java)
            self._zookeeper.await_no_broker()
        else:
            self._format(java, properties)
        self._process.start([*java, "kafka.Kafka", str(properties)])
        try:
            self._wait_ready()
        except BaseException:
            self.kill()
            self.close()
            raise
        return self

    def format(self) -> bool:
        """Format the storage unless it is; say whether there is anything to format.

        Raises:
            KafkaUnavailable: As for `start`.
            BrokerError: Kafka's tool failed.
        """
        if self._zookeeper is None:
            java = self._java(f"{resolve_jars(CACHE, self.version)}/*")
            self._format(java, self._write_properties())
        return self._zookeeper is None

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Shut down with SIGTERM, and with SIGKILL after `timeout_s`. Idempotent."""
        self._process.stop(timeout_s)

    def kill(self) -> None:
        """End the JVM with SIGKILL, as a power cut would. Idempotent."""
        self._process.kill()

    def close(self) -> None:
        """End everything, ZooKeeper too. Idempotent."""
        self.stop()
        if self._zookeeper is not None:
            self._zookeeper.stop()

    def run_tool(self, main_class: str, *arguments: str) -> str:
        """Run one of the tools that are in Kafka's jars and return what it prints.

        `{zookeeper}` in an argument stands for ZooKeeper's address.

        Raises:
            BrokerError: The tool failed; the message is what it printed.
        """
        java = self._java(f"{resolve_jars(CACHE, self.version)}/*")
        # Not into the broker's own log.
        log = f"-Dcachesvc.kafka.log={self.directory / 'tool.log'}"
        java = [java[0], *(option for option in java[1:] if "kafka.log=" not in option)]
        zookeeper = f"{HOST}:{self._listeners.zookeeper}"
        done = subprocess.run(
            [java[0], log, *java[1:], main_class]
            + [argument.format(zookeeper=zookeeper) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=FORMAT_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise BrokerError(done.stdout.decode(errors="replace"))
        return done.stdout.decode(errors="replace")

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the JVM to end by itself; return its exit code, or None after `timeout_s`."""
        return self._process.wait(timeout_s)

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
        """End everything; add the path of the broker's log to the notes of an exception."""
        self.close()
        if error is not None:
            error.add_note(f"The broker's log: {self.log_path}")

    def _java(self, classpath: str) -> list[str]:
        directory = assets(self.version)
        logging = (
            f"-Dlog4j2.configurationFile={directory / 'log4j2.xml'}"
            if (directory / "log4j2.xml").exists()
            else f"-Dlog4j.configuration=file:{directory / 'log4j.properties'}"
        )
        options = [logging, f"-Dcachesvc.kafka.log={self.log_path}", *self._security.jvm_options]
        archive = class_archive(self.version)
        return [self._jvm[0], *archive, *self._jvm[1:], *options, "-cp", classpath]

    def _check_ports(self) -> None:
        taken = [port for port in self._listeners.bound().values() if not is_free(port)]
        if taken:
            raise BrokerError(f"port {taken[0]} of {HOST} is taken by another process")

    def _write_properties(self) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "server.properties"
        properties = broker_properties(self._listeners, self.data_directory)
        properties |= self._security.properties() | self._config
        lines = [f"{name}={value}\n" for name, value in properties.items()]
        path.write_text("".join(lines))
        return path

    def _format(self, java: Sequence[str], properties: Path) -> None:
        if (self.data_directory / "meta.properties").exists():
            return
        # Kafka's tools take an id that begins with a dash for an option.
        cluster_id = b64encode(uuid.uuid4().bytes, altchars=b"AB").decode().rstrip("=")
        users = self._security.format_options()
        if not users and format_storage(self.version, self.data_directory, cluster_id):
            return
        tool = [*java, "kafka.tools.StorageTool", "format", "--cluster-id", cluster_id]
        done = subprocess.run(
            [*tool, "--config", str(properties), *users],
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
        topics = self._topics_on_disk() if self._zookeeper is not None else ()
        while not serves_metadata(self._listeners.direct, 1.0, topics):
            if not self.is_running:
                raise BrokerError(f"Kafka ended while starting\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise BrokerError(f"not ready after {START_TIMEOUT_S:.0f} s\n{self.log_tail()}")
            time.sleep(0.05)

    def _topics_on_disk(self) -> set[str]:
        partitions = (path.name for path in self.data_directory.glob("*-*") if path.is_dir())
        return {name.rpartition("-")[0] for name in partitions if not name.endswith("-delete")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a broker in the foreground until SIGTERM or Ctrl-C; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/kafka", description="A local Kafka broker to develop and try things with."
    )
    verbs = parser.add_subparsers(required=True, metavar="start")
    start = verbs.add_parser("start", help="run a broker in the foreground, until Ctrl-C")
    start.add_argument(
        "--port",
        type=int,
        help=f"port of 127.0.0.1; 0 for any (default: {USUAL_PORT}, or another if that is taken)",
    )
    start.add_argument("--dir", type=Path, help="keep data and logs here (default: temporary)")
    start.add_argument("--heap-mb", type=int, default=512, help="JVM heap (default: %(default)s)")
    start.add_argument(
        "--version",
        choices=kafka_versions(),
        default=kafka_version(),
        help="of Kafka (default: %(default)s); versions before 3 start a ZooKeeper too",
    )
    options = parser.parse_args(arguments)
    port = options.port
    if port is None:
        port = USUAL_PORT if is_free(USUAL_PORT) else 0

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        directory = options.dir
        if directory is None:
            temporary = tempfile.TemporaryDirectory(prefix="kafka-")
            directory = Path(stack.enter_context(temporary))
        broker = KafkaBroker(directory, port=port, heap_mb=options.heap_mb, version=options.version)
        stack.callback(broker.close)
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
