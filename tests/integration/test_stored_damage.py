"""G10 on stores elsewhere: random damage to their objects gives no wrong record and hides none.

Each round flips bits of some objects of a bucket or a directory, cuts them or deletes them, and
reads all: what is read is as it was appended, what is not is known to be missing, and mined again
all is whole. ``CACHESVC_DAMAGES`` says how many; the seed of every round is its number.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from cachesvc.errors import DamagedFile
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.store import parquet_file
from cachesvc.store.local_files import LocalFiles
from tests.integration.test_stores import Place, opened, s3_place, sealed, to_cold
from tests.support.frames import ORDERS, Record, flip_bit, full_frames, records, records_of
from tests.support.s3_server import S3Server
from tests.unit.log.running import append, read_all, until

DAMAGES = int(os.environ.get("CACHESVC_DAMAGES", "12"))
A_ROUND, OBJECTS, IN_EACH = 3, 4, 12


def _damage(path: Path, chance: random.Random) -> str:
    size = path.stat().st_size
    match chance.choice(["bit", "bit", "bit", "cut", "gone"]):
        case "bit":
            flip_bit(path, chance.randrange(8 * size))
            return "bit"
        case "cut":
            os.truncate(path, chance.randrange(size))
            return "cut"
        case gone:
            path.unlink()
            return gone


async def _whole(store: LogStore, log: PartitionLog) -> list[Record]:
    """The records of a range, with what is damaged there taken out as soon as it is come upon."""
    while True:
        begin = log.current.log_start_offset
        try:
            return records_of(await read_all(store.reader, log.current, begin))
        except DamagedFile:
            offset = begin
            while await _reads(store, log.current, offset):
                (*_, last) = await store.reader.read(log.current, offset)
                offset = last.end_offset
            assert await store.mend(log.current, offset)
            if log not in store.ranges.of(ORDERS):
                return []  # nothing of it was whole


async def _reads(store: LogStore, log: PartitionLog, offset: int) -> bool:
    try:
        await store.reader.read(log, offset)
    except DamagedFile:
        return False
    return True


async def _mine_again(store: LogStore) -> None:
    """As a reader does, until the ranges are one again."""
    while (missing := store.backfill.wanted(ORDERS)) is not None:
        lower = store.backfill.taking(ORDERS, missing.begin, missing.end)
        await append(store, lower, full_frames(missing.begin, missing.end, 5))

    def one() -> bool:
        store.tend()
        return not store.ranges.below(ORDERS) and not store.mending.damaged(ORDERS)

    await until(one, 60)


@pytest.mark.parametrize("kind", ["directory", "s3"])
def test_random_damage_gives_no_wrong_record_and_hides_none(
    kind: str, tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that of a damaged object something is whole.
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 4)
    done: Counter[str] = Counter()

    async def round_(seed: int) -> None:
        chance = random.Random(seed)
        root = tmp_path / str(seed)
        if kind == "s3":
            place = s3_place(s3_server, root)
        else:
            place = Place(LocalFiles(root / "elsewhere"), root / "elsewhere")
        end = OBJECTS * IN_EACH
        async with opened(root, place) as store:
            to_cold(store)
            for begin in range(0, end, IN_EACH):
                await sealed(store, begin, begin + IN_EACH)
            top = store.logs[ORDERS]
            for segment in chance.choices(top.segments, k=A_ROUND):
                path = place.root / segment.path
                if path.exists():
                    done[_damage(path, chance)] += 1
            seen: list[Record] = []
            before = -1
            while before != len(store.mending.damaged(ORDERS)):
                before = len(store.mending.damaged(ORDERS))
                seen = []
                for log in store.ranges.of(ORDERS):
                    if not log.blank:
                        seen += await _whole(store, log)
            missing = store.mending.damaged(ORDERS)
            lost = {at for part in missing for at in range(part.begin, part.end)}
            assert seen == [each for each in records(0, end) if each.offset not in lost]
            done["ranges mined again"] += len(missing)
            await _mine_again(store)
            assert store.ranges.of(ORDERS) == [top]
            assert records_of(await read_all(store.reader, top, 0)) == records(0, end)

    for seed in range(-(-DAMAGES // A_ROUND)):
        asyncio.run(round_(seed))
    print(dict(done))
