from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cachesvc.audit.file import AuditFile
from cachesvc.audit.trail import INTERRUPTED, AuditTrail
from cachesvc.errors import StoreUnwritable
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.policy.callers import Caller, Proof
from cachesvc.store.audit_port import AuditEntry, AuditFilter
from cachesvc.store.memory_catalogue import MemoryCatalogue
from tests.unit.log.running import until

OPS = Caller("ops", ("admin",), Proof.TOKEN, "t-7", "ipv4:10.0.0.7:4711")
ENTRY = AuditEntry(1, 5_000, "ops", "token", "t-7", OPS.address, "PauseJob", '{"name":"expire"}')
ALL = AuditFilter()


class Clock:
    def __init__(self) -> None:
        self.now_s = 5.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def catalogue() -> Iterator[CatalogueThread]:
    opened = CatalogueThread(MemoryCatalogue)
    yield opened
    opened.close()


@asynccontextmanager
async def running(trail: AuditTrail) -> AsyncIterator[None]:
    run = asyncio.ensure_future(trail.run())
    try:
        yield
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


def test_an_entry_is_there_before_the_call_and_whole_behind_it(catalogue: CatalogueThread) -> None:
    async def body() -> None:
        clock = Clock()
        trail = AuditTrail(catalogue, None, clock)
        async with running(trail):
            entry = await trail.begin(OPS, "PauseJob", '{"name":"expire"}')
            assert await trail.list(ALL, 10) == [ENTRY] == [entry]
            clock.now_s = 5.25
            await trail.end(entry, "NOT_FOUND", "UNKNOWN_JOB")
            ended = replace(ENTRY, outcome="NOT_FOUND", reason="UNKNOWN_JOB", took_ms=250)
            assert await trail.list(ALL, 10) == [ended]
            assert await trail.list(AuditFilter(principal="ci"), 10) == []

    asyncio.run(body())


