"""Where those of a machine find the service of a store: Unix sockets of its owner's."""

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from cachesvc.errors import PreconditionFailed

_PATH_MAX = 100
"""Bytes; the kernel takes 107, of a `sockaddr_un` with 108."""
_SHORTEST = Path("/tmp")
_SERVICE = "service"
PAGES = "pages"
"""What the page in the browser calls on."""


def socket_path(store: Path, name: str = _SERVICE) -> Path:
    """A Unix socket of a store's service: in the store, unless the path is too long for one.

    Then it is in a directory of the user's, below that for temporary files or below ``/tmp``.

    Raises:
        PreconditionFailed: That directory is somebody else's, or open to others.
    """
    path = store.resolve() / f"{name}.sock"
    if _fits(path):
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    within = Path(f"cachesvc-{os.getuid()}") / f"{digest}.sock"
    path = Path(tempfile.gettempdir()) / within
    if not _fits(path):
        path = _SHORTEST / within
    _make_private(path.parent)
    return path


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _PATH_MAX


def _make_private(directory: Path) -> None:
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not ours or stat.S_IMODE(found.st_mode) & 0o077:
        raise PreconditionFailed(
            f"the store's path is too long for a Unix socket, and {directory}, where it would be "
            "instead, is not a directory of this user alone: remove it, or set TMPDIR",
            reason="SOCKET_DIRECTORY_UNSAFE",
            metadata={"directory": str(directory)},
        )
