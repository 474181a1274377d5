"""What the process takes of its machine."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from cachesvc.descriptors import descriptors_in_use

_STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process takes.

    Attributes:
        cpu_s: Seconds of CPU since it began, in all threads.
        resident_bytes: Its resident memory; 0 where the system does not tell.
        open_files: Its open file descriptors; 0 where the system does not tell.
    """

    cpu_s: float
    resident_bytes: int
    open_files: int


def process_usage() -> Usage:
    """What this process takes now. Takes some ten microseconds; no disk is asked."""
    return Usage(time.process_time(), _resident_bytes(), descriptors_in_use())


def _resident_bytes() -> int:
    try:
        pages = int(_STATM.read_bytes().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
