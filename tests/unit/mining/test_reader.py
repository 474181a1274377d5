"""What a reader mines, sends and reports."""

import asyncio
import os
from pathlib import Path

import pytest

from cachesvc.mining.source import EARLIEST, FetchCounts, Problem, ProblemReason, SourcePartition
from cachesvc.model import MiningState
from tests.unit.mining.fake_service import FakeService, until
from tests.unit.mining.fake_source import FakeSource
from tests.unit.mining.stage import of_both_sizes, play, texts, values


@of_both_sizes
def test_mines_what_it_is_assigned(tmp_path: Path, large: bool) -> None:
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

    play(tmp_path, scenario, large=large)


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


def _serving(*, joins: bool) -> FakeService:
    service = FakeService(append_window_bytes_max=1 << 20)
    service.joins_appends = joins
    return service


@pytest.mark.parametrize("joins", [True, False], ids=["joined", "one_by_one"])
def test_what_one_fetch_brings_goes_together_where_the_service_takes_that(
    tmp_path: Path, joins: bool
) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        for number in range(4):
            source.write("orders", number, *values(number, number + 20))
        service.assign({"orders": (1, range(4))})

        await until(lambda: sum(log.end_offset for log in service.logs.values()) == 80)

        for number in range(4):
            assert service.logs["orders", number].values == texts(number, number + 20)
        assert max(service.together, default=0) == (4 if joins else 0)

    play(tmp_path, scenario, service=lambda: _serving(joins=joins))


