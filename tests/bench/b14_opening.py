"""B14O: opening a store of very many segments, and the memory that it takes."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath

import psutil

from cachesvc.model import PartitionId, Segment, TopicId, TopicIncarnation
from cachesvc.store import layout
from cachesvc.store.catalogue import DuckDBCatalogue
from cachesvc.store.ports import TopicEntry
from tests.bench.report import Figure, Side, Target, absolute, ratio
from tests.bench.service import CONNECTION, Service
from tests.bench.stage import Stage, in_turn
from tests.bench.written import write_one
from tests.support.ports import HOST, free_ports

SEGMENTS = 100_000
_FULL_RECORDS = 1_000_000
_PARTITIONS = 100
_FEW, _MANY = 10, 1_000
# File systems allow 65,000 names for a file, or fewer.
_LINKS_MAX = 10_000
_TOPIC = TopicId(CONNECTION, "flights", 1)
_SECONDS = Target("at most", 5.0, 1.0)
_MEMORY = Target("at most", 1.1, 1.0)


def measure(stage: Stage) -> list[Figure]:
    """Start a service on such stores again and again, and on an empty one."""
    records = stage.options.records
    segments = max(_PARTITIONS, min(SEGMENTS, SEGMENTS * records // _FULL_RECORDS))
    segments -= segments % _PARTITIONS
    # Nobody listens there, so that the source has no say in what is there.
    nowhere = f"{HOST}:{free_ports(1)[0]}"
    seconds: dict[int, list[float]] = {0: [], _FEW: [], _MANY: []}
    resident: dict[int, list[float]] = {0: [], _FEW: [], _MANY: []}
    services = {each: stage.service(f"b14o-{each}", bootstrap=nowhere) for each in seconds}
    for each in (_FEW, _MANY):
        stage.say(f"B14O: writing {segments:,} segments of {each:,} records")
        write_store(services[each].store, segments, each)

    def opened(each: int) -> None:
        took, size, found = _opened(services[each])
        expected = segments * each
        stage.check("B14O: records", found == expected, f"{found:,} instead of {expected:,}")
        seconds[each].append(took)
        resident[each].append(size)

    for run in stage.runs("B14O"):
        in_turn(run, lambda: opened(0), lambda: opened(_FEW), lambda: opened(_MANY))
    title = f"opening a store of {segments:,} segments"
    scaled = [f"scaled down: the target is for {SEGMENTS:,} segments"]
    notes = [] if segments == SEGMENTS else scaled
    many = Side(f"segments of {_MANY:,} records", "B", tuple(resident[_MANY]))
    few = Side(f"segments of {_FEW:,} records", "B", tuple(resident[_FEW]))
    start = Side("from the start of the process to its first answer", "s", tuple(seconds[_MANY]))
    empty = Side("likewise", "s", tuple(seconds[0]))
    return [
        absolute("B14o", title, start, _SECONDS, notes),
        absolute("B14oe", "opening an empty store", empty),
        ratio("B14om", "memory of the service on it, records", many, few, _MEMORY, notes),
        absolute("B14os", "memory of the service on it", many),
    ]


def write_store(store: Path, segments: int, records: int) -> None:
    """Make a store whose manifest has so many segments, each a file with so many records.

    The files of one size are links to a few, so what they hold fits only the first of each.
    """
    per_partition = segments // _PARTITIONS
    store.mkdir(parents=True)
    live: list[Segment] = []
    source = write_one(store, 0, records, records)
    for number in range(_PARTITIONS):
        partition = _TOPIC.partition(number)
        directory = store / layout.segment_directory(partition)
        directory.mkdir(parents=True, exist_ok=True)
        for index in range(per_partition):
            if live and len(live) % _LINKS_MAX == 0:
                source = write_one(store, 0, records, records)
            live.append(_linked(store, source, partition, index * records))
    starts = {_TOPIC.partition(number): 0 for number in range(_PARTITIONS)}
    now_ms = time.time_ns() // 1_000_000
    catalogue = DuckDBCatalogue(store / layout.CATALOGUE)
    try:
        catalogue.put_topics(TopicEntry([TopicIncarnation(_TOPIC)], starts), now_ms)
        catalogue.replace_segments([], live, now_ms)
    finally:
        catalogue.close()


def _linked(store: Path, source: Segment, partition: PartitionId, base: int) -> Segment:
    end = base + source.end_offset
    checksum = layout.footer_checksum(PurePosixPath(source.path).name)
    assert checksum is not None
    name = layout.data_file_name(layout.new_file_stem(base, end), checksum)
    path = layout.segment_directory(partition) / name
    os.link(store / source.path, store / path)
    now_ms = time.time_ns() // 1_000_000
    return replace(
        source,
        partition=partition,
        base_offset=base,
        end_offset=end,
        path=path.as_posix(),
        created_ms=now_ms,
        oldest_mined_ms=now_ms,
        newest_mined_ms=now_ms,
    )


def _opened(service: Service) -> tuple[float, float, int]:
    """Seconds to the first answer, resident bytes then, and the records that it knows."""
    began = time.perf_counter()
    service.start()
    took = time.perf_counter() - began
    try:
        size = psutil.Process(service.pid).memory_info().rss
        return took, float(size), service.held_records()
    finally:
        service.stop()
