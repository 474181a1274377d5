"""How the process's memory allocator treats blocks that were needed for a moment."""

import asyncio
import ctypes
import platform

import pyarrow as pa

# From glibc's malloc.h.
_M_ARENA_MAX = -8
_ARENAS = 2
_TRIM_INTERVAL_S = 1.0


def bound_idle_memory() -> None:
    """Keeps the memory that threads hold on to after use small. Before threads start.

    glibc gives each thread an arena of its own, and the chunks that subscribers, sealing and
    compaction need for a moment leave holes in all of them; Arrow's own pool keeps such blocks too.
    docs/findings.md has the figures. Elsewhere than on glibc only Arrow's part is done.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    if _is_glibc():
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


async def keep_trimmed() -> None:
    """Gives free pages in the middle of the heap back every second, until cancelled."""
    if not _is_glibc():
        return
    loop = asyncio.get_running_loop()
    trim = ctypes.CDLL(None).malloc_trim  # lets go of the interpreter lock
    while True:
        await asyncio.sleep(_TRIM_INTERVAL_S)
        await loop.run_in_executor(None, trim, 0)


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
