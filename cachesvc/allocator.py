"""How the process's memory allocator treats blocks that were needed for a moment."""

import ctypes
import platform

import pyarrow as pa

# From glibc's malloc.h.
_M_ARENA_MAX = -8
_ARENAS = 2


def bound_idle_memory() -> None:
    """Keeps the memory that threads hold on to after use small. Before threads start.

    glibc gives each thread an arena of its own, and the chunks that subscribers, sealing and
    compaction need for a moment leave holes in all of them; Arrow's own pool keeps such blocks too.
    docs/findings.md has the figures. Elsewhere than on glibc only Arrow's part is done.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
