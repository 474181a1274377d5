"""One step of a store on a disk that becomes read-only: ``python -m … STEP DIRECTORY WHILE``.

Runs with ``tests/support/read_only.c`` preloaded, which refuses writes below the directory while
the file ``WHILE`` is there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cachesvc.model import LOCAL_STORE
from cachesvc.store.memory_files import MemoryFiles
from tests.faults.test_no_room_at_each_step import READ_ONLY, STEPS, try_step
from tests.faults.test_no_room_for_repairs import TRIED, try_it


def main() -> None:
    """Fails as an assertion does."""
    step, own, trigger = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])

    @contextmanager
    def read_only() -> Iterator[None]:
        trigger.touch()
        try:
            yield
        finally:
            trigger.unlink()

    if step in TRIED:
        own.mkdir()
        try_it(step, own, read_only, READ_ONLY)
        return
    place = "cold" if step == "move" else LOCAL_STORE
    try_step(STEPS[step], own, MemoryFiles(), place, read_only, words=READ_ONLY)


if __name__ == "__main__":
    main()
