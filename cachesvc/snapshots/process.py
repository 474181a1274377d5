"""The process that makes one snapshot: ``python -m cachesvc.snapshots.process``.

``SnapshotMaker`` starts it. It ends at once when its input does, which is when the service wants
the snapshot no more, or is gone. What it has written by then nobody names: the sweep takes it.
"""

import os
import sys
import threading
import time
from contextlib import suppress
from typing import BinaryIO

import duckdb
import pyarrow as pa

from cachesvc.arrow_alone import keep_pandas_out
from cachesvc.bounds import bound_process
from cachesvc.errors import DamagedFile
from cachesvc.snapshots import order as messages
from cachesvc.snapshots.making import make_snapshot
from cachesvc.snapshots.order import Answer, Failed, Made, Step

_FILE_BYTES_MAX = 1 << 40
_TELL_S = 0.2
_WORDS_MAX = 800


def main() -> None:
    """Makes one snapshot, and ends the process."""
    keep_pandas_out()
    # Whatever a library prints must not get between the answers.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        answer: Answer = _make(sys.stdin.buffer, output)
    except BaseException as error:
        answer = _failure(error)
    with suppress(BrokenPipeError):
        _tell(output, answer)
    # DuckDB's own end would wait for what nobody wants any more.
    os._exit(0)


def _make(source: BinaryIO, output: BinaryIO) -> Made:
    task = messages.decode_task(source.readline())
    bound_process(task.bounds, _FILE_BYTES_MAX)
    pa.set_cpu_count(task.bounds.threads)
    threading.Thread(target=_end_with, args=(source,), daemon=True).start()
    told_s = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal told_s
        now_s = time.monotonic()
        if now_s - told_s > _TELL_S:
            told_s = now_s
            _tell(output, Step(done, total))

    made = make_snapshot(task.order, task.bounds, task.spill, progress)
    file = made.file
    return Made(
        file.path,
        file.record_count,
        file.bytes,
        file.min_timestamp_ms,
        file.max_timestamp_ms,
        made.read_count,
    )


def _tell(output: BinaryIO, answer: Answer) -> None:
    output.write(messages.encode(answer) + b"\n")
    output.flush()


def _end_with(source: BinaryIO) -> None:
    source.read(1)
    os._exit(1)


def _failure(error: BaseException) -> Failed:
    words = str(error).split("\n\nPossible solutions")[0].strip()[:_WORDS_MAX]
    words = words or type(error).__name__
    if isinstance(error, DamagedFile):
        return Failed("DAMAGED_FILE", str(error))
    if isinstance(error, FileNotFoundError):
        return Failed("FILE_GONE", str(error))
    if isinstance(error, duckdb.OutOfMemoryException | MemoryError | pa.ArrowMemoryError):
        return Failed("MEMORY_MAX", words)
    if isinstance(error, OSError | duckdb.IOException):
        return Failed("UNWRITABLE", words)
    return Failed("INTERNAL", f"{type(error).__name__}: {words}")


if __name__ == "__main__":
    main()
