"""What is in the memory of another process: what a core dump would have of it."""

from __future__ import annotations

from pathlib import Path

_CHUNK_BYTES = 16 << 20


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
