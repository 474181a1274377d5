"""What goes wrong between a service and a real S3 server, each with what comes of it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cachesvc.errors import StoreUnreadable, StoreUnwritable
from cachesvc.store import s3_files
from cachesvc.store.block_cache import BlockCache
from cachesvc.store.s3_files import S3Files
from tests.integration.test_stores import opened, s3_place, sealed, to_cold
from tests.support.frames import full_frames, records, records_of
from tests.support.s3_faults import S3Faults
from tests.support.s3_server import S3Server
from tests.support.tcp_proxy import TcpProxy
from tests.unit.log.running import append, read_all, roll, until

A_FEW, ALL = 3, 1 << 30
PART_BYTES = 5 << 20
LATER_S = 3_600
SKEW = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, at);
    if (!failed && clock == CLOCK_REALTIME) at->tv_sec += SKEW_S;
    return failed;
}
"""
LISTED = """
import sys
from pathlib import Path
from cachesvc.errors import CacheError
from cachesvc.store.block_cache import BlockCache
from cachesvc.store.s3_files import S3Files, S3Settings
bucket, endpoint, access, secret, cache = sys.argv[1:]
settings = S3Settings(bucket, "x", endpoint, "us-east-1", access, secret, timeout_s=5, retry_s=1)
try:
    print(len(list(S3Files(settings, BlockCache(Path(cache), 0)).list("log"))))
except CacheError as error:
    print(error.metadata["code"], error)
"""


def test_a_few_refusals_are_waited_out(s3_server: S3Server, tmp_path: Path) -> None:
    async def run() -> None:
        with S3Faults(s3_server.port) as faults:
            place = s3_place(s3_server, tmp_path, port=faults.port, patience_s=60)
            async with opened(tmp_path, place) as store:
                to_cold(store)
                faults.refuse(A_FEW)
                log = await sealed(store, 0, 10)
                assert faults.refused == A_FEW
                assert store.sealer.failures == {}
                faults.refuse(A_FEW)
                assert records_of(await read_all(store.reader, log, 0)) == records(0, 10)
                assert faults.refused == 2 * A_FEW

    asyncio.run(run())


def test_an_upload_of_which_a_part_fails_leaves_no_parts(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_files, "SINGLE_PUT_BYTES_MAX", 0)
    monkeypatch.setattr(s3_files, "_PART_BYTES", PART_BYTES)
    source = tmp_path / "large"
    source.write_bytes(os.urandom(5 * PART_BYTES + 1))

    def large() -> list[Path]:
        """Objects, and parts of those that are being put."""
        return [each for each in s3_server.bucket.rglob("*") if _bytes(each) >= PART_BYTES]

    before = large()
    with S3Faults(s3_server.port) as faults:
        settings = s3_server.settings(os.urandom(4).hex(), port=faults.port)
        files = S3Files(settings, BlockCache(tmp_path / "blocks", 0))
        for part in (1, 4, 6):
            faults.forbidden = f"partNumber={part}&"
            with pytest.raises(StoreUnwritable, match="AccessDenied"):
                files.put("log/large.parquet", source)
            assert large() == before, part
        faults.forbidden = ""
        files.put("log/large.parquet", source)
        assert len(large()) == len(before) + 1
        files.delete("log/large.parquet")


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def test_a_server_that_refuses_for_long_is_named_and_gone_on_with(
    s3_server: S3Server, tmp_path: Path
) -> None:
    async def run() -> None:
        with S3Faults(s3_server.port) as faults:
            place = s3_place(s3_server, tmp_path, port=faults.port)
            async with opened(tmp_path, place) as store:
                to_cold(store)
                log = await sealed(store, 0, 10)
                faults.refuse(ALL)
                with pytest.raises(StoreUnreadable, match="SlowDown: the service asks for less"):
                    await store.reader.read(log, 0)
                await append(store, log, full_frames(10, 20, 5))
                store.writer.roll(log)
                await until(lambda: "cold" in store.sealer.failures, 60)
                assert "SlowDown" in str(store.sealer.failures["cold"])
                faults.refuse(0)
                await until(lambda: len(log.segments) == 2, 60)
                assert records_of(await read_all(store.reader, log, 0)) == records(0, 20)

    asyncio.run(run())


def test_a_slow_server_costs_time_and_nothing_else(s3_server: S3Server, tmp_path: Path) -> None:
    async def run() -> None:
        with TcpProxy(s3_server.port) as proxy:
            place = s3_place(s3_server, tmp_path, port=proxy.port, patience_s=60)
            async with opened(tmp_path, place) as store:
                to_cold(store)
                proxy.delay(0.3)
                log = await sealed(store, 0, 10)
                assert records_of(await read_all(store.reader, log, 0)) == records(0, 10)
                assert store.sealer.failures == {}

    asyncio.run(run())


def test_a_server_slower_than_a_request_may_take_is_away_until_it_is_not(
    s3_server: S3Server, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(1 << 16))
    with TcpProxy(s3_server.port) as proxy:
        place = s3_place(s3_server, tmp_path, port=proxy.port)
        place.files.put("log/a", source)
        proxy.delay(7)  # a request may take 5 s, and is repeated for 3
        with pytest.raises(StoreUnreadable):
            place.files.fetch("log/a", tmp_path / "target")
        with pytest.raises(StoreUnwritable):
            place.files.put("log/b", source)
        proxy.delay(0)
        proxy.drop_connections()
        place.files.fetch("log/a", tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == source.read_bytes()


def test_credentials_that_become_wrong_stop_nothing_but_that_store(
    s3_server: S3Server, tmp_path: Path
) -> None:
    async def run() -> None:
        place = s3_place(s3_server, tmp_path)
        async with opened(tmp_path, place) as store:
            to_cold(store)
            log = await sealed(store, 0, 10)
            prefix = place.root.name
            wrong = s3_server.settings(prefix, secret="another")
            store.stores.put("cold", S3Files(wrong, BlockCache(tmp_path / "wrong", 0)))
            await store.watch.look()
            assert "SignatureDoesNotMatch: the secret key" in store.watch.away["cold"]
            with pytest.raises(StoreUnreadable, match="SignatureDoesNotMatch"):
                await store.reader.read(log, 0)
            await append(store, log, full_frames(10, 20, 5))
            store.writer.roll(log)
            await until(lambda: "cold" in store.sealer.failures, 60)
            store.stores.put("cold", place.files)
            await until(lambda: len(log.segments) == 2, 60)
            await store.watch.look()
            assert store.watch.away == {}
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 20)
            store.stores.choose = lambda _: "local"
            await append(store, log, full_frames(20, 30, 5))
            await roll(store, log)
            assert log.segments[-1].store == "local"

    asyncio.run(run())


def test_a_clock_that_differs_too_much_is_told(s3_server: S3Server, tmp_path: Path) -> None:
    """The client's clock is an hour ahead, for a real server that compares it with its own."""
    (tmp_path / "skew.c").write_text(SKEW)
    library = tmp_path / "skew.so"
    build = ["cc", "-shared", "-fPIC", f"-DSKEW_S={LATER_S}", "-o", str(library)]
    subprocess.run([*build, str(tmp_path / "skew.c"), "-ldl"], check=True, timeout=60)
    settings = s3_server.settings("x")
    told = [settings.bucket, settings.endpoint, settings.access_key, settings.secret_key]

    def listed(**more: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", LISTED, *told, str(tmp_path / "blocks")],
            env={**os.environ, **more},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    assert listed() == "0\n"
    found = listed(LD_PRELOAD=str(library))
    assert found.startswith("RequestTimeTooSkewed ")
    assert "set it by NTP" in found
