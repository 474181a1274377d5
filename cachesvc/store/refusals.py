"""What it means where the system refuses to open, read or write a file of the store."""

import errno
import resource
from pathlib import Path

from cachesvc.errors import StoreUnreadable, StoreUnwritable


def unwritable(what: str, error: OSError | StoreUnwritable) -> StoreUnwritable:
    """The error of an append that failed.

    Args:
        what: Where it failed, to begin the message with.
        error: How.
    """
    text = f"{what}: cannot write to the journal: "
    if _is_out_of_descriptors(error):
        return StoreUnwritable(text + exhausted(descriptor_limit()), reason="OUT_OF_DESCRIPTORS")
    return StoreUnwritable(f"{text}{error}")


def unreadable(path: Path, error: OSError) -> StoreUnreadable:
    """The error of a file that cannot be read."""
    text, where = f"{path} cannot be read: ", {"path": path}
    if _is_out_of_descriptors(error):
        text += exhausted(descriptor_limit())
        return StoreUnreadable(text, reason="OUT_OF_DESCRIPTORS", metadata=where)
    return StoreUnreadable(f"{text}{error.strerror or error}; try again", metadata=where)


def _is_out_of_descriptors(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def descriptor_limit() -> int:
    """How many descriptors the process may have open: its soft limit."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def exhausted(limit: int) -> str:
    """What is wrong where there are no more descriptors, and what to do."""
    return (
        f"the process has no more file descriptors: its limit (RLIMIT_NOFILE) is {limit:,}; start "
        "it with a higher one (LimitNOFILE= of a systemd unit, ulimit -n of a shell)"
    )
