"""A whole reader between a source in memory and a service in memory, with real gRPC between."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.errors import PreconditionFailed
from cachesvc.mining.miner import ConnectionSettings
from cachesvc.mining.reader import ReaderSettings, run_reader
from cachesvc.mining.source import EARLIEST, Problem, ProblemReason, SourcePartition
from cachesvc.model import MiningState, RejectReason
from cachesvc.v1 import mining_pb2 as pb
from tests.unit.mining.fake_service import FakeService, serving, until
from tests.unit.mining.fake_source import FakeSource

Scenario = Callable[[FakeService, FakeSource, "asyncio.Task[None]"], Awaitable[None]]


def values(begin: int, end: int) -> list[bytes]:
    return [b'{"id":%d}' % number for number in range(begin, end)]


def texts(begin: int, end: int) -> list[str]:
    return [value.decode() for value in values(begin, end)]


def play(
    tmp_path: Path,
    scenario: Scenario,
    *,
    service: Callable[[], FakeService] = FakeService,
    **settings: Any,
) -> None:
    """Runs a scenario against a running reader, and ends the reader if the scenario did not."""

    async def stage() -> None:
        fake, source = service(), FakeSource()
        async with serving(fake, tmp_path) as address:
            reader = asyncio.ensure_future(
                run_reader(
                    ReaderSettings(
                        service=address,
                        name="reader-1",
                        connection="default",
                        **{"report_interval_s": 0.02, "flush_timeout_s": 0.3, **settings},
                    ),
                    lambda connection: source.begin_again(),
                )
            )
            try:
                await scenario(fake, source, reader)
                if not reader.done():
                    os.kill(os.getpid(), signal.SIGTERM)
                    async with asyncio.timeout(5):
                        await reader
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)

    asyncio.run(stage())


def test_mines_what_it_is_assigned(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.write("orders", 0, *values(0, 250))
        source.write("orders", 1, *values(0, 30))
        source.write("other", 0, *values(0, 30))
        service.assign({"orders": (3, [0, 1])})

        await until(lambda: service.logs["orders", 0].end_offset == 250)
        await until(lambda: service.logs["orders", 1].end_offset == 30)

        log = service.logs["orders", 0]
        assert log.values == texts(0, 250)
        assert log.offsets == list(range(250))
        assert {append.epoch for append in log.appends} == {3}
        assert {append.incarnation for append in log.appends} == {1}
        assert {append.connection for append in log.appends} == {"default"}
        assert log.appends[0].min_timestamp_ms == 1_000
        assert source.partitions == {SourcePartition("orders", 0), SourcePartition("orders", 1)}
        (join,) = service.joins
        assert (join.reader, join.connection, join.pid) == ("reader-1", "default", os.getpid())
        assert join.protocol_version == 1

    play(tmp_path, scenario)


def test_goes_on_at_the_resume_offset(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.write("orders", 0, *values(0, 100))
        service.logs["orders", 0].end_offset = 60
        service.assign({"orders": (1, [0])})

        await until(lambda: service.logs["orders", 0].end_offset == 100)

        assert service.logs["orders", 0].offsets == list(range(60, 100))
        assert service.logs["orders", 0].appends[0].base_offset == 60

    play(tmp_path, scenario)


def test_an_empty_log_begins_where_the_source_begins(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.write("orders", 0, *values(0, 100))
        source.begin_at("orders", 0, 40)
        service.assign({"orders": (1, [0])})

        await until(lambda: service.logs["orders", 0].end_offset == 100)

        assert source.added == [(SourcePartition("orders", 0), EARLIEST)]
        assert service.logs["orders", 0].appends[0].base_offset == 40

    play(tmp_path, scenario)


def test_holes_are_covered_even_without_records(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.write("orders", 0, *values(0, 2))
        service.assign({"orders": (1, [0])})
        await until(lambda: service.logs["orders", 0].end_offset == 2)

        source.skip("orders", 0, 5)

        await until(lambda: service.logs["orders", 0].end_offset == 7)
        last = service.logs["orders", 0].appends[-1]
        assert (last.base_offset, last.record_count, last.payload) == (2, 0, b"")

    play(tmp_path, scenario)


def test_bad_records_are_kept_apart(tmp_path: Path) -> None:
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

    play(tmp_path, scenario)


def test_stop_blocks_the_partition_and_no_other(tmp_path: Path) -> None:
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

    play(tmp_path, scenario, service=lambda: FakeService(non_json_policy="stop"))


def test_a_new_assignment_leaves_others_undisturbed(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.write("a", 0, *values(0, 10))
        source.write("b", 0, *values(0, 10))
        service.assign({"a": (1, [0])})
        await until(lambda: service.logs["a", 0].end_offset == 10)

        service.assign({"a": (1, [0, 1]), "b": (7, [0])})
        await until(lambda: service.logs["b", 0].end_offset == 10)
        source.write("a", 0, *values(10, 20))
        source.write("a", 1, *values(0, 5))
        await until(lambda: service.logs["a", 0].end_offset == 20)
        await until(lambda: service.logs["a", 1].end_offset == 5)
        service.assign({"b": (7, [0])})
        await until(lambda: source.partitions == {SourcePartition("b", 0)})

        added = [partition for partition, _ in source.added]
        assert sorted(map(str, added)) == ["a/0", "a/1", "b/0"]
        assert service.logs["a", 0].offsets == list(range(20))

    play(tmp_path, scenario)


def test_nothing_is_fetched_while_the_window_is_full(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.batch_records = 10
        service.answering.clear()
        source.write("orders", 0, *values(0, 10_000))
        service.assign({"orders": (1, [0])})
        await until(lambda: service.logs["orders", 0].end_offset >= 10)
        await asyncio.sleep(0.2)

        held_back = source.polls
        assert held_back < 20
        await asyncio.sleep(0.2)
        assert source.polls == held_back

        service.answering.set()
        await until(lambda: service.logs["orders", 0].end_offset == 10_000)
        assert service.logs["orders", 0].offsets == list(range(10_000))

    play(tmp_path, scenario, service=lambda: FakeService(append_window_bytes_max=5_000))


def test_a_stale_epoch_drops_the_topic_until_it_is_assigned_anew(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.write("a", 0, *values(0, 10))
        source.write("b", 0, *values(0, 10))
        service.assign({"a": (1, [0]), "b": (1, [0])})
        await until(lambda: service.logs["a", 0].end_offset == 10)
        await until(lambda: service.logs["b", 0].end_offset == 10)

        # Another reader has it by now, and this one has not been told.
        service.topics = {"a": (2, [0]), "b": (1, [0])}
        source.write("a", 0, *values(10, 20))
        await until(lambda: service.refused == ["STALE_EPOCH"])
        await until(lambda: source.partitions == {SourcePartition("b", 0)})
        source.write("b", 0, *values(10, 20))
        await until(lambda: service.logs["b", 0].end_offset == 20)
        assert service.logs["a", 0].end_offset == 10

        service.assign({"a": (3, [0]), "b": (1, [0])})
        await until(lambda: service.logs["a", 0].end_offset == 20)
        assert service.logs["a", 0].offsets == list(range(20))

    play(tmp_path, scenario)


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
        service.refuse = lambda append: "DAMAGED_FILE" if append.topic == "a" else ""
        service.assign({"a": (1, [0]), "b": (1, [0])})
        await until(lambda: service.state("a", 0) is MiningState.FAILED)
        await asyncio.sleep(0.3)

        assert len(service.refused) < 10
        assert "DAMAGED_FILE" in service.reports["a", 0].error
        assert service.logs["b", 0].end_offset == 10

        service.refuse = lambda append: ""
        await until(lambda: service.logs["a", 0].end_offset == 10)
        await until(lambda: service.state("a", 0) is MiningState.MINING)
        assert service.logs["a", 0].offsets == list(range(10))

    play(tmp_path, scenario)


def test_damaged_bytes_stop_one_partition_until_they_are_whole(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.batch_records = 5
        source.damaged[SourcePartition("a", 0)] = 7
        source.write("a", 0, *values(0, 10))
        source.write("b", 0, *values(0, 10))
        service.assign({"a": (1, [0]), "b": (1, [0])})
        await until(lambda: service.state("a", 0) is MiningState.FAILED)
        await until(lambda: service.logs["b", 0].end_offset == 10)

        assert service.logs["a", 0].end_offset == 5
        assert "SOURCE_DAMAGED" in service.reports["a", 0].error

        source.repair("a", 0)
        await until(lambda: service.logs["a", 0].end_offset == 10)
        assert service.logs["a", 0].offsets == list(range(10))

    play(tmp_path, scenario)


def test_reports_what_the_source_says(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.write("a", 0, *values(0, 10))
        service.assign({"a": (1, [0])})
        await until(lambda: service.state("a", 0) is MiningState.MINING)
        assert service.reports["a", 0].source_high_watermark == 10
        assert service.reports["a", 0].error == ""

        partition = SourcePartition("a", 0)
        source.problems[partition] = Problem(ProblemReason.SOURCE_RETENTION, "[3, 5) is gone")
        await until(lambda: service.state("a", 0) is MiningState.FAILED)
        assert service.reports["a", 0].error == "SOURCE_RETENTION: [3, 5) is gone"

        source.problems[partition] = Problem(ProblemReason.SOURCE_UNREACHABLE, "node 1")
        await until(lambda: service.state("a", 0) is MiningState.SOURCE_UNREACHABLE)

        source.problems.clear()
        source.error = "no broker answers"
        await until(lambda: service.source_error == "no broker answers")
        assert service.state("a", 0) is MiningState.SOURCE_UNREACHABLE

        source.error = ""
        await until(lambda: service.source_error == "")
        await until(lambda: service.state("a", 0) is MiningState.MINING)

    play(tmp_path, scenario)


def test_a_lost_service_is_joined_again_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        address = f"unix:{tmp_path / 'service.sock'}"
        source.batch_records = 7
        service.assign({"a": (1, [0])})
        for round_ in range(4):
            source.write("a", 0, *values(1_000 * round_, 1_000 * (round_ + 1)))
            service.answering.clear()
            await until(lambda r=round_: service.logs["a", 0].end_offset > 1_000 * r + 20)  # type: ignore[misc]
            await service.stop()
            # What it had not answered, it forgets in part.
            log = service.logs["a", 0]
            lost = log.appends.pop()
            log.end_offset = lost.base_offset
            service.answering.set()
            await service.start(address)
            await until(lambda r=round_: service.logs["a", 0].end_offset == 1_000 * (r + 1))  # type: ignore[misc]

        assert service.logs["a", 0].offsets == list(range(4_000))
        assert len(service.joins) == 5
        assert service.refused == []

    play(tmp_path, scenario, retry_s_max=0.1)


def test_a_service_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    async def scenario(
        service: FakeService, source: FakeSource, reader: asyncio.Task[None]
    ) -> None:
        await service.stop()
        source.write("a", 0, *values(0, 10))
        service.assign({"a": (1, [0])})
        await asyncio.sleep(0.3)
        assert not reader.done()

        await service.start(f"unix:{tmp_path / 'service.sock'}")

        await until(lambda: service.logs["a", 0].end_offset == 10)

    play(tmp_path, scenario, retry_s_max=0.2)


def test_another_protocol_version_ends_the_process(tmp_path: Path) -> None:
    class Newer(FakeService):
        async def Join(self, requests: Any, context: Any) -> None:  # noqa: N802
            from google.rpc import error_details_pb2, status_pb2  # noqa: PLC0415

            await anext(aiter(requests))
            status = status_pb2.Status(code=9, message="run both from the same version")
            status.details.add().Pack(error_details_pb2.ErrorInfo(reason="VERSION_MISMATCH"))
            context.set_trailing_metadata(
                (("grpc-status-details-bin", status.SerializeToString()),)
            )
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, status.message)

    async def scenario(_: FakeService, __: FakeSource, reader: asyncio.Task[None]) -> None:
        with pytest.raises(PreconditionFailed, match="same version") as raised:
            await asyncio.wait_for(reader, 5)
        assert raised.value.reason == "VERSION_MISMATCH"

    play(tmp_path, scenario, service=Newer)


def test_settings_that_make_no_sense_are_asked_for_again(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.write("a", 0, *values(0, 1))
        service.assign({"a": (1, [0])})
        await until(lambda: len(service.joins) > 1)
        service.settings["non_json_policy"] = "reject"
        await until(lambda: service.logs["a", 0].end_offset == 1)

    play(tmp_path, scenario, service=lambda: FakeService(non_json_policy="?"), retry_s_max=0.1)


def test_sigterm_waits_for_what_is_on_its_way(tmp_path: Path) -> None:
    async def scenario(
        service: FakeService, source: FakeSource, reader: asyncio.Task[None]
    ) -> None:
        service.answering.clear()
        source.write("a", 0, *values(0, 100))
        service.assign({"a": (1, [0])})
        await until(lambda: service.logs["a", 0].end_offset == 100)

        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.2)
        assert not reader.done()
        source.write("a", 0, *values(100, 200))
        service.answering.set()
        await asyncio.wait_for(reader, 5)

        assert service.logs["a", 0].end_offset == 100
        assert not source.running

    play(tmp_path, scenario, flush_timeout_s=30.0)


def test_a_clean_end_takes_bounded_time(tmp_path: Path) -> None:
    async def scenario(
        service: FakeService, source: FakeSource, reader: asyncio.Task[None]
    ) -> None:
        service.answering.clear()
        source.write("a", 0, *values(0, 100))
        service.assign({"a": (1, [0])})
        await until(lambda: service.logs["a", 0].end_offset == 100)

        began_s = time.monotonic()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(reader, 5)

        assert 0.3 <= time.monotonic() - began_s < 3
        assert service.logs["a", 0].end_offset == 100

    play(tmp_path, scenario, flush_timeout_s=0.3)


def test_ends_at_once_while_it_waits_for_a_service(tmp_path: Path) -> None:
    async def scenario(service: FakeService, _: FakeSource, reader: asyncio.Task[None]) -> None:
        await service.stop()
        await asyncio.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(reader, 2)

    play(tmp_path, scenario, retry_s_max=60.0)


def test_ends_while_a_service_does_not_say_a_word(tmp_path: Path) -> None:
    class Silent(FakeService):
        async def Join(self, requests: Any, context: Any) -> None:  # noqa: N802
            self.joins.append(await anext(aiter(requests)))
            await asyncio.sleep(60)

    async def scenario(service: FakeService, _: FakeSource, reader: asyncio.Task[None]) -> None:
        await until(lambda: bool(service.joins))
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(reader, 2)

    play(tmp_path, scenario, service=Silent)


def test_answers_that_nobody_asked_for_lose_the_service(tmp_path: Path) -> None:
    class Confused(FakeService):
        async def Append(self, requests: Any, context: Any) -> None:  # noqa: N802
            await context.write(pb.AppendResponse(topic="a", log_end_offset=5))
            await asyncio.sleep(60)

    async def scenario(service: FakeService, _: FakeSource, __: object) -> None:
        await until(lambda: len(service.joins) > 2)

    play(tmp_path, scenario, service=Confused, retry_s_max=0.1)


def test_ends_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import asyncio\n"
        "from cachesvc.mining.reader import ReaderSettings, run_reader\n"
        f"settings = ReaderSettings(service='unix:{tmp_path}/none.sock', name='r',"
        " connection='c', exit_with_parent=True)\n"
        "asyncio.run(run_reader(settings))\n"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        assert process.stdin is not None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
        process.stdin.close()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def test_unknown_settings_of_the_service_are_no_obstacle() -> None:
    settings = ConnectionSettings("c", ("h:1",))

    assert settings.batch_records_max <= 4_000
