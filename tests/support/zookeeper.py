"""The ZooKeeper that a Kafka broker before 4.0 needs beside it."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.java_process import JavaProcess
from tests.support.ports import HOST

SESSION_TIMEOUT_MS = 3_000
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 5.0
_ANSWER_S = 2.0


class ZooKeeper:
    """One ZooKeeper node on 127.0.0.1 with a directory of its own.

    Args:
        directory: For its data and its output; made if missing.
        port: Where it listens.
    """

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.port = port
        self.process = JavaProcess(directory, "zookeeper.log")

    def start(self, java: Sequence[str]) -> None:
        """Start it unless it runs, and return once it serves.

        Args:
            java: The command up to the name of the class.

        Raises:
            RuntimeError: It ended, or does not serve in time.
        """
        if self.process.is_running:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "zookeeper.cfg"
        config.write_text(
            f"dataDir={self.directory / 'zookeeper'}\nclientPort={self.port}\n"
            f"clientPortAddress={HOST}\ntickTime=500\nadmin.enableServer=false\n"
        )
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        # Its beans for log4j are not in the log4j that is still maintained.
        self.process.start([*java, "-Dzookeeper.jmx.log4j.disable=true", main, str(config)])
        self._await_service()

    def _await_service(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._ask(b"srvr").startswith("Zookeeper version"):
            if not self.process.is_running or time.monotonic() > deadline:
                text = self.process.output.read_text(errors="replace")[-4_000:]
                self.process.kill()
                raise RuntimeError(f"ZooKeeper does not start\n{text}")
            time.sleep(0.05)

    def await_no_broker(self) -> None:
        """Wait until the session of a broker that was killed has ended.

        Raises:
            RuntimeError: It goes on and on.
        """
        deadline = time.monotonic() + 10 * SESSION_TIMEOUT_MS / 1000
        while "/brokers/ids/" in self._ask(b"dump"):
            if time.monotonic() > deadline:
                raise RuntimeError("ZooKeeper keeps the session of a broker that is gone")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it. Idempotent."""
        self.process.stop(_STOP_TIMEOUT_S)

    def _ask(self, word: bytes) -> str:
        try:
            with socket.create_connection((HOST, self.port), _ANSWER_S) as connection:
                connection.settimeout(_ANSWER_S)
                connection.sendall(word)
                answer = b""
                while chunk := connection.recv(4_096):
                    answer += chunk
        except OSError:
            return ""
        return answer.decode(errors="replace")
