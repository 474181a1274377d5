"""Spark reads the files of a store as its format's document says: sealed, merged and older ones."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cachesvc.jobs.compact import Compact
from cachesvc.policy.retention import RetentionClock
from cachesvc.settings.jobs import CompactConfig
from cachesvc.subscriptions.retention import Retention
from tests.environments.environment import ROOT, UV, run
from tests.support.frames import ORDERS, Record, frame, record_batch
from tests.unit.log.running import append, ensure, roll, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("spark"),
    pytest.mark.skipif(shutil.which("java") is None, reason="no Java here, which Spark needs"),
]
_DOCUMENT = ROOT / "docs" / "store-format.md"
_ENVIRONMENTS = ROOT / ".cache" / "spark"
_READS = Path(__file__).with_name("reads_with_spark.py")
_INSTALL_S, _READ_S = 600.0, 120.0
# One of those that are in use. CACHESVC_SPARK="3.3.4 4.3.0" tries others beside it: the first minor
# release that reads all encodings, which is for Python to 3.11, and one whose vectorized reader
# reads them too. Each is 300 MB to fetch.
_VERSIONS = ("3.5.6", *os.environ.get("CACHESVC_SPARK", "").split())
_SETTING = 'spark.conf.set("spark.sql.parquet.enableVectorizedReader", "false")\n'
# More than Spark reads at a time.
_RECORDS, _SEGMENTS = 6_000, 6


def _python(version: str) -> Path:
    """An interpreter that has this release of Spark; installed once, into the tests' cache."""
    directory = _ENVIRONMENTS / version
    python = directory / "bin" / "python"
    installed = directory / ".installed"
    _ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with (_ENVIRONMENTS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed.exists():
            shutil.rmtree(directory, ignore_errors=True)
            run(UV, "venv", "--quiet", "--python", sys.executable, directory)
            install = (UV, "pip", "install", "--quiet", "--python", directory)
            run(*install, f"pyspark=={version}", timeout_s=_INSTALL_S)
            installed.touch()
    return python


def _record(offset: int) -> Record:
    """With and without key, value and headers, in all their combinations."""
    headers = [None, (), (("trace", b"\xff\x00"), ("clé", None))][offset % 3]
    return Record(
        offset,
        f'{{"id":{offset},"é":"ß"}}' if offset % 5 else None,
        b"k\xff%d" % offset if offset % 2 else None,
        -1 if offset % 7 == 0 else 1_700_000_000_000 + offset,
        headers,
        -1 if offset % 7 == 0 else offset % 2,
    )


def _rows(partition: int) -> list[list[object]]:
    """What is to be found of a partition."""
    return [
        [
            partition,
            row.offset,
            row.timestamp_ms,
            row.timestamp_type,
            None if row.key is None else row.key.hex(),
            row.value,
            None
            if row.headers is None
            else [[key, None if value is None else value.hex()] for key, value in row.headers],
        ]
        for row in map(_record, range(_RECORDS))
    ]


async def _write(path: Path) -> None:
    """One partition that was merged, its sources still there, and one as it was sealed."""
    retention = Retention(RetentionClock.MINED, 259_200)
    size = _RECORDS // _SEGMENTS
    async with running(path) as store:
        compact = Compact(store, CompactConfig(segment_bytes_target=1 << 20), retention)
        for number, merged in ((0, True), (1, False)):
            log = await ensure(store, ORDERS.topic_id.partition(number), 0)
            for begin in range(0, _RECORDS, size):
                rows = list(map(_record, range(begin, begin + size)))
                await append(store, log, [frame(begin, begin + size, rows)])
                await roll(store, log)
            if merged:
                await compact.run(lambda *_: None)
        assert [len(log.segments) for log in store.all()] == [1, _SEGMENTS]


def _write_as_before(path: Path) -> None:
    """A file in the encodings of earlier versions."""
    rows = pa.Table.from_batches([record_batch(list(map(_record, range(_RECORDS))))])
    path.parent.mkdir()
    plain = {"key": "PLAIN", "value": "PLAIN"}
    pq.write_table(
        rows, path, compression="zstd", use_dictionary=False, column_encoding=plain, version="2.6"
    )


@pytest.mark.parametrize("version", _VERSIONS)
def test_spark_finds_every_record_once_and_whole(tmp_path: Path, version: str) -> None:
    python = _python(version)
    store = tmp_path / "store"
    asyncio.run(_write(store))
    topic = store / "log" / "main" / "orders" / "i1"
    assert len(list(topic.rglob("partition=0/*.parquet"))) == _SEGMENTS + 1
    _write_as_before(topic / "partition=2" / "before.parquet")
    found = re.findall(r"```python\n(.*?)```", _DOCUMENT.read_text(), re.DOTALL)
    (code,) = (each for each in found if "pyspark" in each)
    assert _SETTING in code
    if int(version.partition(".")[0]) >= 4:
        code = code.replace(_SETTING, "")
    (tmp_path / "code.py").write_text(code.replace("<store>", str(store)))
    run(python, _READS, tmp_path / "code.py", tmp_path / "result.json", timeout_s=_READ_S)
    told, rows = json.loads((tmp_path / "result.json").read_text())
    assert told == version
    assert rows == [row for partition in range(3) for row in _rows(partition)]
