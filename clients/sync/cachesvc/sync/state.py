"""What a machine knows of its running tasks: a directory with a lock and a socket for each.

Only the user who runs the tasks can enter it. ``NAME.lock`` is held as long as a process runs the
task, so that two never run it at once; ``NAME.json`` is how it ended. A socket's path may have
about a hundred bytes, so it is named by a digest.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cachesvc.sync.errors import InvalidTask, SyncError
from cachesvc.sync.runner.progress import TaskStatus

VARIABLE = "CACHESVC_SYNC_STATE"
_SOCKET_PATH_BYTES_MAX = 100


class AlreadyRuns(SyncError):
    """Another process of this machine runs the task."""

    default_reason = "ALREADY_RUNS"


def default_directory() -> Path:
    """``CACHESVC_SYNC_STATE``, else ``cachesvc-sync`` where the user's programs keep state."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given)
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "cachesvc-sync"


class StateDirectory:
    """The directory. Nothing is made before something is written.

    Args:
        path: Of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def socket_of(self, name: str) -> Path:
        """Where a running task listens.

        Raises:
            InvalidTask: The path would be longer than those of sockets may be.
        """
        found = self.path / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.sock"
        if len(os.fsencode(found)) > _SOCKET_PATH_BYTES_MAX:
            raise InvalidTask(f"{self.path}: too long for a socket; give a shorter one (--state)")
        return found

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Keeps other processes from running the task.

        Raises:
            AlreadyRuns: One does.
            InvalidTask: The directory cannot be made or written.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._lock_of(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise InvalidTask(f"{self.path}: cannot be used for state: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise AlreadyRuns(
                f"task {name} runs in another process of this machine; `cachesvc-sync status` "
                "shows it, `cachesvc-sync stop` ends it"
            ) from error
        try:
            yield
        finally:
            os.close(descriptor)

    def runs(self, name: str) -> bool:
        """Whether a process of this machine runs the task."""
        try:
            descriptor = os.open(self._lock_of(name), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def names(self) -> list[str]:
        """Every task that ran or runs here, by name."""
        return sorted(path.name.removesuffix(".lock") for path in self.path.glob("*.lock"))

    def note_end(self, status: TaskStatus) -> None:
        """Keeps how a task ended."""
        path = self.path / f"{status.name}.json"
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(status))
        new.rename(path)

    def end_of(self, name: str) -> TaskStatus | None:
        """How a task ended; None where that is not known."""
        try:
            return msgspec.json.decode((self.path / f"{name}.json").read_bytes(), type=TaskStatus)
        except (OSError, msgspec.DecodeError):
            return None

    def _lock_of(self, name: str) -> Path:
        return self.path / f"{name}.lock"
