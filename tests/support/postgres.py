"""A real PostgreSQL for tests and benchmarks: started, stopped, killed, started again."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import psycopg

from tests.support.java_process import JavaProcess
from tests.support.ports import HOST, free_ports

USER = "cachesvc"
PASSWORD = "open-sesame-9412"
_DEBIAN = Path("/usr/lib/postgresql")
_READY_S = 60.0
_OUTPUT = "postgres.log"
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "50",
    "log_min_error_statement": "panic",
    "max_wal_size": "4GB",
}


class PostgresUnavailable(RuntimeError):
    """No PostgreSQL can run here; the message says what to install."""


class PostgresServer:
    """One server with a database of its own, in a temporary directory.

    It listens on 127.0.0.1 alone, on the same port over restarts, wants the password, and dies
    with the process that started it. PostgreSQL refuses root, so for root it runs as another user.

    Args:
        settings: More of postgresql.conf.
    """

    def __init__(self, settings: dict[str, str] | None = None) -> None:
        self._programs = programs()
        self._directory = Path(tempfile.mkdtemp(prefix="cachesvc-postgres-"))
        self._data = self._directory / "data"
        (self.port,) = free_ports(1)
        self._settings = {**_SETTINGS, "port": str(self.port), **(settings or {})}
        # Not its nature, but what has to be done with it is the same.
        self._process = JavaProcess(self._directory, _OUTPUT)

    @property
    def dsn(self) -> str:
        """How to connect, without the password."""
        return f"host={HOST} port={self.port} user={USER} dbname=postgres connect_timeout=10"

    @property
    def log(self) -> str:
        """What the server said."""
        return (self._directory / _OUTPUT).read_text(errors="replace")

    def start(self) -> Self:
        """Starts it, and waits until it answers; on the data of before if there are any."""
        if not self._data.exists():
            self._initialise()
        words = [word for item in self._settings.items() for word in ("-c", "=".join(item))]
        deadline = time.monotonic() + _READY_S
        command = self._as_user([str(self._programs / "postgres"), "-D", str(self._data), *words])
        while True:
            if not self._process.is_running:
                # Also after a kill, while the last of the processes before lets go of the memory.
                self._process.start(command)
            with contextlib.suppress(psycopg.OperationalError):
                self.connect().close()
                return self
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"PostgreSQL does not start:\n{self.log[-4000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """Ends every process of it with SIGKILL."""
        if self._process.pid is not None:
            everyone = psutil.Process(self._process.pid).children(recursive=True)
            self._process.kill()
            for each in everyone:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            psutil.wait_procs(everyone, timeout=20)

    def stop(self) -> None:
        """Ends it, with whoever is connected."""
        if self._process.pid is not None:
            os.kill(self._process.pid, 2)
            self._process.wait(30)
        self._process.kill()

    def connect(self, dbname: str = "postgres", **more: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection that commits every statement."""
        dsn = f"{self.dsn} password={PASSWORD}"
        return psycopg.connect(dsn, dbname=dbname, autocommit=True, **more)

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement, if it has any."""
        with self.connect() as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _initialise(self) -> None:
        password = self._directory / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            user = _other_user()
            for path in (self._directory, password):
                os.chown(path, user.pw_uid, user.pw_gid)
        options = ["-A", "scram-sha-256", "-U", USER, f"--pwfile={password}"]
        options += ["-E", "UTF8", "--locale=C", "--no-sync"]
        command = [str(self._programs / "initdb"), "-D", str(self._data), *options]
        done = subprocess.run(
            self._as_user(command), cwd=self._directory, capture_output=True, text=True, timeout=120
        )
        if done.returncode:
            raise AssertionError(f"initdb failed: {done.stdout}{done.stderr}")

    def _as_user(self, command: Sequence[str]) -> list[str]:
        if os.geteuid() != 0:
            return list(command)
        user = _other_user()
        identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        return ["setpriv", *identity, *command]


def programs() -> Path:
    """Where initdb and postgres are: Debian's newest, or those of the search path.

    Raises:
        PostgresUnavailable: There are none.
    """
    versions = sorted(_DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if versions:
        return versions[-1].parent
    found = shutil.which("postgres")
    if found is None:
        raise PostgresUnavailable("no PostgreSQL here (Debian: apt-get install postgresql)")
    return Path(found).resolve().parent


def missing_postgres() -> str | None:
    """What is missing to start a server here; None if nothing is."""
    try:
        programs()
        if os.geteuid() == 0:
            _other_user()
    except PostgresUnavailable as error:
        return str(error)
    return None


def _other_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresUnavailable("PostgreSQL refuses to run as root, and there is no other user")
