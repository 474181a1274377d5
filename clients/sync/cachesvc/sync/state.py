"""What a machine knows of its running tasks: a directory with a lock and a socket for each.

Only the user who runs the tasks can enter it. ``NAME.lock`` is held as long as a process runs the
task, so that two never run it at once; ``NAME.json`` is how it ended. A socket's path may have
about a hundred bytes, so it is named by a digest; where the directory's own path is too long for
that, sockets are in one of the user's below that for temporary files.
"""

import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from cachesvc.sync.errors import InvalidTask, SyncError
from cachesvc.sync.runner.progress import TaskStatus

VARIABLE = "CACHESVC_SYNC_STATE"
_SOCKET_PATH_BYTES_MAX = 100
_SHORTEST = Path("/tmp")


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
            InvalidTask: The path is too long for one, and the directory that is taken instead is
                somebody else's, or open to others.
        """
        path = self.path / f"{_digest(name.encode())}.sock"
        if _fits(path):
            return path
        within = (
            Path(f"cachesvc-sync-{os.getuid()}") / f"{_digest(os.fsencode(path.absolute()))}.sock"
        )
        path = Path(tempfile.gettempdir()) / within
        if not _fits(path):
            path = _SHORTEST / within
        _make_private(path.parent)
        return path

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

    def forget_end(self, name: str) -> None:
        """Keeps nothing of how a task ended before: one that is killed leaves no note."""
        (self.path / f"{name}.json").unlink(missing_ok=True)

    def end_of(self, name: str) -> TaskStatus | None:
        """How a task ended; None where that is not known."""
        try:
            return msgspec.json.decode((self.path / f"{name}.json").read_bytes(), type=TaskStatus)
        except (OSError, msgspec.DecodeError):
            return None

    def _lock_of(self, name: str) -> Path:
        return self.path / f"{name}.lock"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _SOCKET_PATH_BYTES_MAX


def _make_private(directory: Path) -> None:
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not ours or stat.S_IMODE(found.st_mode) & 0o077:
        raise InvalidTask(
            f"the state directory's path is too long for a socket, and {directory}, where that "
            "would be instead, is not of this user alone: remove it, set TMPDIR, or give a "
            "shorter --state"
        )
