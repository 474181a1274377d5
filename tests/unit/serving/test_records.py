"""Records of a log for who looks at them, against the list that was appended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from cachesvc.clusters.sources import Sources
from cachesvc.errors import CacheError
from cachesvc.model import GapCause, LostRange
from cachesvc.serving.admin import records
from cachesvc.serving.admin.records import RecordAdmin
from cachesvc.serving.views import partition_offsets
from cachesvc.v1 import admin_pb2 as pb
from tests.support.frames import ORDERS, Record, frame
from tests.unit.clusters.lookups import FakeLookup, source
from tests.unit.log.running import append, filled, roll, running

Test = Callable[[RecordAdmin], Awaitable[None]]
# Every third offset is a hole.
OFFSETS = [offset for offset in range(600) if offset % 3]


def _frames(begin: int, end: int) -> list[Any]:
    return [
        frame(base, base + 100, [_record(at) for at in OFFSETS if base <= at < base + 100])
        for base in range(begin, end, 100)
    ]


def _record(offset: int) -> Record:
    return Record(offset, value=f'{{"n":{offset}}}', timestamp_ms=1_000 + offset)


def on_a_log(path: Path, test: Test) -> None:
    """Runs a test on 400 records: some in a segment, the others in a journal."""

    async def run() -> None:
        async with running(path) as store:
            log = await filled(store, _frames(0, 300))
            await roll(store, log)
            await append(store, log, _frames(300, 600))
            sources = Sources([source(FakeLookup(orders=2), ORDERS.connection)])
            await test(RecordAdmin(store, sources))

    asyncio.run(run())


async def listed(admin: RecordAdmin, **request: Any) -> tuple[list[int], int]:
    asked = pb.ListRecordsRequest(topic=ORDERS.topic, partition=ORDERS.partition, **request)
    answer = await admin.ListRecords(asked, cast(Any, None))
    assert (answer.first_offset, answer.log_end_offset) == (0, 600)
    for each in answer.records:
        assert each.record.value == b'{"n":%d}' % each.record.offset
        assert each.value_bytes == len(each.record.value)
    return [each.record.offset for each in answer.records], answer.next_offset


def test_every_page_of_every_size(tmp_path: Path) -> None:
    async def test(admin: RecordAdmin) -> None:
        for limit in (1, 7, 50, 399, 1_000):
            offset, found = 0, list[int]()
            while offset < 600:
                page, offset = await listed(admin, offset=offset, limit=limit)
                assert len(page) == min(limit, len(OFFSETS) - len(found))
                found += page
                if len(found) == len(OFFSETS):
                    break
            assert found == OFFSETS

    on_a_log(tmp_path, test)


def test_from_a_time_an_offset_or_the_newest(tmp_path: Path) -> None:
    async def test(admin: RecordAdmin) -> None:
        assert (await listed(admin, timestamp_ms=1_450, limit=2))[0] == [451, 452]
        assert (await listed(admin, timestamp_ms=0, limit=1))[0] == [1]
        assert await listed(admin, timestamp_ms=9_999) == ([], 600)
        assert (await listed(admin, offset=299, limit=2))[0] == [299, 301]
        assert await listed(admin, offset=600) == ([], 600)
        assert await listed(admin, offset=7_000) == ([], 7_000)
        newest, following = await listed(admin)
        assert (newest, following) == ([at for at in OFFSETS if at >= 550], 600)

    on_a_log(tmp_path, test)


def test_what_is_lost_is_passed_over(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, _frames(0, 100))
            log.lose(LostRange(100, 500, GapCause.STORE_DAMAGED))
            await append(store, log, [frame(100, 500), *_frames(500, 600)])
            sources = Sources([source(FakeLookup(orders=2), ORDERS.connection)])
            admin = RecordAdmin(store, sources)
            assert (await listed(admin, offset=150, limit=2))[0] == [500, 502]
            told = partition_offsets(log, store).lost
            assert [(each.begin_offset, each.end_offset) for each in told] == [(100, 500)]

    asyncio.run(run())


def test_what_is_long_is_cut_and_an_answer_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(admin: RecordAdmin) -> None:
        asked = pb.ListRecordsRequest(
            topic=ORDERS.topic, partition=ORDERS.partition, bytes_max=3, offset=100, limit=1
        )
        (found,) = (await admin.ListRecords(asked, cast(Any, None))).records
        assert (found.record.value, found.value_bytes) == (b'{"n', len(b'{"n":100}'))
        monkeypatch.setattr(records, "_ANSWER_BYTES_MAX", 200)
        page, following = await listed(admin, offset=0)
        assert 1 < len(page) < 50
        assert following == page[-1] + 1

    on_a_log(tmp_path, test)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"topic": "nothing"}, "UNKNOWN_TOPIC"),
        ({"topic": ORDERS.topic, "partition": 1}, "NOT_FOUND"),
        ({"topic": ORDERS.topic, "limit": 1_001}, "INVALID_ARGUMENT"),
        ({"topic": ORDERS.topic, "bytes_max": -1}, "INVALID_ARGUMENT"),
    ],
)
def test_what_is_refused(tmp_path: Path, request_: dict[str, Any], reason: str) -> None:
    async def test(admin: RecordAdmin) -> None:
        with pytest.raises(AttributeError, match="abort") as caught:
            await admin.ListRecords(pb.ListRecordsRequest(**request_), cast(Any, None))
        error = caught.value.__context__  # there is no context that could abort
        assert isinstance(error, CacheError) and error.reason == reason

    on_a_log(tmp_path, test)
