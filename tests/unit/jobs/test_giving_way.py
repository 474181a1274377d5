"""Compaction leaves the processor to those who serve, by the nice value of its thread alone."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cachesvc.jobs.compact import Compact
from cachesvc.jobs.giving_way import give_way
from cachesvc.policy.retention import RetentionClock
from cachesvc.settings.jobs import CompactConfig
from cachesvc.subscriptions.retention import Retention
from tests.support.frames import ORDERS, full_frames, records, records_of
from tests.unit.log.running import append, ensure, read_all, roll, running

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has nice values of threads"),
    pytest.mark.skipif(os.getpriority(os.PRIO_PROCESS, 0) > 0, reason="the tests give way"),
]
_PARTITIONS = 3
_EAGER_CPU_S = 0.3


def _niceness() -> dict[str, int]:
    """Of every thread of this process."""
    return {
        thread.name: os.getpriority(os.PRIO_PROCESS, thread.native_id)
        for thread in threading.enumerate()
        if thread.native_id is not None
    }


def test_a_merge_runs_on_a_thread_that_gives_way_while_all_others_do_not(tmp_path: Path) -> None:
    found: list[dict[str, int]] = []

    async def run() -> None:
        async with running(tmp_path) as store:
            for number in range(_PARTITIONS):
                log = await ensure(store, ORDERS.topic_id.partition(number), 0)
                for begin in (0, 10):
                    await append(store, log, full_frames(begin, begin + 10, 5))
                    await roll(store, log)
            retention = Retention(RetentionClock.MINED, 259_200)
            compact = Compact(store, CompactConfig(segment_bytes_target=1 << 20), retention)
            counts = await compact.run(lambda *_: found.append(_niceness()))
            assert counts["segments_made"] == _PARTITIONS
            # Told before each merge: from the second one on there is the thread of the first.
            for each in found[1:_PARTITIONS]:
                polite = {name: each.pop(name) for name in list(each) if name.startswith("compact")}
                assert list(polite.values()) == [10]
                assert set(each.values()) == {0}
            assert len(found) == _PARTITIONS + 1
            for log in store.all():
                assert records_of(await read_all(store.reader, log, 0)) == records(0, 20)

    asyncio.run(run())


def test_who_gives_way_gets_the_smaller_part_of_a_core_that_others_want() -> None:
    core = {min(os.sched_getaffinity(0))}
    both, over = threading.Barrier(2, timeout=60), threading.Event()

    def work(prepare: Callable[[], None], cpu_s_max: float) -> float:
        """Processor time that is got until the other one has had what it wants."""
        os.sched_setaffinity(0, core)  # of this thread
        prepare()
        both.wait()
        began_s = time.thread_time()
        while not over.is_set() and time.thread_time() - began_s < cpu_s_max:
            hashlib.pbkdf2_hmac("sha256", b"work", b"without the interpreter's lock", 2_000)
        over.set()
        return time.thread_time() - began_s

    with ThreadPoolExecutor(2) as threads:
        polite = threads.submit(work, give_way, 60.0)
        eager = threads.submit(work, lambda: None, _EAGER_CPU_S)
        assert eager.result(60) >= _EAGER_CPU_S
        assert polite.result(60) < eager.result() / 2
