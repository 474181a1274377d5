"""G8 for compaction: a merge takes the memory of a few row groups, however long a partition is.

In a whole service, with its allocator as it sets that: what is given back late counts as well.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from cachesvc.model import PartitionId
from tests.faults.stage import Calls
from tests.support.frames import Record, frame
from tests.support.ports import free_ports
from tests.support.process_memory import Resident, peak_of
from tests.support.service import ServiceProcess
from tests.unit.log.running import append, ensure, roll, running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

MIB = 1 << 20
VALUE_BYTES, FRAME_ROWS, SEGMENT_FRAMES = 4 << 10, 500, 24
SEGMENT_BYTES = VALUE_BYTES * FRAME_ROWS * SEGMENT_FRAMES
"""Of values, of which a row group has 16 MiB."""
SHORT, LONG = 2, 12
BOUND_BYTES = 256 * MIB
"""Row groups that are read and put together, their columns encoded, and what allocators keep."""
MORE_BYTES = 64 * MIB
"""For a longer partition; its values have 400 MiB more."""
ORDERS = PartitionId("default", "orders", 1, 0)
SETTINGS: dict[str, dict[str, object]] = {
    "store": {"memory_bytes_max": 65_536, "chunk_cache_bytes_max": 65_536, "warm_bytes_max": 0},
    "jobs.compact": {"interval_s": 86_400},
}
_TEXTS = [(f"{number} " * VALUE_BYTES)[:VALUE_BYTES] for number in range(97)]
"""That become small on disk, so that there is time for many."""


def _rows(begin: int, end: int) -> list[Record]:
    return [
        Record(at, f'{{"id":{at},"text":"{_TEXTS[at % len(_TEXTS)]}"}}') for at in range(begin, end)
    ]


async def _mined(store: Path, segments: int) -> None:
    async with running(store, warm_bytes_max=0, memory_bytes_max=0) as opened:
        log = await ensure(opened, ORDERS, 0)
        for _ in range(segments):
            for _ in range(SEGMENT_FRAMES):
                base = log.log_end_offset
                rows = _rows(base, base + FRAME_ROWS)
                await append(opened, log, [frame(base, base + FRAME_ROWS, rows)])
            await roll(opened, log)


@contextmanager
def _serving(directory: Path, segments: int) -> Iterator[tuple[ServiceProcess, Calls]]:
    """A service with so many segments of one partition, and no broker."""
    (port,) = free_ports(1)
    service = ServiceProcess(directory, f"127.0.0.1:{port}", SETTINGS)
    asyncio.run(_mined(service.store, segments))
    with service, Calls(service.address) as calls:
        assert len(calls.segments(ORDERS.topic)) == segments
        yield service, calls


def _grown(directory: Path, segments: int) -> int:
    """By how much a service grows while it merges so many segments."""
    with _serving(directory, segments) as (service, calls):
        before = Resident.of(service.pid).own
        with peak_of(service.pid) as peak:
            assert calls.run_job("compact")["segments_merged"] == segments
        (merged,) = calls.segments(ORDERS.topic)
        assert merged.record_count == segments * SEGMENT_FRAMES * FRAME_ROWS
        return peak.own - before


def test_a_merge_takes_no_more_memory_for_a_longer_partition(tmp_path: Path) -> None:
    grown = {segments: _grown(tmp_path / str(segments), segments) for segments in (SHORT, LONG)}
    values = {segments: segments * SEGMENT_BYTES // MIB for segments in grown}
    print({values[segments]: f"{by / MIB:.0f} MiB more" for segments, by in grown.items()})
    assert grown[LONG] <= BOUND_BYTES, grown
    assert grown[LONG] - grown[SHORT] <= MORE_BYTES, grown


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no nice values of their own here")
def test_the_thread_that_merges_gives_way_to_all_others(tmp_path: Path) -> None:
    with _serving(tmp_path, SHORT) as (service, calls):
        usual = os.getpriority(os.PRIO_PROCESS, service.pid)
        assert set(_nice(service)) == {usual}
        merging = threading.Thread(target=calls.run_job, args=("compact",))
        merging.start()
        seen: set[tuple[int, ...]] = set()
        while merging.is_alive():
            seen.add(tuple(each for each in _nice(service) if each != usual))
            assert os.getpriority(os.PRIO_PROCESS, service.pid) == usual
        merging.join()
        assert len(calls.segments(ORDERS.topic)) == 1
        assert max(map(len, seen)) == 1, "the one that merges"
        assert all(each > usual for merges in seen for each in merges)


def _nice(service: ServiceProcess) -> list[int]:
    """Of each thread of a service."""
    found = []
    for thread in Path(f"/proc/{service.pid}/task").iterdir():
        with suppress(ProcessLookupError):
            found.append(os.getpriority(os.PRIO_PROCESS, int(thread.name)))
    return found
