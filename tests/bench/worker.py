"""The inside of a worker: a process that does what it is told, line by line.

A worker says `{"event": "ready"}` once everything is imported, then answers every line that it
reads, a JSON object with the name of an action and its arguments, with one line. It ends when
there is nothing more to read, also in the middle of an action: its owner is gone.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping

from tests.bench.digest import Json

Say = Callable[[str], None]
"""Tells the owner that something has happened before the action is over."""
Action = Callable[[Json, Say], Json]


def serve(actions: Mapping[str, Action]) -> None:
    """Work until standard input ends. Every answer holds `cpu_s`, all threads' time together."""
    jobs: queue.SimpleQueue[Json] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    _say("ready")
    while True:
        job = jobs.get()
        began = time.process_time()
        try:
            answer = actions[job["action"]](job, _say)
        except Exception:
            _write({"event": "failed", "error": traceback.format_exc()})
            continue
        _write({"event": "done", "cpu_s": time.process_time() - began, **answer})


def _read_jobs(jobs: queue.SimpleQueue[Json]) -> None:
    for line in sys.stdin:
        jobs.put(json.loads(line))
    os._exit(0)


def _say(event: str) -> None:
    _write({"event": event})


def _write(message: Json) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
