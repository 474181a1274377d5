"""Which frames go into one batch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cachesvc.log.reading import LogReader
from cachesvc.log.stores import Stores
from cachesvc.serving import batches as batches_module
from cachesvc.serving.batches import Batches, Whose
from cachesvc.serving.forms import Form, Part, body
from cachesvc.store import recoding
from cachesvc.store.frames import Frame
from tests.support.frames import (
    ORDERS,
    Record,
    assert_contiguous,
    frame,
    full_frame,
    full_frames,
    record,
    records,
    records_of,
)

KIB = 1 << 10


@pytest.fixture
def batches(tmp_path: Path) -> Iterator[Batches]:
    with ThreadPoolExecutor(2) as threads:
        yield Batches(LogReader(Stores(tmp_path, {}), threads, 1 << 20), 1 << 20)


def noise(offset: int, size: int) -> Record:
    """A record of about that size that LZ4 cannot fold."""
    return Record(offset, '"' + os.urandom(size // 2).hex() + '"')


def next_run(
    batches: Batches,
    frames: Sequence[Frame],
    position: int,
    end: int | None = None,
    bytes_max: int = 64 * KIB,
    form: Form = Form.ARROW_LZ4,
) -> Sequence[Frame]:
    parts = asyncio.run(batches.next_run(Whose(ORDERS), frames, position, end, form, bytes_max))
    assert [bytes(part.body) for part in parts] == [body(part.frame, form) for part in parts]
    return [part.frame for part in parts]


def all_runs(
    batches: Batches,
    frames: Sequence[Frame],
    end: int | None = None,
    bytes_max: int = 64 * KIB,
    form: Form = Form.ARROW_LZ4,
    begin: int | None = None,
) -> list[Sequence[Frame]]:
    """Batch after batch, as a stream takes them."""
    position = frames[0].base_offset if begin is None else begin
    stop = frames[-1].end_offset if end is None else end
    runs: list[Sequence[Frame]] = []
    while position < stop:
        left = [each for each in frames if each.end_offset > position]
        runs.append(next_run(batches, left, position, end, bytes_max, form))
        position = runs[-1][-1].end_offset
    return runs


def size(run: Sequence[Frame], form: Form = Form.ARROW_LZ4) -> int:
    return sum(len(body(each, form)) for each in run)


def flat(runs: Sequence[Sequence[Frame]]) -> list[Frame]:
    return [each for run in runs for each in run]


def test_small_frames_travel_together(batches: Batches) -> None:
    frames = full_frames(0, 100, 10)
    assert next_run(batches, frames, 0) == frames


def test_a_batch_stays_within_its_bound(batches: Batches) -> None:
    frames = [frame(base, base + 1, [noise(base, 20 * KIB)]) for base in range(10)]
    runs = all_runs(batches, frames)
    assert [len(run) for run in runs] == [3, 3, 3, 1]
    assert flat(runs) == frames


@pytest.mark.parametrize("form", Form)
def test_the_bound_counts_what_the_encoding_takes(batches: Batches, form: Form) -> None:
    frames = [frame(base, base + 1, [noise(base, 5 * KIB)]) for base in range(30)]
    runs = all_runs(batches, frames, form=form)
    assert flat(runs) == frames
    assert all(size(run, form) <= 64 * KIB for run in runs)


def test_begins_in_the_middle_of_a_frame(batches: Batches) -> None:
    frames = full_frames(0, 30, 10)
    run = next_run(batches, frames, 4)
    assert_contiguous(run, 4, 30)
    assert records_of(run) == records(4, 30)
    assert run[1:] == frames[1:]


@pytest.mark.parametrize("end", [1, 5, 10, 11, 15, 29, 30])
def test_ends_where_the_stream_ends(batches: Batches, end: int) -> None:
    frames = full_frames(0, 30, 10)
    found = flat(all_runs(batches, frames, end=end))
    assert_contiguous(found, 0, end)
    assert records_of(found) == records(0, end)


def test_begins_and_ends_within_one_frame(batches: Batches) -> None:
    run = next_run(batches, full_frames(10, 40, 10), 12, end=17)
    assert_contiguous(run, 12, 17)
    assert records_of(run) == records(12, 17)


def test_begins_and_ends_within_holes(batches: Batches) -> None:
    frames = [frame(0, 50, [record(10), record(40)])]
    run = next_run(batches, frames, 11, end=40)
    assert_contiguous(run, 11, 40)
    assert records_of(run) == []


def test_holes_cost_nothing(batches: Batches) -> None:
    frames = [frame(base, base + 100) for base in range(0, 10_000, 100)]
    assert next_run(batches, frames, 0) == frames


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("begin", [0, 1, 57, 198, 199])
def test_a_large_frame_travels_in_pieces(batches: Batches, form: Form, begin: int) -> None:
    rows = [noise(offset, 3 * KIB) for offset in range(200)]
    runs = all_runs(batches, [frame(0, 250, rows)], form=form, begin=begin)
    assert_contiguous(flat(runs), begin, 250)
    assert records_of(flat(runs)) == rows[begin:]
    assert all(size(run, form) <= 64 * KIB for run in runs)


def test_a_record_beyond_the_bound_travels_alone(batches: Batches) -> None:
    sizes = [KIB, KIB, 500 * KIB, KIB, KIB, KIB, KIB, 300 * KIB]
    rows = [noise(offset, size) for offset, size in enumerate(sizes)]
    runs = all_runs(batches, [frame(0, 8, rows)])
    assert records_of(flat(runs)) == rows
    for run in runs:
        assert size(run) <= 64 * KIB or sum(each.record_count for each in run) == 1
    assert all(len(run) >= 1 for run in runs)


def test_a_large_frame_is_split_once_for_everybody(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits: list[int] = []
    real = recoding.split_frame

    def counted(each: Frame, parts: int) -> list[Frame]:
        splits.append(each.base_offset)
        return real(each, parts)

    monkeypatch.setattr(batches_module, "split_frame", counted)
    large = frame(0, 200, [noise(offset, 3 * KIB) for offset in range(200)])
    for begin in (0, 0, 50, 199):
        all_runs(batches, [large], begin=begin)
    assert splits.count(0) == 1


@pytest.mark.parametrize("form", [form for form in Form if form is not Form.ARROW_LZ4])
def test_other_forms_are_made_once_for_everybody(
    batches: Batches, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def counted(each: Frame, form: Form) -> bytes | memoryview:
        made.append(each.base_offset)
        return body(each, form)

    monkeypatch.setattr(batches_module, "body", counted)
    frames = full_frames(0, 30, 10)

    async def take(bytes_max: int, partition: int = 0) -> list[Part]:
        whose = Whose(ORDERS.topic_id.partition(partition))
        return await batches.next_run(whose, frames, 0, None, form, bytes_max)

    async def run() -> None:
        everybody = await asyncio.gather(*map(take, [1 << 20] * 5 + [16 << 20, 700_000]))
        assert everybody == [[Part(each, body(each, form)) for each in frames]] * 7
        await take(1 << 20, partition=1)

    asyncio.run(run())
    assert made == [0, 10, 20] * 2


def test_what_is_kept_is_never_made_again(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> bytes:
        raise AssertionError("the frame's own payload was there")

    frames = full_frames(0, 30, 10)
    monkeypatch.setattr(batches_module, "body", never)
    parts = asyncio.run(batches.next_run(Whose(ORDERS), frames, 0, None, Form.ARROW_LZ4, 1 << 20))
    assert [part.body for part in parts] == [each.payload for each in frames]
    assert all(part.body is each.payload for part, each in zip(parts, frames, strict=True))


def test_what_is_made_stays_within_its_budget(tmp_path: Path) -> None:
    """A later reader finds the newest, and what did not fit is made anew."""
    frames = [full_frame(base, base + 10) for base in range(0, 200, 10)]
    budget = 6 * (len(body(frames[0], Form.ARROW_NONE)) + frames[0].encoded_bytes)
    with ThreadPoolExecutor(2) as threads:
        small = Batches(LogReader(Stores(tmp_path, {}), threads, 1 << 20), budget)
        all_runs(small, frames, form=Form.ARROW_NONE)
        assert 0 < small.pieces.bytes <= budget
