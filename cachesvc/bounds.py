"""What a process beside the service is held to: by the system, and by DuckDB within it."""

import os
import resource
from contextlib import suppress
from pathlib import Path

import duckdb
from msgspec import Struct

_HEADROOM_BYTES = 768 << 20
"""For the interpreter, Arrow, threads' stacks and what DuckDB does not count."""
_NICENESS = 10
_CPU_HEADROOM_S = 5

ENVIRONMENT = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "VIRTUAL_ENV")
"""What such a process is given of the service's environment; secrets are in the rest."""
MEMORY_POOL = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Arrow's others reserve a gigabyte at once, which counts against the bound of the process."""


class Bounds(Struct, frozen=True):
    """What a process may take.

    Attributes:
        memory_bytes_max: Of DuckDB's memory.
        spill_bytes_max: Of temporary files, for what does not fit in memory; 0: none.
        threads: That work on it.
        time_s_max: Until it has to be done.
    """

    memory_bytes_max: int
    spill_bytes_max: int
    threads: int
    time_s_max: float


def environment() -> dict[str, str]:
    """Of such a process."""
    return MEMORY_POOL | {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}


def bound_process(bounds: Bounds, file_bytes_max: int | None = None) -> None:
    """Bounds this process for good, has it give way to others, and be the first to go.

    Args:
        bounds: What it may take.
        file_bytes_max: Of each file that it writes; None: as many as of temporary ones.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_DATA, bounds.memory_bytes_max + _HEADROOM_BYTES)
    _limit(
        resource.RLIMIT_FSIZE, bounds.spill_bytes_max if file_bytes_max is None else file_bytes_max
    )
    _limit(resource.RLIMIT_CPU, int(bounds.time_s_max * bounds.threads) + _CPU_HEADROOM_S)
    os.nice(_NICENESS)
    with suppress(OSError):  # where there is no /proc
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def open_duckdb(bounds: Bounds, spill: str) -> "duckdb.DuckDBPyConnection":
    """A DuckDB in memory, bounded, that loads nothing from anywhere.

    Args:
        bounds: Its own.
        spill: The directory of its temporary files.
    """
    return duckdb.connect(
        ":memory:",
        config={
            "threads": bounds.threads,
            "memory_limit": f"{bounds.memory_bytes_max}B",
            "temp_directory": spill if bounds.spill_bytes_max else "",
            "max_temp_directory_size": f"{bounds.spill_bytes_max}B",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_unsigned_extensions": False,
            "python_enable_replacements": False,
        },
    )


def _limit(kind: int, wanted: int) -> None:
    _, hard = resource.getrlimit(kind)
    bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (bound, bound))
