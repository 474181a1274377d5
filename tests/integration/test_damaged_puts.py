"""Bytes that are damaged on their way to a real S3 server: it refuses them, and nothing names them.

Each request is signed with the SHA-256 of what it puts, which the server works out again.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path

import pytest

from cachesvc.errors import StoreUnwritable
from cachesvc.jobs.compact import Compact
from cachesvc.settings.jobs import CompactConfig
from cachesvc.store import s3_files
from cachesvc.store.block_cache import BlockCache
from cachesvc.store.s3_files import S3Files
from tests.integration.test_stores import nothing, opened, retention, s3_place, sealed, to_cold
from tests.support.frames import full_frames, records, records_of
from tests.support.s3_faults import S3Faults
from tests.support.s3_server import S3Server
from tests.unit.log.running import append, read_all, until

PART_BYTES = 5 << 20
PATH = "log/large.parquet"


@pytest.mark.parametrize("unsigned_elsewhere", [False, True])
@pytest.mark.parametrize("in_parts", [False, True])
def test_a_bit_that_turns_on_the_way_is_refused_by_the_server(
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_parts: bool,
    unsigned_elsewhere: bool,
) -> None:
    if in_parts:  # as files of more than 64 MiB are put
        monkeypatch.setattr(s3_files, "SINGLE_PUT_BYTES_MAX", 0)
        monkeypatch.setattr(s3_files, "_PART_BYTES", PART_BYTES)
    if unsigned_elsewhere:  # what an environment says for other programs
        monkeypatch.setenv("AWS_UNSIGNED_PAYLOAD", "true")
    source = tmp_path / "large"
    source.write_bytes(os.urandom(2 * PART_BYTES + 1))
    with S3Faults(s3_server.port) as faults:
        settings = s3_server.settings(secrets.token_hex(4), port=faults.port)
        files = S3Files(settings, BlockCache(tmp_path / "blocks", 0))
        faults.damage(1)
        with pytest.raises(StoreUnwritable, match="damaged on their way") as refused:
            files.put(PATH, source)
        assert refused.value.metadata["code"] == "XAmzContentSHA256Mismatch"
        assert faults.damaged == 1
        assert list(files.list("log")) == []
        files.put(PATH, source)
        files.fetch(PATH, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == source.read_bytes()
        files.delete(PATH)


def test_what_is_sealed_is_put_again_until_it_arrives_whole(
    s3_server: S3Server, tmp_path: Path
) -> None:
    async def run() -> None:
        with S3Faults(s3_server.port) as faults:
            place = s3_place(s3_server, tmp_path, port=faults.port)
            async with opened(tmp_path, place) as store:
                to_cold(store)
                log = await sealed(store, 0, 10)
                faults.damage(1)
                await append(store, log, full_frames(10, 20, 5))
                store.writer.roll(log)
                await until(lambda: "cold" in store.sealer.failures, 60)
                assert place.objects() == [segment.path for segment in log.segments]
                await until(lambda: len(log.segments) == 2, 60)
                assert faults.damaged == 1
                assert records_of(await read_all(store.reader, log, 0)) == records(0, 20)

    asyncio.run(run())


def test_a_merge_that_arrives_damaged_changes_no_manifest(
    s3_server: S3Server, tmp_path: Path
) -> None:
    async def run() -> None:
        with S3Faults(s3_server.port) as faults:
            place = s3_place(s3_server, tmp_path, port=faults.port)
            async with opened(tmp_path, place) as store:
                to_cold(store)
                for begin in (0, 10):
                    await sealed(store, begin, begin + 10)
                log = await sealed(store, 20, 30)
                before, objects = list(log.segments), place.objects()
                compact = Compact(store, CompactConfig(segment_bytes_target=1 << 30), retention())
                faults.damage(1)
                with pytest.raises(StoreUnwritable, match="damaged on their way"):
                    await compact.run(nothing)
                assert (list(log.segments), place.objects()) == (before, objects)
                assert (await compact.run(nothing))["segments_merged"] == len(before)
                assert len(log.segments) == 1
                assert records_of(await read_all(store.reader, log, 0)) == records(0, 30)

    asyncio.run(run())
