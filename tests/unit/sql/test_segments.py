"""Whatever bit of a segment flips: what is read is right, or the reading fails."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import duckdb
import pyarrow as pa

from cachesvc.errors import DamagedFile
from cachesvc.sql.segments import open_segments
from tests.support.frames import full_frames, seal

_FLIPS = 60


def read(directory: Path) -> pa.Table:
    with duckdb.connect() as connection:
        connection.register("segments", open_segments(str(directory)))
        return connection.sql('from segments order by "offset"').to_arrow_table()


def test_no_flipped_bit_makes_a_wrong_record(tmp_path: Path) -> None:
    segment = seal(tmp_path / "store", full_frames(0, 2_000, 500))
    place = tmp_path / "view" / "incarnation=1" / "partition=7"
    place.mkdir(parents=True)
    file = place / Path(segment.path).name
    good = (tmp_path / "store" / segment.path).read_bytes()
    file.write_bytes(good)
    truth = read(tmp_path / "view")
    assert truth.column("offset").to_pylist() == list(range(2_000))
    assert set(truth.column("partition").to_pylist()) == {7}
    chance = random.Random(11)
    outcomes: Counter[str] = Counter()
    for _ in range(_FLIPS):
        damaged = bytearray(good)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        file.write_bytes(damaged)
        try:
            found = read(tmp_path / "view")
        except (duckdb.Error, DamagedFile):
            outcomes["told"] += 1
        else:
            assert found.equals(truth), "a wrong record"
            outcomes["harmless"] += 1
    assert outcomes["told"] > _FLIPS / 2, outcomes
