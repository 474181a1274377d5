"""A real S3 server on loopback: versitygw, which serves a directory.

It is built once from its sources by Go, into the tests' cache.
"""

import fcntl
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from cachesvc.store.s3_files import S3Settings
from tests.support.ports import free_ports

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "versitygw"
VERSION = "v1.8.0"
BUILD_TIMEOUT_S = 900.0
START_TIMEOUT_S = 60.0
BUCKET = "records"
ACCESS_KEY = "cache-key"
SECRET_KEY = "cache-secret"


class S3Unavailable(RuntimeError):
    """No server can run here: Go is missing, or the build failed. The message says which."""


def server_binary() -> Path:
    """The server's program, built if need be; processes that ask at the same time wait."""
    binary = CACHE / VERSION / "bin" / "versitygw"
    if binary.exists():
        return binary
    go = shutil.which("go")
    if go is None:
        raise S3Unavailable("no Go here, which builds versitygw")
    binary.parent.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if binary.exists():
            return binary
        environment = {**os.environ, "GOBIN": str(binary.parent), "GOFLAGS": "-modcacherw"}
        package = f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"
        built = subprocess.run(
            [go, "install", package],
            env=environment,
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
        )
        if built.returncode:
            raise S3Unavailable(f"versitygw cannot be built: {built.stderr[-2_000:]}")
    return binary


class S3Server:
    """A server with one bucket. A context manager.

    Attributes:
        port: On 127.0.0.1.
        bucket: The directory whose files are the bucket's objects.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.bucket = directory / "objects" / BUCKET
        self.bucket.mkdir(parents=True)
        (directory / "side").mkdir()
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Starts it on its port; returns once it answers."""
        command = [
            str(server_binary()),
            "--access",
            ACCESS_KEY,
            "--secret",
            SECRET_KEY,
            "--port",
            f"127.0.0.1:{self.port}",
            "--quiet",
            "posix",
            "--sidecar",
            str(self._directory / "side"),
            str(self._directory / "objects"),
        ]
        with (self._directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        limit = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > limit:
                    text = (self._directory / "server.log").read_text()
                    raise S3Unavailable(f"versitygw does not start: {text[-2_000:]}") from error
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """Ends it without a word, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def settings(
        self,
        prefix: str,
        *,
        port: int | None = None,
        secret: str = SECRET_KEY,
        patience_s: float | None = None,
    ) -> S3Settings:
        """How a store reaches it, directly or by another port; impatient unless told."""
        return S3Settings(
            bucket=BUCKET,
            prefix=prefix,
            endpoint=f"http://127.0.0.1:{port or self.port}",
            region="us-east-1",
            access_key=ACCESS_KEY,
            secret_key=secret,
            timeout_s=patience_s or 5.0,
            retry_s=patience_s or 3.0,
        )
