"""How many file descriptors the process may use, and how many it does."""

import contextlib
import os
import resource

from cachesvc.store.open_files import OPEN_FILES_MAX
from cachesvc.store.refusals import descriptor_limit

# Of all descriptors those for journals that are written; the rest is for connections, for reading
# and for building segments.
_JOURNALS_SHARE = 4
_CONNECTIONS_SHARE = 2


def raise_descriptor_limit() -> int:
    """Raises the soft limit to the hard one and returns it. Child processes inherit it.

    The soft limit is low (1,024 in many services and containers) for programs that use ``select``;
    the hard one is what the administrator allows.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Some systems name a hard limit that they do not grant.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return descriptor_limit()


def journal_descriptors() -> int:
    """How many journals may be open at a time."""
    return max(1, min(OPEN_FILES_MAX, descriptor_limit() // _JOURNALS_SHARE))


def connection_descriptors() -> int:
    """How many connections each listener may have at a time, unless the settings say."""
    return max(16, descriptor_limit() // _CONNECTIONS_SHARE)


def descriptors_in_use() -> int:
    """How many the process has open now; 0 where the system does not tell."""
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return 0
