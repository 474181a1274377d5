"""Leader epochs are known of whatever a log holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cachesvc.errors import PreconditionFailed, StoreUnwritable
from cachesvc.log.log_store import LogStore
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH, EpochHistory
from cachesvc.store.epoch_tables import EpochTables
from tests.support.frames import ORDERS, full_frame
from tests.unit.log.running import append, ensure, running, settings

SECOND = ORDERS.topic_id.partition(1)


def test_what_was_acknowledged_is_known_after_a_crash(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            logs = [await ensure(store, partition, 0) for partition in (ORDERS, SECOND)]
            for log in logs:
                await store.writer.accept(log, full_frame(0, 5), 3)
                await store.writer.accept(log, full_frame(5, 9), 3)
                await store.writer.accept(log, full_frame(9, 12), 4)
            await store.writer.accept(logs[1], full_frame(12, 13))

    asyncio.run(run())
    store = LogStore.open(settings(tmp_path))
    try:
        assert [store.epochs.before(ORDERS, offset) for offset in (0, 5, 9, 12)] == [-1, 3, 3, 4]
        assert store.epochs.before(SECOND, 13) == UNKNOWN_EPOCH
    finally:
        store.close()


def test_what_is_missing_before_a_log_is_of_no_later_epoch(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await ensure(store, ORDERS, 50)
            store.epochs.check_older(ORDERS, 9)
            await store.writer.accept(log, full_frame(50, 60), 3)
            for epoch in (UNKNOWN_EPOCH, 0, 3):
                store.epochs.check_older(ORDERS, epoch)
            with pytest.raises(PreconditionFailed, match="epoch 3 is of epoch 4") as refused:
                store.epochs.check_older(ORDERS, 4)
            assert refused.value.reason == "SOURCE_TRUNCATED"
            await store.writer.accept(log, full_frame(60, 61))
            with pytest.raises(PreconditionFailed):
                store.epochs.check_older(ORDERS, 4)

    asyncio.run(run())


def test_an_epoch_is_durable_before_its_append_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[int] = []
    real = EpochTables.put

    async def run() -> None:
        async with running(tmp_path) as store:
            log = await ensure(store, ORDERS, 0)

            def observed(self: EpochTables, histories: dict[object, EpochHistory]) -> None:
                ends.append(log.log_end_offset)
                real(self, histories)  # type: ignore[arg-type]

            monkeypatch.setattr(EpochTables, "put", observed)
            for base in range(0, 50, 5):
                await store.writer.accept(log, full_frame(base, base + 5), base // 20)

    asyncio.run(run())
    # Once for each epoch and not for each append.
    assert ends == [0, 20, 40]


def test_epochs_of_many_partitions_are_kept_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    real = EpochTables.put

    def counted(self: EpochTables, histories: dict[object, EpochHistory]) -> None:
        kept.append(len(histories))
        real(self, histories)  # type: ignore[arg-type]

    monkeypatch.setattr(EpochTables, "put", counted)

    async def run() -> None:
        async with running(tmp_path) as store:
            logs = [await ensure(store, ORDERS.topic_id.partition(n), 0) for n in range(50)]
            await asyncio.gather(*[store.writer.accept(log, full_frame(0, 5), 1) for log in logs])

    asyncio.run(run())
    assert kept == [50]


def test_an_append_whose_epoch_cannot_be_kept_is_refused_and_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = EpochTables.put

    def full(*_: object) -> None:
        raise StoreUnwritable("the catalogue cannot be used: no space left")

    async def run() -> None:
        async with running(tmp_path) as store:
            log, other = await ensure(store, ORDERS, 0), await ensure(store, SECOND, 0)
            await store.writer.accept(log, full_frame(0, 5), 1)
            await append(store, other, [full_frame(0, 5)])
            monkeypatch.setattr(EpochTables, "put", full)
            for _ in range(2):
                refused = store.writer.accept(log, full_frame(5, 8), 2)
                untouched = store.writer.accept(other, full_frame(other.log_end_offset, 100))
                with pytest.raises(PreconditionFailed, match="no space left"):
                    await refused
                if not untouched.done():
                    await untouched
                assert (log.log_end_offset, log.accepted_end_offset) == (5, 5)
                assert other.log_end_offset == 100
                other = await ensure(store, ORDERS.topic_id.partition(2), 0)
            monkeypatch.setattr(EpochTables, "put", real)
            await store.writer.accept(log, full_frame(5, 8), 2)
            assert log.log_end_offset == 8

    asyncio.run(run())
    store = LogStore.open(settings(tmp_path))
    try:
        assert store.epochs.before(ORDERS, 8) == 2
    finally:
        store.close()
