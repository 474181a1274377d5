"""What is in the memory of another process: what a core dump would have of it, and how much."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CHUNK_BYTES = 16 << 20
_SAMPLE_S = 0.02


@dataclass
class Resident:
    """Resident bytes of a process.

    Attributes:
        own: What nobody else has.
        shared: Of memory that it shares with others; files are not counted.
    """

    own: int = 0
    shared: int = 0

    @classmethod
    def of(cls, pid: int) -> Resident:
        """How much it is now."""
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return cls(*(int(fields[f"Rss{kind}"].split()[0]) << 10 for kind in ("Anon", "Shmem")))


@contextmanager
def peak_of(pid: int) -> Iterator[Resident]:
    """The most of each so far, until it is left; the process has to live so long."""
    peak, stop = Resident.of(pid), threading.Event()

    def watch() -> None:
        while not stop.wait(_SAMPLE_S):
            now = Resident.of(pid)
            peak.own, peak.shared = max(peak.own, now.own), max(peak.shared, now.shared)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def in_memory(pid: int, wanted: bytes) -> bool:
    """Whether bytes are anywhere in what a process may write to."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for begin, end in _writable(pid):
            tail = b""
            for at in range(begin, end, _CHUNK_BYTES):
                try:
                    memory.seek(at)
                    data = tail + memory.read(min(_CHUNK_BYTES, end - at))
                except OSError:  # gone meanwhile, or not to be read
                    break
                if wanted in data:
                    return True
                tail = data[-len(wanted) :]
    return False


def _writable(pid: int) -> list[tuple[int, int]]:
    found = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        extent, rights, *_ = line.split()
        if rights.startswith("rw"):
            begin, _, end = extent.partition("-")
            found.append((int(begin, 16), int(end, 16)))
    return found
