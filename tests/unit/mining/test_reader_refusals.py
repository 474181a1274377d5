"""What a reader does with records that are no good, and with appends that are refused."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from cachesvc.mining.source import SourcePartition
from cachesvc.model import MiningState, RejectReason
from cachesvc.v1 import mining_pb2 as pb
from tests.unit.mining.fake_service import FakeService, until
from tests.unit.mining.fake_source import FakeSource
from tests.unit.mining.stage import of_both_sizes, play, values


@of_both_sizes
def test_bad_records_are_kept_apart(tmp_path: Path, large: bool) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.write("orders", 0, b"{}", b"nonsense", None, b"[]")
        service.assign({"orders": (1, [0])})

        await until(lambda: service.logs["orders", 0].end_offset == 4)

        log = service.logs["orders", 0]
        assert log.offsets == [0, 2]
        assert [(row["offset"], row["value"]) for row in log.rejects()] == [
            (1, b"nonsense"),
            (3, b"[]"),
        ]
        assert service.state("orders", 0) in (None, MiningState.MINING)

    play(tmp_path, scenario, large=large)


@of_both_sizes
def test_stop_blocks_the_partition_and_no_other(tmp_path: Path, large: bool) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.write("orders", 0, b"{}", b"{}", b"[]", b"{}")
        source.write("orders", 1, *values(0, 10))
        service.assign({"orders": (1, [0, 1])})
        await until(lambda: service.state("orders", 0) is MiningState.BLOCKED)
        source.write("orders", 0, b"{}")
        source.write("orders", 1, *values(10, 20))

        await until(lambda: service.logs["orders", 1].end_offset == 20)

        assert service.logs["orders", 0].end_offset == 2
        report = service.reports["orders", 0]
        for word in ("orders", "partition 0", "offset 2", RejectReason.NOT_AN_OBJECT.value):
            assert word in report.error
        await until(lambda: service.reports["orders", 0].source_high_watermark == 5)
        assert SourcePartition("orders", 0) in source.paused

        # The same epoch again changes nothing; a new one tries that record again.
        service.assign({"orders": (1, [0, 1]), "other": (1, [0])})
        await until(lambda: SourcePartition("other", 0) in source.partitions)
        assert source.added.count((SourcePartition("orders", 0), 2)) == 0
        service.assign({"orders": (2, [0, 1])})
        await until(lambda: (SourcePartition("orders", 0), 2) in source.added)
        await until(lambda: service.state("orders", 0) is MiningState.BLOCKED)
        assert service.logs["orders", 0].end_offset == 2

    play(tmp_path, scenario, large=large, service=lambda: FakeService(non_json_policy="stop"))


@of_both_sizes
def test_a_stale_epoch_drops_the_topic_until_a_new_one(tmp_path: Path, large: bool) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.write("a", 0, *values(0, 10))
        source.write("b", 0, *values(0, 10))
        service.assign({"a": (1, [0]), "b": (1, [0])})
        await until(lambda: service.logs["a", 0].end_offset == 10)
        await until(lambda: service.logs["b", 0].end_offset == 10)

        # Another reader has it by now, and this one has not been told.
        service.topics = {"a": (2, [0]), "b": (1, [0])}
        source.write("a", 0, *values(10, 20))
        await until(lambda: bool(service.refused))
        assert set(service.refused) == {"STALE_EPOCH"}
        await until(lambda: source.partitions == {SourcePartition("b", 0)})
        source.write("b", 0, *values(10, 20))
        await until(lambda: service.logs["b", 0].end_offset == 20)
        assert service.logs["a", 0].end_offset == 10

        service.assign({"a": (3, [0]), "b": (1, [0])})
        await until(lambda: service.logs["a", 0].end_offset == 20)
        assert service.logs["a", 0].offsets == list(range(20))

    play(tmp_path, scenario, large=large)


@pytest.mark.parametrize("log_end", [40, 100])
def test_what_is_not_contiguous_is_mined_from_the_logs_end(tmp_path: Path, log_end: int) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.batch_records = 10
        source.write("a", 0, *values(0, 60))
        service.assign({"a": (1, [0])})
        await until(lambda: service.logs["a", 0].end_offset == 60)

        log = service.logs["a", 0]
        log.end_offset = log_end
        log.appends.clear()
        source.write("a", 0, *values(60, 200))
        await until(lambda: log.end_offset == 200)

        assert log.offsets == list(range(log_end, 200))
        assert set(service.refused) == {"NOT_CONTIGUOUS"}
        assert source.added.count((SourcePartition("a", 0), log_end)) == 1

    play(tmp_path, scenario)


def test_refusals_in_a_row_are_spaced_out_and_reported(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.write("a", 0, *values(0, 10))
        source.write("b", 0, *values(0, 10))
        service.refuse = lambda append: "STORE_WRITE_FAILED" if append.topic == "a" else ""
        service.assign({"a": (1, [0]), "b": (1, [0])})
        await until(lambda: service.state("a", 0) is MiningState.FAILED)
        await asyncio.sleep(0.3)

        assert len(service.refused) < 10
        assert "STORE_WRITE_FAILED" in service.reports["a", 0].error
        await until(lambda: service.logs["b", 0].end_offset == 10)

        service.refuse = lambda append: ""
        await until(lambda: service.logs["a", 0].end_offset == 10)
        await until(lambda: service.state("a", 0) is MiningState.MINING)
        assert service.logs["a", 0].offsets == list(range(10))

    play(tmp_path, scenario)


@of_both_sizes
def test_what_cannot_be_decoded_blocks_its_partition_until_the_next_attempt(
    tmp_path: Path, large: bool
) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.damaged[SourcePartition("a", 0)] = 7
        source.write("a", 0, *values(0, 10))
        source.write("b", 0, *values(0, 10))
        service.assign({"a": (1, [0]), "b": (1, [0])})
        await until(lambda: service.state("a", 0) is MiningState.BLOCKED)
        source.write("b", 0, *values(10, 20))
        await until(lambda: service.logs["b", 0].end_offset == 20)

        blocked = service.reports["a", 0].blocked
        assert (blocked.reason, blocked.offset) == ("UNDECODABLE", 7)
        assert blocked.bytes > 0
        assert "SOURCE_DAMAGED" in blocked.detail
        assert service.logs["a", 0].offsets == list(range(7))

        source.repair("a", 0)
        service.attempts["a", 0] = 1
        service.assign({"a": (1, [0]), "b": (1, [0])})
        await until(lambda: service.logs["a", 0].end_offset == 10)
        await until(lambda: service.state("a", 0) is MiningState.MINING)
        assert service.logs["a", 0].offsets == list(range(10))
        assert len(service.joins) == 1

    play(tmp_path, scenario, large=large)


@of_both_sizes
def test_what_is_refused_blocks_its_partition_at_that_record(tmp_path: Path, large: bool) -> None:
    def refuse(append: pb.AppendRequest) -> str:
        bad = append.topic == "a" and append.base_offset <= 57 < append.end_offset
        return "INVALID_APPEND" if bad else ""

    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        service.refuse = refuse
        source.write("a", 0, *values(0, 100))
        source.write("b", 0, *values(0, 10))
        service.assign({"a": (1, [0]), "b": (1, [0])})
        await until(lambda: service.state("a", 0) is MiningState.BLOCKED)
        await until(lambda: service.logs["b", 0].end_offset == 10)

        blocked = service.reports["a", 0].blocked
        assert (blocked.reason, blocked.offset) == ("APPEND_REFUSED", 57)
        assert "INVALID_APPEND" in blocked.detail
        assert service.logs["a", 0].offsets == list(range(57))
        assert len(service.joins) == 1

    play(tmp_path, scenario, large=large)


@pytest.mark.parametrize("policy", ["reject", "stop"])
def test_a_record_above_the_limit_is_kept_apart_or_stops_its_partition(
    tmp_path: Path, policy: str
) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.write("a", 0, b"{}", b'{"v":"%s"}' % (b"x" * 3_000), b"{}")
        service.assign({"a": (1, [0])})
        log = service.logs["a", 0]
        if policy == "stop":
            await until(lambda: service.state("a", 0) is MiningState.BLOCKED)
            blocked = service.reports["a", 0].blocked
            assert (blocked.reason, blocked.offset, blocked.bytes) == ("TOO_LARGE", 1, 3_008)
            assert log.offsets == [0]
            return
        await until(lambda: log.end_offset == 3)
        assert log.offsets == [0, 2]
        (reject,) = log.rejects()
        assert (reject["offset"], reject["reason"], reject["value"]) == (1, "TOO_LARGE", None)
        assert "3008 bytes" in reject["detail"]

    limited = partial(FakeService, record_bytes_max=3_000, non_json_policy=policy)
    play(tmp_path, scenario, service=limited)