def test_a_full_window_does_not_wait_for_what_is_held(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        for number in range(4):
            source.write("orders", number, *values(0, 20))
        service.assign({"orders": (1, range(4))})

        await until(lambda: sum(log.end_offset for log in service.logs.values()) == 80)

    play(tmp_path, scenario, service=lambda: FakeService(append_window_bytes_max=1))


@of_both_sizes
def test_nothing_is_fetched_while_the_window_is_full(tmp_path: Path, large: bool) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.batch_records = 10
        service.answering.clear()
        source.write("orders", 0, *values(0, 10_000))
        service.assign({"orders": (1, [0])})
        await until(lambda: service.logs["orders", 0].end_offset >= 10)
        await asyncio.sleep(0.4)
        assert source.polls < 20, "of a thousand"

        service.answering.set()
        await until(lambda: service.logs["orders", 0].end_offset == 10_000)
        assert service.logs["orders", 0].offsets == list(range(10_000))

    play(
        tmp_path, scenario, large=large, service=lambda: FakeService(append_window_bytes_max=5_000)
    )


def test_a_large_append_goes_in_parts(tmp_path: Path) -> None:
    value = b'{"v":"%s"}' % os.urandom(6 << 20).hex().encode()

    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.write("a", 0, b"{}", value, b"[%s]" % value, b"{}")
        service.assign({"a": (1, [0])})
        await until(lambda: service.logs["a", 0].end_offset == 4)

        assert service.parts > 4
        assert service.logs["a", 0].values == ["{}", value.decode(), "{}"]
        assert [row["value"] for row in service.logs["a", 0].rejects()] == [b"[%s]" % value]

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
        source.throttled_s = 1.5
        await until(lambda: service.source_error == "")
        await until(lambda: service.throttled_ms == 1_500)
        await until(lambda: service.state("a", 0) is MiningState.MINING)

    play(tmp_path, scenario)


def test_a_reader_tells_what_it_takes_and_does(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        service.assign({"a": (1, [0])})
        source.write("a", 0, *values(0, 10))
        source.fetches = FetchCounts(answered=3, failed=1, bytes=700)
        await until(lambda: service.figures.fetches == 3)
        assert (service.figures.fetches_failed, service.figures.fetched_bytes) == (1, 700)
        assert service.figures.cpu_s > 0
        assert service.figures.open_files > 2
        assert service.figures.resident_bytes > 1 << 20
        await until(lambda: service.logs["a", 0].end_offset == 10)
        await until(lambda: service.figures.busy_s > 0)
        await until(lambda: service.figures.unacknowledged_bytes == 0)

    play(tmp_path, scenario)


def test_a_source_that_throttles_is_no_source_that_is_away(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.throttled = "a quota holds its answers back"
        source.write("a", 0, *values(0, 10))
        service.assign({"a": (1, [0])})
        await until(lambda: service.state("a", 0) is MiningState.THROTTLED)
        assert service.reports["a", 0].error == "a quota holds its answers back"
        await until(lambda: service.logs["a", 0].end_offset == 10)

        source.problems[SourcePartition("a", 0)] = Problem(ProblemReason.SOURCE_ERROR, "no leader")
        await until(lambda: service.state("a", 0) is MiningState.FAILED)
        source.problems.clear()
        source.throttled = ""
        await until(lambda: service.state("a", 0) is MiningState.MINING)
        assert service.reports["a", 0].error == ""

    play(tmp_path, scenario)


def test_what_has_no_news_is_not_reported_every_time(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        service.assign({"many": (1, list(range(900)))})
        await until(lambda: len(service.reports) == 900)
        service.reports.clear()
        source.write("many", 7, b"{}")
        await until(lambda: ("many", 7) in service.reports)
        assert service.reports["many", 7].source_high_watermark == 1
        assert len(service.reports) < 300
        # What the service may have forgotten is told again with an assignment.
        service.assign({"many": (1, list(range(900)))})
        await until(lambda: len(service.reports) == 900)

    play(tmp_path, scenario)


def test_fetches_are_spaced_as_the_service_says(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        service.spacing_ms = 60
        service.assign({"a": (1, [0])})
        await until(lambda: source.spacing_s == 0.06)
        service.spacing_ms = 0
        service.assign({"a": (1, [0]), "b": (1, [0])})
        await until(lambda: len(source.partitions) == 2)
        assert source.spacing_s == 0.06, "nothing was said"

    play(tmp_path, scenario)


def test_the_cluster_to_mine_from_is_told_before_what_to_mine(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        service.cluster_id = "first"
        service.assign({"a": (1, [0])})
        await until(lambda: len(source.added) == 1)
        service.cluster_id = "second"
        service.assign({"a": (1, [0]), "b": (1, [0])})
        await until(lambda: len(source.added) == 2)
        assert source.expected_at_add == ["first", "second"]

    play(tmp_path, scenario)


def test_leader_epochs_come_with_assignments_and_go_with_appends(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        log = service.logs["a", 0]
        log.end_offset, log.leader_epoch = 5, 7
        source.leader_epoch = 8
        source.write("a", 0, *values(0, 10))
        source.write("b", 0, *values(0, 10))
        service.assign({"a": (1, [0]), "b": (1, [0])})
        await until(lambda: log.end_offset == 10 and service.logs["b", 0].end_offset == 10)

        assert dict(zip(source.added, source.epochs_added, strict=True)) == {
            (SourcePartition("a", 0), 5): 7,
            (SourcePartition("b", 0), EARLIEST): -1,
        }
        assert [append.leader_epoch for append in log.appends] == [8]

        # What was refused comes again, from where the service says what it has.
        log.end_offset, log.leader_epoch = 7, 4
        source.write("a", 0, *values(10, 20))
        await until(lambda: log.end_offset == 20)
        assert source.added[-1] == (SourcePartition("a", 0), 7)
        assert source.epochs_added[-1] == 4

    play(tmp_path, scenario)


def test_behind_a_gap_the_leader_epoch_is_not_known(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        partition = SourcePartition("a", 0)
        log = service.logs["a", 0]
        log.end_offset, log.leader_epoch = 5, 7
        reason = ProblemReason.SOURCE_RETENTION
        source.problems[partition] = Problem(reason, "deleted", resume_offset=30)
        service.assign({"a": (1, [0])})
        await until(lambda: log.end_offset == 30)
        await until(lambda: source.added[-1] == (partition, 30))

        assert source.epochs_added == [7, -1]
        assert log.appends[0].gap
        assert not log.appends[0].HasField("leader_epoch")

    play(tmp_path, scenario)
