"""What sinks that write files share: what errors of the system mean, and a directory on trial."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from cachesvc.sync.errors import SyncError, TargetFailed, TargetUnavailable
from cachesvc.sync.sink import Check

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PASSING = {errno.EIO, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENOMEM}


def target_error(error: OSError, path: Path | str) -> SyncError:
    """What an error of the system means for the task; a full disk may have room again."""
    why = f"{path}: {error.strerror or error}"
    if error.errno in _FULL:
        return TargetUnavailable(f"no room at {why}", reason="TARGET_FULL")
    if error.errno in _PASSING:
        return TargetUnavailable(f"cannot write {why}")
    return TargetFailed(f"cannot write {why}", reason="TARGET_NOT_WRITABLE")


@contextmanager
def telling(path: Path | str) -> Iterator[None]:
    """Raises errors of the system as those of the target."""
    try:
        yield
    except OSError as error:
        raise target_error(error, path) from error


def sync_directory(path: Path) -> None:
    """Makes names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(descriptor: int, data: bytes | memoryview) -> None:
    """Writes all of it, in as many calls as it takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def lock(descriptor: int, path: Path) -> None:
    """Keeps a file for this process, as long as the descriptor is open."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise TargetUnavailable(f"another process writes {path}", reason="TARGET_LOCKED") from error


def check_directory(path: Path) -> list[Check]:
    """Tries to write into a directory, or into the one that it would be made in."""
    existing = path
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    where = f"{path}" if existing == path else f"{existing}, where {path} is going to be made"
    trial = existing / f".cachesvc-check-{uuid4().hex}"
    try:
        descriptor = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            write_whole(descriptor, b"\0" * 4096)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            trial.unlink()
    except OSError as error:
        hint = "Give a directory that this user may write into and that has room."
        return [Check("write", False, str(target_error(error, where)), hint)]
    free = os.statvfs(existing)
    mib = free.f_bavail * free.f_frsize / (1 << 20)
    return [Check("write", True, f"a file was written to {where}; {mib:,.0f} MiB are free")]
