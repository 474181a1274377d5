"""The job `expire` over a log store, with clocks of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from cachesvc.jobs.expire import Expire, read_clocks
from cachesvc.jobs.retired_files import RetiredFiles
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import Mode, PartitionId, TopicId
from cachesvc.policy.mined_times import ClockReading
from cachesvc.policy.retention import RetentionClock
from cachesvc.store.drops_port import DropCause
from cachesvc.store.mining_ports import OwnRetention
from cachesvc.store.ports import SubscriptionRecord
from cachesvc.subscriptions.retention import NO_LIMIT, Retention, TopicSize
from cachesvc.subscriptions.subscriptions import Subscription
from tests.support.frames import ORDERS, frame, record
from tests.unit.log.running import append, ensure, roll, running

HOUR = 3_600_000
BEGIN = ClockReading(1_000 * HOUR, 0)
AGE_S = 10 * 3_600.0


class Clocks:
    """The clocks of a machine that somebody has in hand."""

    def __init__(self) -> None:
        self.reading = BEGIN

    def __call__(self) -> ClockReading:
        return self.reading

    def go_on(self, passed_ms: int, set_by_ms: int = 0) -> None:
        wall_ms = self.reading.wall_ms + passed_ms + set_by_ms
        self.reading = ClockReading(wall_ms, self.reading.steady_ms + passed_ms)


async def mine(store: LogStore, log: PartitionLog, at_ms: int, timestamp_ms: int) -> None:
    """Ten records of this time, mined at that, in a segment."""
    base = log.log_end_offset
    rows = [record(offset, timestamp_ms=timestamp_ms) for offset in range(base, base + 10)]
    await append(store, log, [frame(base, base + 10, rows)])
    index = log.journals[-1].index
    assert index is not None
    index.oldest_mined_ms = index.newest_mined_ms = at_ms
    await roll(store, log)


async def run_once(job: Expire) -> Mapping[str, int]:
    return await job.run(lambda done, total, message: None)


def job(
    store: LogStore,
    clocks: Clocks,
    clock: RetentionClock = RetentionClock.MINED,
    subscriptions: list[Subscription] | None = None,
    own: Mapping[str, float] | None = None,
    size: TopicSize | None = None,
) -> Expire:
    ages = own or {}
    retention = Retention(
        clock, AGE_S, None, lambda name: OwnRetention(ages.get(name)), size or NO_LIMIT
    )
    retired = RetiredFiles(store, retention, grace_s=600.0)
    return Expire(store, lambda: subscriptions or [], retention, retired, 600.0, clocks)


def test_what_was_mined_goes_after_its_time_in_every_incarnation_of_a_topic(tmp_path: Path) -> None:
    old_incarnation, present = (
        TopicId("main", "orders", incarnation).partition(0) for incarnation in (1, 2)
    )
    short = PartitionId("short", "orders", 1, 0)

    async def run() -> None:
        async with running(tmp_path) as store:
            clocks = Clocks()
            for partition in (old_incarnation, present, short):
                log = await ensure(store, partition, 0)
                for hours, timestamp_ms in enumerate((2**52, 0, -1)):
                    await mine(store, log, BEGIN.wall_ms + hours * HOUR, timestamp_ms)
            expire = job(store, clocks, own={"short": 5 * 3_600.0})
            clocks.go_on(10 * HOUR)
            counts = await run_once(expire)
            assert (counts["segments_expired"], counts["records_expired"]) == (3, 30)
            starts = {log.id: log.log_start_offset for log in store.all()}
            assert starts == {old_incarnation: 0, present: 0, short: 30}
            clocks.go_on(HOUR + 1)
            assert (await run_once(expire))["records_expired"] == 40
            starts = {log.id: log.log_start_offset for log in store.all()}
            assert starts == {old_incarnation: 20, present: 20, short: 30}

    asyncio.run(run())


def test_by_the_clock_of_the_record_what_is_unread_stays(tmp_path: Path) -> None:
    record_of = SubscriptionRecord("s", "main", ("orders",), "", Mode.FULL, 1, False, 1)

    async def run() -> None:
        async with running(tmp_path) as store:
            clocks = Clocks()
            log = await ensure(store, ORDERS, 0)
            for _ in range(3):
                await mine(store, log, BEGIN.wall_ms, 0)
            task = Subscription(record_of, {ORDERS: 0})
            expire = job(store, clocks, RetentionClock.RECORD, [task])
            assert (await run_once(expire))["records_expired"] == 0
            task.positions[ORDERS] = 10
            assert (await run_once(expire))["records_expired"] == 10
            clocks.go_on(int(AGE_S * 1000) + 1)
            assert (await run_once(expire))["records_expired"] == 20

    asyncio.run(run())


def test_a_range_that_was_mined_afterwards_stays_and_so_does_what_lies_behind_it(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            clocks = Clocks()
            top = await ensure(store, ORDERS, 20)
            await mine(store, top, BEGIN.wall_ms, 0)
            clocks.go_on(9 * HOUR)
            store.backfill.want("somebody", ORDERS, 0)
            store.ranges.reach(ORDERS, 0)
            below = store.backfill.taking(ORDERS, 0, 10)
            await mine(store, below, clocks.reading.wall_ms, 0)
            expire = job(store, clocks)
            clocks.go_on(2 * HOUR)
            # As long as something is missing between the two, they are as old as they are.
            assert (await run_once(expire))["records_expired"] == 10
            assert [log.log_start_offset for log in store.ranges.of(ORDERS)] == [0, 30]
            await mine(store, top, BEGIN.wall_ms, 0)
            await mine(store, below, clocks.reading.wall_ms - HOUR, 0)
            await mine(store, below, clocks.reading.wall_ms - HOUR, 0)
            store.tend()
            assert [log.log_start_offset for log in store.ranges.of(ORDERS)] == [0]
            assert (await run_once(expire))["records_expired"] == 0
            clocks.go_on(8 * HOUR + 1)
            assert (await run_once(expire))["records_expired"] == 10
            clocks.go_on(HOUR)
            assert (await run_once(expire))["records_expired"] == 30

    asyncio.run(run())


def test_a_clock_that_is_set_forward_takes_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            clocks = Clocks()
            log = await ensure(store, ORDERS, 0)
            await mine(store, log, BEGIN.wall_ms, 0)
            expire = job(store, clocks)
            clocks.go_on(HOUR, set_by_ms=1_000_000 * HOUR)
            assert (await run_once(expire))["records_expired"] == 0
            clocks.go_on(9 * HOUR)
            assert (await run_once(expire))["records_expired"] == 0
            clocks.go_on(1)
            assert (await run_once(expire))["records_expired"] == 10

    asyncio.run(run())


def test_a_clock_that_is_set_back_keeps_nothing_for_ever(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            clocks = Clocks()
            log = await ensure(store, ORDERS, 0)
            await mine(store, log, BEGIN.wall_ms, 0)
            expire = job(store, clocks)
            clocks.go_on(HOUR, set_by_ms=-900 * HOUR)
            assert (await run_once(expire))["records_expired"] == 0
            clocks.go_on(10 * HOUR)
            assert (await run_once(expire))["records_expired"] == 0
            clocks.go_on(1)
            assert (await run_once(expire))["records_expired"] == 10

    asyncio.run(run())


def test_a_correction_that_cannot_be_stored_is_made_at_the_next_run(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            clocks = Clocks()
            log = await ensure(store, ORDERS, 0)
            await mine(store, log, BEGIN.wall_ms, 0)
            expire = job(store, clocks)
            clocks.go_on(HOUR, set_by_ms=500 * HOUR)
            put = store.manifest.put_times_right

            async def refuse(*_: object) -> int:
                raise OSError("no space left on device")

            store.manifest.put_times_right = refuse  # type: ignore[assignment,method-assign]
            for _ in range(2):
                try:
                    await run_once(expire)
                except OSError:
                    assert log.log_start_offset == 0
            store.manifest.put_times_right = put  # type: ignore[method-assign]
            assert (await run_once(expire))["records_expired"] == 0
            assert log.segments[0].newest_mined_ms == BEGIN.wall_ms + 500 * HOUR

    asyncio.run(run())


def test_the_clocks_of_this_machine_go_on() -> None:
    one = read_clocks()
    other = read_clocks()
    assert other.steady_ms >= one.steady_ms
    assert abs((other.wall_ms - one.wall_ms) - (other.steady_ms - one.steady_ms)) < 60_000


def test_what_is_too_much_of_a_topic_goes_and_the_history_says_why(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            clocks = Clocks()
            logs = [await ensure(store, ORDERS.topic_id.partition(n), 0) for n in range(2)]
            for hours in range(3):
                for number, log in enumerate(logs):
                    await mine(store, log, BEGIN.wall_ms + hours * HOUR + number, 0)
            clocks.go_on(4 * HOUR)
            assert (await run_once(job(store, clocks, size=TopicSize(records_max=60)))) == {
                "segments_expired": 0,
                "records_expired": 0,
                "bytes_expired": 0,
            }
            counts = await run_once(job(store, clocks, size=TopicSize(records_max=31)))
            assert counts["records_expired"] == 30
            assert [log.log_start_offset for log in logs] == [20, 10]
            newest = sum(log.segments[-1].bytes for log in logs)
            held = newest + logs[1].segments[0].bytes
            await run_once(job(store, clocks, size=TopicSize(newest, 31)))
            assert [log.log_start_offset for log in logs] == [20, 20]
            clocks.go_on(20 * HOUR)
            await run_once(job(store, clocks))
            found = await store.catalogue.call(lambda port: port.drops.list("", "", 10))
            assert [(drop.cause, drop.topic, drop.records) for drop in found] == [
                (DropCause.AGE, "orders", 20),
                (DropCause.TOPIC_BYTES, "orders", 10),
                (DropCause.TOPIC_RECORDS, "orders", 30),
            ]
            assert found[1].detail == f"it held {held:,} bytes, {newest:,} stay"
            assert found[2].detail == "it held 60 records, 31 stay"

    asyncio.run(run())


def test_a_protected_subscription_keeps_what_it_has_still_to_read(tmp_path: Path) -> None:
    record_of = SubscriptionRecord("s", "main", ("orders",), "", Mode.FULL, 1, False, 1)

    async def run() -> None:
        async with running(tmp_path) as store:
            clocks = Clocks()
            log = await ensure(store, ORDERS, 0)
            for _ in range(4):
                await mine(store, log, BEGIN.wall_ms, 0)
            sizes = [segment.bytes for segment in log.segments]
            task = Subscription(record_of, {ORDERS: 15})
            kept = TopicSize(records_max=10, unread_bytes_max=sum(sizes[1:]))
            await run_once(job(store, clocks, subscriptions=[task], size=kept))
            assert log.log_start_offset == 10, "what it has read is too much"
            kept = TopicSize(records_max=10, unread_bytes_max=sum(sizes[1:]) - 1)
            await run_once(job(store, clocks, subscriptions=[task], size=kept))
            assert log.log_start_offset == 20, "and what is beyond its limit"
            task.positions[ORDERS] = 40
            await run_once(job(store, clocks, subscriptions=[task], size=kept))
            assert log.log_start_offset == 30

    asyncio.run(run())