def test_many_at_a_time_go_together(
    catalogue: CatalogueThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        trail = AuditTrail(catalogue, None, Clock())
        puts: list[int] = []
        audit = await catalogue.call(lambda port: port.audit)
        put = audit.put

        def counted(entries: Sequence[AuditEntry]) -> None:
            puts.append(len(entries))
            put(entries)

        monkeypatch.setattr(audit, "put", counted)
        async with running(trail):
            entries = await asyncio.gather(*(trail.begin(OPS, "PauseJob", "") for _ in range(50)))
        assert sorted(entry.number for entry in entries) == list(range(1, 51))
        assert sum(puts) == 50
        assert len(puts) <= 2

    asyncio.run(body())


def test_what_is_noted_while_others_wait_has_no_alarm_of_its_own(
    catalogue: CatalogueThread,
) -> None:
    """Each of its own would have a transaction a moment behind that of the one before."""

    async def body() -> None:
        loop = asyncio.get_running_loop()
        alarms: list[float] = []
        call_later = loop.call_later

        def counted(delay_s: float, callback: Any, *args: Any, **named: Any) -> asyncio.TimerHandle:
            alarms.append(delay_s)
            return call_later(delay_s, callback, *args, **named)

        def note(trail: AuditTrail, count: int) -> int:
            before = len(alarms)
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(loop, "call_later", counted)
                for _ in range(count):
                    trail.note(OPS, "Subscribe", "{}", "OK")
            return len(alarms) - before

        trail = AuditTrail(catalogue, None, Clock())
        async with running(trail):
            audit = await catalogue.call(lambda port: port.audit)
            assert note(trail, 50) == 1
            await until(lambda: len(audit.list(ALL, 100)) == 50)
            assert note(trail, 10) == 1
            await until(lambda: len(audit.list(ALL, 100)) == 60)

    asyncio.run(body())


def test_what_was_under_way_when_a_service_died_is_told(catalogue: CatalogueThread) -> None:
    async def body() -> None:
        async with running(first := AuditTrail(catalogue, None, Clock())):
            await first.begin(OPS, "PauseJob", '{"name":"expire"}')
        trail = AuditTrail(catalogue, None, Clock())
        async with running(trail):
            entry = await trail.begin(OPS, "PauseJob", '{"name":"expire"}')
            assert entry == replace(ENTRY, number=2), "numbers go on"
            found = await trail.list(ALL, 10)
            assert found == [entry, replace(ENTRY, outcome=INTERRUPTED)]

    asyncio.run(body())


def test_lines_tell_begin_and_end_for_owners_alone(
    catalogue: CatalogueThread, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"

    async def body() -> None:
        async with running(trail := AuditTrail(catalogue, AuditFile(path, 1 << 20, 1), Clock())):
            entry = await trail.begin(OPS, "PauseJob", '{"name":"„expire“"}')
            assert len(_lines(path)) == 1
            await trail.end(entry, "OK", "")

    asyncio.run(body())
    begun, ended = _lines(path)
    assert begun["outcome"] == "STARTED"
    assert ended == {**begun, "outcome": "OK", "took_ms": 0}
    assert json.loads(ended["request"]) == {"name": "„expire“"}
    assert (ended["number"], ended["principal"], ended["address"]) == (1, "ops", OPS.address)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_file_is_followed_by_another(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit.jsonl", 1_000, 2)
    for number in range(30):
        file.write([replace(ENTRY, number=number)])
    file.close()
    names = ["audit.jsonl.2", "audit.jsonl.1", "audit.jsonl"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert all((tmp_path / name).stat().st_size <= 1_000 for name in names)
    kept = [line["number"] for name in names for line in _lines(tmp_path / name)]
    assert kept == list(range(kept[0], 30)), "the newest, whole and in order"


def test_a_call_is_carried_out_though_it_cannot_be_entered(
    catalogue: CatalogueThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(_: object) -> None:
        raise StoreUnwritable("the disk is full")

    async def body() -> None:
        audit = await catalogue.call(lambda port: port.audit)
        monkeypatch.setattr(audit, "put", refuse)
        file = AuditFile(tmp_path / "missing" / "audit.jsonl", 1 << 20, 1)
        async with running(trail := AuditTrail(catalogue, file, Clock())):
            assert await trail.begin(OPS, "PauseJob", ENTRY.request) == ENTRY

    with caplog.at_level(logging.ERROR):
        asyncio.run(body())
    lost: list[Any] = [vars(record) for record in caplog.records]
    assert [each["event"] for each in lost] == ["audit_lost"] * 2
    assert all(each["entry"]["call"] == "PauseJob" for each in lost)
    assert lost[0]["error"] == "the disk is full"
    assert "missing" in lost[1]["error"]


def test_a_call_that_ends_behind_the_service_is_told_to_the_log(
    catalogue: CatalogueThread, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with running(trail := AuditTrail(catalogue, None, Clock())):
            entry = await trail.begin(OPS, "PauseJob", "")
        await trail.end(entry, "CANCELLED", "")
        assert (await trail.list(ALL, 1))[0].outcome == "STARTED"

    asyncio.run(body())
    assert [vars(record)["event"] for record in caplog.records] == ["audit_lost"]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_what_nobody_waits_for_is_entered_soon_and_at_the_end(catalogue: CatalogueThread) -> None:
    async def body() -> None:
        trail = AuditTrail(catalogue, None, Clock())
        async with running(trail):
            for _ in range(50):
                trail.note(OPS, "Subscribe", "{}", "OK")
            audit = await catalogue.call(lambda port: port.audit)
            await until(lambda: len(audit.list(ALL, 100)) == 50)
            trail.note(OPS, "Subscribe", "{}", "OK")
        found = await trail.list(ALL, 100)
        assert [entry.number for entry in found] == list(range(51, 0, -1))
        assert {(entry.outcome, entry.took_ms) for entry in found} == {("OK", 0)}

    asyncio.run(body())
