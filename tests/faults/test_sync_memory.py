"""A sync task's memory is bounded by its batches, not by how slow its sink is, nor by what waits.

The bound: what it has when it is idle, a part that no setting makes larger (code that is loaded
with the first records, and what its client holds ahead), and the two deliveries that it may have,
with some room. As in test_memory, allocators are told to give back what is freed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.faults.stage import Calls, eventually, objects
from tests.faults.test_memory import ALLOCATORS, MIB
from tests.support.kafka_broker import KafkaBroker
from tests.support.process_memory import Resident, peak_of
from tests.support.service import ServiceProcess
from tests.support.sync_process import SyncProcess
from tests.support.topics import create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]

RECORDS = 20_000
RECORD_BYTES = 8_000
BACKLOG_BYTES = RECORDS * RECORD_BYTES
SIZES = (MIB, 16 * MIB)
DELIVERIES = 6
"""After so many a task has long been full."""
FIXED_BYTES = 52 * MIB
ROOM = 3
"""Times a delivery's bound: two of them, and what is cut off them."""


@pytest.fixture(autouse=True)
def _allocators(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ALLOCATORS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("shared_max", [0, 128 * MIB], ids=["messages", "shared"])
def test_a_slow_sink_behind_a_long_backlog_takes_a_few_deliveries_of_memory(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path, shared_max: int
) -> None:
    topic = topic_name("backlog")
    create_topic(kafka.bootstrap, topic)
    settings = {"server": {"shared_memory_bytes_max": shared_max}}
    with (
        ServiceProcess(tmp_path / "service", kafka.bootstrap, settings) as service,
        Calls(service.address) as calls,
        _slow(tmp_path / "small", service, topic, SIZES[0]) as small,
        _slow(tmp_path / "large", service, topic, SIZES[1]) as large,
    ):
        tasks = (small, large)
        for task in tasks:
            eventually(partial(_runs, task), "the task to run")
        idle = [Resident.of(task.pid) for task in tasks]
        with peak_of(small.pid) as of_small, peak_of(large.pid) as of_large:
            produce(kafka.bootstrap, topic, objects(0, RECORDS, size=RECORD_BYTES))
            eventually(lambda: calls.offsets(topic)[0].log_end_offset == RECORDS, "all to be mined")
            for task in tasks:
                eventually(partial(_is_full, task), "enough deliveries")
    for size, before, peak in zip(SIZES, idle, (of_small, of_large), strict=True):
        grown = peak.own - before.own
        print(
            f"deliveries of {size / MIB:.0f} MiB of {BACKLOG_BYTES / MIB:.0f}: "
            f"idle {before.own / MIB:.1f} MiB, at most {grown / MIB:.1f} more, and "
            f"{peak.shared / MIB:.1f} seen of the service's"
        )
        assert grown <= FIXED_BYTES + ROOM * size
        # A stream keeps half of what the service shares at most.
        assert peak.shared <= shared_max / 2
    assert FIXED_BYTES + ROOM * SIZES[-1] < BACKLOG_BYTES, "else this says nothing"


def _slow(directory: Path, service: ServiceProcess, topic: str, bytes_max: int) -> SyncProcess:
    tables: dict[str, dict[str, Any]] = {
        "": {"name": directory.name},
        "sink": {"pause_s": 0.4},
        "batch": {"bytes_max": bytes_max, "records_max": 1_000_000, "wait_s_max": 1},
    }
    return SyncProcess(directory, service.address, topic, tables)


def _runs(task: SyncProcess) -> bool:
    return task.state == "running"


def _is_full(task: SyncProcess) -> bool:
    found = task.status()
    return found is not None and found.deliveries >= DELIVERIES
