"""Streams with a filter: what they send, and that positions mean what they mean without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachesvc.errors import DataLoss, InvalidRequest
from cachesvc.filters.reducing import Reduction
from cachesvc.serving.convert import subscribe_call
from cachesvc.store.frames import Frame
from cachesvc.v1 import filters_pb2
from cachesvc.v1 import log_cache_pb2 as pb
from tests.support.frames import ORDERS, Record, frame
from tests.unit.log.running import roll, until
from tests.unit.serving.test_snapshot_streams import Streams, Told, play, rows

ODD = 'value.kind == "odd"'


def value(offset: int) -> str:
    return f'{{"n":{offset},"kind":"{"odd" if offset % 2 else "even"}"}}'


async def mine(streams: Streams, begin: int, end: int, *, sealed: bool = False) -> None:
    """Records with their offsets as times."""
    new = [Record(offset, value(offset), b"%d" % offset) for offset in range(begin, end)]
    await streams.plan.store.writer.accept(streams.log, frame(begin, end, new))
    streams.plan.lookup.ends["orders", 0] = end
    streams.plan.store.note_source_end(streams.log, end)
    if sealed:
        await roll(streams.plan.store, streams.log)


@asynccontextmanager
async def filtered(
    streams: Streams, text: str = ODD, **request: Any
) -> AsyncIterator[tuple[Told, asyncio.Future[None]]]:
    request = {"bootstrap": pb.NONE, "filter_text": text, **request}
    async with streams.open(**request) as opened:
        yield opened


def batches(told: Told) -> list[tuple[int, int, list[int]]]:
    return [
        (b.base_offset, b.next_position, [record.offset for record in b.records])
        for b in (each.batch for each in told if each.WhichOneof("event") == "batch")
    ]


def position(told: Told) -> int:
    """Where a client knows the stream to be."""
    reached = 0
    for each in told:
        match each.WhichOneof("event"):
            case "batch":
                reached = each.batch.next_position
            case "progress":
                reached = max([reached, *(p.position for p in each.progress.partitions)])
            case "ended":
                reached = each.ended.positions[0].offset
    return reached


def at(told: Told, offset: int) -> bool:
    return position(told) == offset


def covered(told: Told) -> int:
    """The same, held against what a client relies on: nothing lies between what it is told."""
    reached = 0
    for each in told:
        match each.WhichOneof("event"):
            case "batch":
                batch = each.batch
                assert batch.base_offset == reached
                assert all(reached <= r.offset < batch.next_position for r in batch.records)
                assert batch.record_count == len(batch.records) > 0
                reached = batch.next_position
            case "progress":
                reached = each.progress.partitions[0].position
    return reached


def run(tmp_path: Path, test: Callable[[Streams], Awaitable[None]]) -> None:
    async def created(streams: Streams) -> None:
        await streams.create()
        await test(streams)

    play(tmp_path, created)


def test_only_what_meets_the_filter_is_sent(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        await mine(streams, 0, 6, sealed=True)
        await mine(streams, 6, 10)
        async with filtered(streams) as (told, _):
            await until(lambda: position(told) == 10)
            assert [offset for offset, *_ in rows(told)] == [1, 3, 5, 7, 9]
            assert batches(told)[0][0] == 0, "the first record of the log, met or not"
            assert covered(told) == 10
            await until(lambda: any(each.HasField("caught_up") for each in told))

    run(tmp_path, test)


def test_a_filter_that_leaves_nothing_moves_the_position_and_says_so(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        await mine(streams, 0, 5)
        async with filtered(streams, 'value.kind == "none"') as (told, _):
            await until(lambda: position(told) == 5)
            await mine(streams, 5, 9)
            await until(lambda: position(told) == 9)
            assert not batches(told)
            await streams.commit(9)
        assert streams.plan.subscriptions.get("copies").positions == {ORDERS: 9}
        async with filtered(streams, 'value.kind == "none"') as (told, _):
            assert told[0].started.positions[0].offset == 9

    run(tmp_path, test)


def test_while_records_keep_coming_of_which_none_is_left_the_position_is_told(
    tmp_path: Path,
) -> None:
    """The stream always has something to do, and still its client must not take it for dead."""

    async def test(streams: Streams) -> None:
        await mine(streams, 0, 1)
        async with filtered(streams, 'value.kind == "none"') as (told, _):
            mined = 1
            while sum(each.HasField("progress") for each in told) < 4:
                await mine(streams, mined, mined + 1)
                mined += 1
                await asyncio.sleep(0)
            assert 0 < position(told) <= mined

    run(tmp_path, test)


def test_base_offsets_count_what_was_passed_over(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        for begin in range(0, 40, 4):
            await mine(streams, begin, begin + 4, sealed=begin < 20)
        async with filtered(streams, "value.n == 30", end=ends(40)) as (told, serving):
            await serving
            assert batches(told)[0][2] == [30]
            assert covered(told) >= 32
            assert told[-1].ended.positions[0].offset == 40

    run(tmp_path, test)


def ends(offset: int) -> pb.Positions:
    return pb.Positions(positions=[pb.Position(topic="orders", offset=offset)])


def test_a_stream_with_a_filter_ends_where_it_would_without(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        await mine(streams, 0, 10)
        async with filtered(streams, end=ends(7)) as (told, serving):
            await serving
            assert [offset for offset, *_ in rows(told)] == [1, 3, 5]
            assert told[-1].ended.positions[0].offset == 7
        async with filtered(streams, "value.n == 100", mode=pb.FULL) as (told, serving):
            await serving
            assert not rows(told)
            assert told[-1].ended.positions[0].offset == 10

    run(tmp_path, test)


def test_a_gap_is_told_to_streams_that_nothing_was_sent_to(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        await mine(streams, 0, 4, sealed=True)
        await streams.lose(4, 8)
        await streams.plan.store.writer.accept(streams.log, frame(4, 8))
        await mine(streams, 8, 12)
        async with filtered(streams, "value.n == 100") as (told, serving):
            with pytest.raises(DataLoss):
                await serving
            gap = next(each.gap for each in told if each.HasField("gap"))
            assert (gap.begin_offset, gap.end_offset) == (4, 8)
        policy: dict[str, Any] = {
            "gap_policy": pb.GO_ON_BEHIND_GAP,
            "start": pb.Start(earliest=pb.Earliest()),
        }
        async with filtered(streams, **policy) as (told, serving):
            await until(lambda: position(told) == 12)
            assert [offset for offset, *_ in rows(told)] == [1, 3, 9, 11]

    run(tmp_path, test)


def test_what_is_left_is_made_once_for_all_streams_with_the_same_filter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, int]] = []
    reduce = Reduction.reduce

    def counted(self: Reduction, of: Frame) -> Frame:
        made.append((of.base_offset, of.end_offset))
        return reduce(self, of)

    monkeypatch.setattr(Reduction, "reduce", counted)
    texts = [
        'value.kind == "odd" and value.n < 100',
        'value["n"] < 1e2 and "odd" == value.kind',
        'not (not (value.n < 100.0)) and value.kind in ["odd"]',
    ]

    async def test(streams: Streams) -> None:
        await mine(streams, 0, 4, sealed=True)
        await mine(streams, 4, 8)
        for text in texts:
            async with filtered(streams, text) as (told, _):
                await until(partial(at, told, 8))
                assert [offset for offset, *_ in rows(told)] == [1, 3, 5, 7]
        assert sorted(made) == [(0, 4), (4, 8)]
        async with filtered(streams, 'value.kind == "even"') as (told, _):
            await until(lambda: position(told) == 8)
            assert [offset for offset, *_ in rows(told)] == [0, 2, 4, 6]
        assert len(made) == 4

    run(tmp_path, test)


def test_a_projection_leaves_parts_of_records_out(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        await mine(streams, 0, 3)
        wanted = filters_pb2.Projection(fields=["n"])
        async with filtered(streams, projection=wanted) as (told, _):
            await until(lambda: position(told) == 3)
            assert [text for _, text, _ in rows(told)] == ['{"n":1}']
        nothing = filters_pb2.Projection(without_value=True)
        async with filtered(streams, "", projection=nothing) as (told, _):
            await until(lambda: position(told) == 3)
            assert [text for _, text, _ in rows(told)] == ["{}"] * 3

    run(tmp_path, test)


def test_a_snapshot_is_filtered_like_the_log(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        await streams.mine({"a": '{"kind":"odd"}', "b": '{"kind":"even"}', "c": '{"kind":"odd"}'})
        await streams.mine({"a": '{"kind":"even"}', "d": '{"kind":"odd"}'})
        await streams.snapshot()
        await streams.mine({"e": '{"kind":"odd"}', "f": '{"kind":"even"}'})
        async with filtered(streams, bootstrap=pb.SNAPSHOT) as (told, _):
            await until(lambda: position(told) == 7)
            found = [(offset, snapshot) for offset, _, snapshot in rows(told)]
            assert found == [(2, True), (4, True), (5, False)]

    run(tmp_path, test)


@settings(max_examples=6, deadline=None)
@given(
    cuts=st.lists(st.tuples(st.integers(1, 7), st.booleans()), min_size=1, max_size=6),
    start=st.integers(0, 20),
    bound=st.integers(0, 30),
    bytes_max=st.sampled_from([64 << 10, 1 << 20]),
)
def test_a_stream_sends_what_filtering_at_the_client_leaves(
    cuts: Sequence[tuple[int, bool]],
    start: int,
    bound: int,
    bytes_max: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async def test(streams: Streams) -> None:
        end = 0
        for count, sealed in cuts:
            await mine(streams, end, end + count, sealed=sealed)
            end += count
        begin = min(start, end - 1)
        request = {
            "start": pb.Start(
                positions=pb.Positions(positions=[pb.Position(topic="orders", offset=begin)])
            ),
            "end": ends(end),
            "batch_bytes_max": bytes_max,
        }
        text = f'value.n >= {bound} and value.kind == "odd"'
        async with filtered(streams, "", **request) as (everything, serving):
            await serving
        async with filtered(streams, text, **request) as (told, serving):
            await serving
        at_client = [each for each in rows(everything) if each[0] >= bound and each[0] % 2]
        assert rows(told) == at_client
        assert told[-1] == everything[-1]
        reached = begin
        for base, following, offsets in batches(told):
            assert base == reached, "nothing else was told in between"
            assert reached <= offsets[0] <= offsets[-1] < following
            reached = following

    run(tmp_path_factory.mktemp("stream"), test)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"filter_text": "value.a = 1"}, "line 1, character 1: cannot assign"),
        ({"filter_text": "value.a == 1 or"}, "at the end: invalid syntax"),
        ({"filter_text": 'matches(key, "\\d+")'}, "in r"),
        ({"filter_text": "price > 5"}, "'price' is none of key, timestamp"),
        ({"filter_text": "key == null"}, "exists"),
        ({"filter_text": 'timestamp > "2026-01-01"'}, "no time zone"),
        ({"filter_text": 'matches(key, "(")'}, "no RE2 expression"),
        ({"filter": filters_pb2.Filter()}, "empty"),
        ({"filter": filters_pb2.Filter(all_of=filters_pb2.FilterGroup())}, "empty"),
        (
            {
                "filter": filters_pb2.Filter(
                    field=filters_pb2.FieldTest(less=filters_pb2.Literal(number="1_0"))
                )
            },
            "no number of JSON",
        ),
        (
            {
                "filter_text": "exists(key)",
                "filter": filters_pb2.Filter(
                    key=filters_pb2.BytesTest(exists=filters_pb2.Presence())
                ),
            },
            "not both",
        ),
        ({"projection": filters_pb2.Projection(fields=["a..b"])}, "'a..b' is no path"),
        (
            {"projection": filters_pb2.Projection(fields=["a"], without_value=True)},
            "give one of without_value",
        ),
    ],
)
def test_what_is_no_filter_is_refused(request_: dict[str, Any], said: str) -> None:
    request = pb.SubscribeRequest(
        subscription="s", topics=["orders"], mode=pb.INCREMENTAL, **request_
    )
    with pytest.raises(InvalidRequest) as refused:
        subscribe_call(request)
    assert refused.value.reason == "INVALID_FILTER"
    assert said in str(refused.value)
