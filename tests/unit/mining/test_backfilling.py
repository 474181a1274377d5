"""Older ranges: mined once, to their end, beside the tail."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from cachesvc.mining.append_stream import Answer, AppendStream
from cachesvc.mining.connection_settings import ConnectionSettings
from cachesvc.mining.encode import EncodedAppend
from cachesvc.mining.holdings import AssignedTopic, HeldPartition
from cachesvc.mining.miner import Miner
from cachesvc.mining.source import Problem, ProblemReason, SourcePartition
from cachesvc.model import MiningState
from cachesvc.v1.mining_pb2 import AppendTrace
from tests.unit.mining.fake_service import FakeService, until
from tests.unit.mining.fake_source import FakeSource
from tests.unit.mining.stage import of_both_sizes, play, values

ORDERS = SourcePartition("orders", 0)
Scenario = Callable[[FakeService, FakeSource, FakeSource], Awaitable[None]]


def play_both(tmp_path: Path, scenario: Scenario, *, large: bool = False, **settings: str) -> None:
    """The tail is at 500 of 600; what is older is read from a source of its own."""

    async def both(service: FakeService, source: FakeSource, _: object) -> None:
        assert source.older is not None
        for each in (source, source.older):
            each.write("orders", 0, *values(0, 600))
        service.logs["orders", 0].end_offset = 500
        await scenario(service, source, source.older)

    play(tmp_path, both, service=lambda: FakeService(**settings), large=large)


@of_both_sizes
def test_a_range_is_mined_to_its_end_and_no_further(tmp_path: Path, large: bool) -> None:
    async def scenario(service: FakeService, source: FakeSource, older: FakeSource) -> None:
        service.older["orders", 0] = (120, 333)
        service.assign({"orders": (3, [0])})
        await until(lambda: service.backfills["orders", 0].end_offset == 333)
        await until(lambda: service.logs["orders", 0].end_offset == 600)
        assert service.backfills["orders", 0].offsets == list(range(120, 333))
        assert service.logs["orders", 0].offsets == list(range(500, 600))
        assert {append.epoch for append in service.backfills["orders", 0].appends} == {3}
        await until(lambda: ORDERS in older.paused)
        assert ORDERS not in source.paused

    play_both(tmp_path, scenario, large=large)


def test_without_a_range_there_is_no_second_source(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, older: FakeSource) -> None:
        service.assign({"orders": (3, [0])})
        await until(lambda: service.logs["orders", 0].end_offset == 600)
        assert not older.running
        assert not older.added

    play_both(tmp_path, scenario)


def test_another_range_takes_the_place_of_one(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, older: FakeSource) -> None:
        service.older["orders", 0] = (120, 333)
        service.assign({"orders": (3, [0])})
        await until(lambda: service.backfills["orders", 0].end_offset == 333)
        service.backfills["orders", 0].end_offset = 10
        service.older["orders", 0] = (10, 100)
        service.assign({"orders": (3, [0])})
        await until(lambda: service.backfills["orders", 0].end_offset == 100)
        # None is wanted any more: it is forgotten, and the tail goes on.
        del service.older["orders", 0]
        service.assign({"orders": (3, [0])})
        await until(lambda: ORDERS not in older.partitions)
        await until(lambda: not service.backfill_reports)
        assert source.partitions == {ORDERS}

    play_both(tmp_path, scenario)


def test_what_the_source_has_lost_is_told_up_to_the_end_of_the_range(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, older: FakeSource) -> None:
        detail = "the source deleted it"
        empty = SourcePartition("orders", 1)
        older.problems[empty] = Problem(ProblemReason.SOURCE_RETENTION, detail, 400)
        service.older["orders", 1] = (120, 333)
        service.assign({"orders": (3, [0, 1])})
        await until(lambda: service.backfills["orders", 1].end_offset == 333)
        gaps = [append for append in service.backfills["orders", 1].appends if append.gap]
        assert [(gap.base_offset, gap.end_offset) for gap in gaps] == [(120, 333)]

    play_both(tmp_path, scenario)


def test_a_bad_record_blocks_the_range_and_not_the_tail(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, older: FakeSource) -> None:
        older.write("orders", 1, *values(0, 50), b"no object", *values(51, 90))
        service.older["orders", 1] = (20, 80)
        service.assign({"orders": (3, [0, 1])})
        await until(lambda: ("orders", 1) in service.backfill_reports)
        await until(
            lambda: MiningState(service.backfill_reports["orders", 1].state) is MiningState.BLOCKED
        )
        assert "offset 50" in service.backfill_reports["orders", 1].error
        assert service.backfills["orders", 1].end_offset == 50
        await until(lambda: service.logs["orders", 0].end_offset == 600)
        assert service.state("orders", 0) is MiningState.MINING

    play_both(tmp_path, scenario, non_json_policy="stop")


def test_what_is_refused_is_tried_again_from_where_the_service_says(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, older: FakeSource) -> None:
        service.refuse = lambda append: "NOT_WANTED" if append.backfill else ""
        service.older["orders", 0] = (120, 333)
        service.assign({"orders": (3, [0])})
        await until(lambda: len(service.refused) > 1)
        service.backfills["orders", 0].end_offset = 200
        service.refuse = lambda append: ""
        async with asyncio.timeout(120):
            while service.backfills["orders", 0].end_offset != 333:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert service.backfills["orders", 0].offsets == list(range(200, 333))

    play_both(tmp_path, scenario)


@of_both_sizes
def test_another_range_comes_while_the_last_append_of_one_is_being_sent(large: bool) -> None:
    sent: list[tuple[int, int]] = []

    class SlowStream(AppendStream):
        """The service names another range while it takes the end of the first one."""

        def __init__(self) -> None:
            super().__init__(None, backfill=True)

        async def append(
            self,
            connection: str,
            held: HeldPartition,
            append: EncodedAppend,
            trace: AppendTrace | None = None,
            *,
            more: bool = False,
        ) -> None:
            sent.append((append.base_offset, append.end_offset))
            if append.end_offset == 200:
                miner.assign([_older(10, 100)])

        async def answer(self) -> Answer:
            raise AssertionError("nobody takes answers")

    async def run() -> None:
        source.write("orders", 0, *values(0, 200))
        miner.assign([_older(100, 200)])
        mining = asyncio.create_task(miner.mine())
        try:
            await until(lambda: sent[-1:] == [(10, 100)])
            await until(lambda: ORDERS in source.paused)
        finally:
            mining.cancel()
            miner.close()

    source = FakeSource(large=large)
    connection = ConnectionSettings("default", ("127.0.0.1:1",))
    miner = Miner(SlowStream(), source, connection, 1 << 20)
    asyncio.run(run())


def _older(begin: int, end: int) -> AssignedTopic:
    return AssignedTopic("orders", 1, 1, {0: begin}, end_offsets={0: end})


def test_a_range_is_taken_away_while_the_gap_before_it_is_being_sent() -> None:
    class SlowStream(AppendStream):
        def __init__(self) -> None:
            super().__init__(None, backfill=True)

        async def append(
            self,
            connection: str,
            held: HeldPartition,
            append: EncodedAppend,
            trace: AppendTrace | None = None,
            *,
            more: bool = False,
        ) -> None:
            sent.append((held.partition.number, append.base_offset, append.end_offset))
            miner.assign([])

    sent: list[tuple[int, int, int]] = []
    source = FakeSource()
    for number in (0, 1):
        partition = SourcePartition("orders", number)
        source.problems[partition] = Problem(ProblemReason.SOURCE_RETENTION, "gone", 50)
    miner = Miner(SlowStream(), source, ConnectionSettings("default", ("127.0.0.1:1",)), 1 << 20)
    miner.assign([AssignedTopic("orders", 1, 1, {0: 10, 1: 10}, end_offsets={0: 100, 1: 100})])
    asyncio.run(miner.look())
    miner.close()
    assert sent == [(0, 10, 50)]
    assert not source.partitions
