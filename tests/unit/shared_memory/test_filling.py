"""Records as they are kept, decoded into a block that others read."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import ipc

from cachesvc.client import TopicPartition
from cachesvc.client.payload import LentPayload
from cachesvc.errors import DamagedFile
from cachesvc.shared_memory.blocks import Blocks
from cachesvc.shared_memory.filling import Filled, Payload, fill
from cachesvc.store import parquet_file
from cachesvc.store.frames import Frame
from cachesvc.store.record_schema import RECORD_SCHEMA
from tests.support.frames import (
    Headers,
    Record,
    frame,
    full_frame,
    full_frames,
    record,
    records,
    records_of,
    row_group_files,
    seal,
    table_records,
)
from tests.unit.store.test_segments import EVERY_KIND

MIB = 1 << 20


def kept(frames: list[Frame]) -> list[Payload]:
    return [Payload(each.payload, is_file=False) for each in frames if each.record_count]


def filled_with(blocks: Blocks, payloads: list[Payload]) -> Filled:
    filled = fill(blocks, "orders", payloads, "content", keep=False)
    assert filled is not None
    assert filled.block.holders == 1
    assert filled.length <= filled.block.capacity
    return filled


def as_a_client_reads(filled: Filled) -> list[Record]:
    """What is in the block, through its descriptor."""
    with mmap.mmap(filled.block.descriptor, filled.block.capacity, prot=mmap.PROT_READ) as memory:
        data = memory[: filled.length]
    table = ipc.open_stream(data).read_all()
    table.validate(full=True)
    assert table.schema == RECORD_SCHEMA
    return table_records(table)


Row = tuple[str | None, bytes | None, Headers | None]
texts = st.one_of(st.none(), st.text(max_size=20), st.just("x" * 70_000))
headers = st.one_of(
    st.none(),
    st.lists(
        st.tuples(st.text(max_size=3), st.one_of(st.none(), st.binary(max_size=3))), max_size=2
    ).map(tuple),
)
rows = st.lists(
    st.tuples(texts, st.one_of(st.none(), st.binary(max_size=5)), headers), min_size=1, max_size=12
)


@given(st.lists(rows, min_size=1, max_size=4))
def test_what_a_journal_keeps_is_read_as_it_was_written(several: list[list[Row]]) -> None:
    frames, at = [], 0
    for some in several:
        made = [
            Record(at + number, value, key, headers=of)
            for number, (value, key, of) in enumerate(some)
        ]
        at += len(made)
        frames.append(frame(made[0].offset, at, made))
    blocks = Blocks(64 * MIB)
    filled = filled_with(blocks, kept(frames))
    assert blocks.hold(filled.block, "content")
    assert as_a_client_reads(filled) == records_of(frames)
    blocks.let_go(filled.block)
    blocks.let_go(filled.block)
    blocks.clear()


@pytest.mark.parametrize("group_rows", [4, 9_000])
def test_what_a_segment_keeps_is_read_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_rows: int
) -> None:
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", group_rows)
    monkeypatch.setattr(parquet_file, "FRAME_ROWS", min(group_rows, 4_096))
    frames = [frame(0, 3, EVERY_KIND[:2]), frame(3, 20, EVERY_KIND[2:])]
    if group_rows > 4:
        frames += full_frames(20, 9_000, 1_000)  # several record batches of one file
    files = row_group_files(tmp_path, seal(tmp_path, frames))
    blocks = Blocks(64 * MIB)
    found: list[Record] = []
    for file in files:
        filled = filled_with(blocks, [Payload(file.payload, is_file=True)])
        found += as_a_client_reads(filled)
        blocks.let_go(filled.block)
    assert found == records_of(frames)
    blocks.clear()


def test_files_and_messages_go_together(tmp_path: Path) -> None:
    (file,) = row_group_files(tmp_path, seal(tmp_path, [full_frame(0, 10)]))
    later = full_frame(10, 20)
    blocks = Blocks(MIB)
    payloads = [Payload(file.payload, is_file=True), *kept([later])]
    assert as_a_client_reads(filled_with(blocks, payloads)) == records(0, 20)


def test_a_client_makes_the_same_records_of_it() -> None:
    frames = [frame(0, 20, EVERY_KIND)]
    filled = filled_with(Blocks(64 * MIB), kept(frames))
    payload = LentPayload(pa.py_buffer(filled.block.memory[: filled.length]))
    of = TopicPartition("orders", 0, 1)
    made = [each for _, run in payload.runs(of) for each in run]
    expected = records_of(frames)
    assert [each.offset for each in made] == [each.offset for each in expected]
    assert [each.value for each in made] == [
        None if each.value is None else each.value.encode() for each in expected
    ]
    assert [each.timestamp_ms for each in made] == [each.timestamp_ms for each in expected]


def test_what_a_block_held_before_is_not_read_again() -> None:
    blocks = Blocks(MIB)
    first = filled_with(blocks, kept([full_frame(0, 500)]))
    blocks.let_go(first.block)
    second = filled_with(blocks, kept([full_frame(500, 510)]))
    assert second.block is first.block
    assert as_a_client_reads(second) == records(500, 510)


def nothing(data: bytes) -> bytes:
    return b""


def zeros(data: bytes) -> bytes:
    return bytes(len(data))


def without_end(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize("is_file", [False, True])
@pytest.mark.parametrize("damage", [nothing, without_end, zeros])
def test_damage_is_told_and_no_block_stays_held(
    tmp_path: Path, is_file: bool, damage: Callable[[bytes], bytes]
) -> None:
    right = full_frame(0, 10)
    (file,) = row_group_files(tmp_path, seal(tmp_path, [full_frame(10, 20)]))
    data = bytes(file.payload if is_file else full_frame(10, 20).payload)
    blocks = Blocks(MIB)
    payloads = [*kept([right]), Payload(damage(data), is_file)]
    with pytest.raises(DamagedFile):
        fill(blocks, "orders", payloads, "content", keep=False)
    assert blocks.used_bytes == 0


def test_where_no_room_is_nothing_is_filled_and_nothing_given_up() -> None:
    blocks = Blocks(MIB)
    large = frame(0, 1, [record(0, '"' + "x" * 2 * MIB + '"')])
    idle = filled_with(blocks, kept([full_frame(0, 10)]))
    blocks.let_go(idle.block)
    assert fill(blocks, "orders", kept([large]), "large", keep=True) is None
    assert blocks.hold(idle.block, "content")
    assert fill(blocks, "orders", kept([full_frame(0, 10)]), "other", keep=True) is None
    assert as_a_client_reads(idle) == records(0, 10)
