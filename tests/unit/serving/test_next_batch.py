"""What comes next for a cursor, as a client of the service takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cachesvc.client import Batch, incoming
from cachesvc.client.payload import ArrowPayload, ParquetPayload
from cachesvc.errors import DamagedFile
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.reading import FileBounds
from cachesvc.serving import filter_messages
from cachesvc.serving.batches import Batches
from cachesvc.serving.cursor import Cursor
from cachesvc.serving.forms import Form
from cachesvc.serving.next_batch import NextBatch
from cachesvc.serving.stream_settings import StreamSettings
from cachesvc.store import parquet_file, recoding
from cachesvc.subscriptions.subscriber import Subscriber
from cachesvc.v1 import log_cache_pb2 as pb
from cachesvc.watching.deliveries import Deliveries
from tests.support.frames import flip_bit, frame, full_frames, records, table_records
from tests.unit.log.running import append, filled, roll, running
from tests.unit.store.test_segment_damage import data_bytes

MIB = 1 << 20
ROWS = [*records(0, 20), *records(25, 47)]


@pytest.fixture(autouse=True)
def _small_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 12)
    monkeypatch.setattr(parquet_file, "FRAME_ROWS", 4)
    monkeypatch.setattr(recoding, "FRAME_ROWS", 4)


@dataclass
class Reading:
    """A log with [0, 40) in a segment of row groups that begin at 0, 12, 28, and [40, 47) not."""

    store: LogStore
    log: PartitionLog

    def next_batch(self, parquet_bytes_max: int = MIB, filter_text: str = "") -> NextBatch:
        request = pb.SubscribeRequest(filter_text=filter_text)
        settings = StreamSettings(
            Form.ARROW_LZ4,
            MIB,
            1.0,
            bounded=False,
            reduction=filter_messages.reduction(request),
            parquet_bytes_max=parquet_bytes_max,
        )
        batches = Batches(self.store.reader, MIB)
        return NextBatch(self.store.reader, batches, settings, Deliveries(), Subscriber(1))

    async def read(
        self, begin: int = 0, end: int | None = None, *, reading: NextBatch | None = None
    ) -> list[Batch]:
        """Everything from an offset on, as the client has it."""
        reading = reading or self.next_batch()
        cursor, found = Cursor(self.log, begin, end), []
        while not cursor.ended and (run := await reading.move_on(cursor)):
            reading.prefetch(cursor)
            response = await reading.response(cursor, run, snapshot=False)
            if response is not None:
                (batch,) = incoming.received(response.message)
                assert isinstance(batch, Batch)
                found.append(batch)
        return found


def play(tmp_path: Path, test: Callable[[Reading], Awaitable[None]]) -> None:
    async def run() -> None:
        async with running(tmp_path, memory_bytes_max=0) as store:
            frames = [*full_frames(0, 20, 3), frame(20, 25), *full_frames(25, 40, 5)]
            log = await filled(store, frames)
            await roll(store, log)
            log.journals.pop(0).path.unlink()
            await append(store, log, full_frames(40, 47, 4))
            await test(Reading(store, log))

    asyncio.run(run())


def as_files(batches: list[Batch]) -> list[int]:
    """Where the batches begin that are files; the others are Arrow."""
    assert all(isinstance(each.payload, ParquetPayload | ArrowPayload) for each in batches)
    return [each.base_offset for each in batches if isinstance(each.payload, ParquetPayload)]


def check(batches: list[Batch], begin: int, end: int) -> None:
    """Nothing is missing, nothing there twice, and positions follow each other."""
    found = [row for each in batches for row in table_records(each.to_arrow())]
    assert found == [row for row in ROWS if begin <= row.offset < end]
    at = begin
    for each in batches:
        assert at <= each.base_offset < each.next_position
        assert [record.offset for record in each] == each.offsets.tolist()
        at = each.next_position
    assert at == end


def test_row_groups_are_sent_as_they_lie_from_where_one_begins(tmp_path: Path) -> None:
    async def test(reading: Reading) -> None:
        for begin in range(41):
            batches = await reading.read(begin)
            check(batches, begin, 47)
            assert as_files(batches) == [at for at in (0, 12, 29) if at >= begin]

    play(tmp_path, test)


def test_what_reaches_beyond_the_end_is_cut(tmp_path: Path) -> None:
    async def test(reading: Reading) -> None:
        for end in range(40, 0, -1):  # what was decoded stays so
            batches = await reading.read(0, end)
            check(batches, 0, end)
            ends = {0: 12, 12: 29, 29: 40}
            assert as_files(batches) == [at for at, behind in ends.items() if behind <= end]

    play(tmp_path, test)


@pytest.mark.parametrize("bytes_max", [0, 100])
def test_who_takes_no_files_or_smaller_ones_gets_arrow(tmp_path: Path, bytes_max: int) -> None:
    async def test(reading: Reading) -> None:
        batches = await reading.read(reading=reading.next_batch(bytes_max))
        check(batches, 0, 47)
        assert as_files(batches) == []

    play(tmp_path, test)


def test_a_filter_has_the_service_decode(tmp_path: Path) -> None:
    async def test(reading: Reading) -> None:
        filtered = reading.next_batch(filter_text="value.id >= 14")
        batches = await reading.read(reading=filtered)
        found = [row for each in batches for row in table_records(each.to_arrow())]
        assert found == [row for row in ROWS if row.offset >= 14]
        assert as_files(batches) == []

    play(tmp_path, test)


def test_what_is_decoded_already_is_shared(tmp_path: Path) -> None:
    async def test(reading: Reading) -> None:
        check(await reading.read(14), 14, 47)  # the row group at 12 had to be decoded
        batches = await reading.read()
        check(batches, 0, 47)
        assert as_files(batches) == [0, 29]

    play(tmp_path, test)


def test_a_file_is_read_once_for_everybody(tmp_path: Path) -> None:
    async def test(reading: Reading) -> None:
        chunks = reading.store.reader.caches["chunks"]
        for found in await asyncio.gather(*(reading.read(0, 40) for _ in range(20))):
            assert as_files(found) == [0, 12, 29]
            check(found, 0, 40)
        assert chunks.misses == 3

    play(tmp_path, test)


def test_damage_is_found_before_it_is_sent(tmp_path: Path) -> None:
    """A row group that is not whole is left to the reader of frames, who tells."""

    async def test(reading: Reading) -> None:
        (segment,) = reading.log.segments
        path = reading.store.path / segment.path
        flip_bit(path, 8 * data_bytes(path)[0])
        reader, bounds = reading.store.reader, FileBounds(None, MIB)
        assert await reader.row_group(reading.log, 0, bounds) is None
        with pytest.raises(DamagedFile):
            await reading.read()
        assert await reader.row_group(reading.log, 12, bounds) is not None
        path.unlink()
        assert await reader.row_group(reading.log, 29, bounds) is None

    play(tmp_path, test)


def test_a_gap_is_not_sent_over(tmp_path: Path) -> None:
    async def test(reading: Reading) -> None:
        await reading.store.changes.lose(reading.log, 14, 15)
        reading_on = reading.next_batch()
        cursor = Cursor(reading.log, 12, None)
        assert cursor.next_gap == 14
        (part, *_) = await reading_on.move_on(cursor)
        assert (part.is_file, cursor.position) == (False, 14)

    play(tmp_path, test)
