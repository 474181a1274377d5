"""What the system itself holds the process of a query to."""

import os
import resource
from contextlib import suppress
from pathlib import Path

from cachesvc.sql.messages import Bounds

_HEADROOM_BYTES = 768 << 20
"""For the interpreter, Arrow, threads' stacks and what DuckDB does not count."""
_NICENESS = 10
_CPU_HEADROOM_S = 5


def bound_process(bounds: Bounds) -> None:
    """Bounds this process for good, has it give way to others, and be the first to go."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_DATA, bounds.memory_bytes_max + _HEADROOM_BYTES)
    _limit(resource.RLIMIT_FSIZE, bounds.spill_bytes_max)
    _limit(resource.RLIMIT_CPU, int(bounds.time_s_max * bounds.threads) + _CPU_HEADROOM_S)
    os.nice(_NICENESS)
    with suppress(OSError):  # where there is no /proc
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _limit(kind: int, wanted: int) -> None:
    _, hard = resource.getrlimit(kind)
    bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (bound, bound))
