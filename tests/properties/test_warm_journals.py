"""Warm journals against a plain list of them."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.log.locations import JournalEntry
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.warm_journals import WarmJournals
from tests.support.frames import ORDERS

steps = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(1, 40), st.integers(0, 50)),
    max_size=200,
)


@given(st.integers(0, 200), steps)
def test_the_oldest_go_until_the_rest_fits(
    bytes_max: int, steps: list[tuple[int, int, int, int]]
) -> None:
    warm = WarmJournals(bytes_max)
    logs = [PartitionLog(ORDERS.topic_id.partition(number), 0) for number in range(4)]
    model: list[tuple[int, int, PartitionLog, JournalEntry]] = []
    for number, (what, which, size, created_ms) in enumerate(steps):
        log = logs[which]
        if what == 0:
            end = log.log_end_offset
            path = Path(f"{which}/{end}")
            entry = JournalEntry(path, end, end + 10, size, created_ms, sealed=True)
            log.log_end_offset = end + 10
            log.journals.append(entry)
            warm.add(log, entry)
            model.append((created_ms, number, log, entry))
        elif what == 1:
            log.log_start_offset = min(log.log_end_offset, log.log_start_offset + size)
            gone = [m for m in model if m[2] is log and m[3].end_offset <= log.log_start_offset]
            taken = warm.take_before_start(log)
            assert sorted(taken) == sorted(m[3].path for m in gone)
            model = [m for m in model if m not in gone]
            assert len(warm._oldest) <= 2 * len(model) + 64
        else:
            expected = []
            model.sort(key=lambda m: m[:2])
            while sum(m[3].bytes for m in model) > bytes_max:
                expected.append(model.pop(0)[3].path)
            assert warm.take_excess() == expected
        for each in logs:
            assert {e.path for e in each.journals} == {m[3].path for m in model if m[2] is each}
