from pathlib import Path
from typing import Any

import pytest

from cachesvc.client import Positions
from cachesvc.sync import (
    CHANGE_SCHEMA,
    Delivery,
    TaskStatus,
    TooManyRefused,
    parse_task,
    run_task,
)
from cachesvc.sync.dead_letters import LetterBox, LettersDamaged, LettersInUse
from cachesvc.sync.parts import TaskParts
from cachesvc.sync.retrying import retry_letters
from cachesvc.sync.runner.letters import Letter, LetterHeader
from tests.client.fake_log import Logs
from tests.client.fake_server import FakeLogCache, serving
from tests.client.running import in_event_loop
from tests.sync.stage import MemorySink, Unavailable, at, task_config
from tests.sync.test_task import Doubling

ORDERS = ("orders", 0)


def letter(offset: int, **changes: Any) -> Letter:
    fields: dict[str, Any] = {
        "topic": "orders",
        "partition": 0,
        "incarnation": 1,
        "offset": offset,
        "stage": "sink",
        "reason": "BAD",
        "detail": "no good",
        "refused_ms": 5,
        "timestamp_ms": 7,
        "key_base64": "aw==",
        "value": '{"a":1}',
        "headers": (LetterHeader("h", "dg=="), LetterHeader("n")),
    }
    return Letter(**{**fields, **changes})


def offsets(letters: list[Letter]) -> list[int]:
    return [each.offset for each in letters]


async def run(
    directory: Path, sink: MemorySink, count: int = 20, transforms: Any = None, **errors: Any
) -> TaskStatus:
    service = FakeLogCache(Logs({ORDERS: range(count)}))
    settings = {"policy": "dead-letter", "dead_letters": str(directory), **errors}
    async with serving(service) as target:
        config = task_config(target, errors=settings, batch={"wait_s_max": 1.0})
        return await run_task(config, sink=sink, transforms=transforms)


@in_event_loop
@pytest.mark.parametrize("names", [True, False])
async def test_bad_records_are_kept_and_the_others_go_on_in_order(
    tmp_path: Path, names: bool
) -> None:
    sink = MemorySink(names_refused=names)
    sink.refuses = {0, 7, 8, 19}
    status = await run(tmp_path, sink)
    assert sink.offsets[ORDERS] == [o for o in range(20) if o not in sink.refuses]
    found = LetterBox(tmp_path, "task").read()
    assert offsets(found) == [0, 7, 8, 19]
    assert {(each.stage, each.reason) for each in found} == {("sink", "BAD")}
    assert found[1].value and found[1].key is not None and found[1].timestamp_ms > 0
    assert (status.state, status.refused, status.records) == ("done", 4, 20)


@in_event_loop
async def test_what_a_transform_refuses_is_kept_as_the_source_had_it(tmp_path: Path) -> None:
    sink = MemorySink()
    sink.refuses = {6}
    await run(tmp_path, sink, 10, [Doubling()])
    assert sink.offsets[ORDERS] == [o for o in range(10) if o not in (4, 6, 9) for _ in range(2)]
    found = LetterBox(tmp_path, "task").read()
    assert [(each.offset, each.stage) for each in found] == [
        (4, "transform"),
        (6, "sink"),
        (9, "transform"),
    ]


@in_event_loop
async def test_a_sink_with_positions_moves_over_what_is_refused(tmp_path: Path) -> None:
    sink = MemorySink(keeps_positions=True, names_refused=False)
    sink.refuses = {18, 19}
    await run(tmp_path, sink)
    assert sink.positions == at(20)


@in_event_loop
async def test_too_many_end_the_task_before_the_one_that_is_too_much(tmp_path: Path) -> None:
    sink = MemorySink(names_refused=False)
    sink.refuses = {3, 5, 9}
    with pytest.raises(
        TooManyRefused,
        match=r"3 records are refused, .*refused_max allows 2.* at offset \d+ on: BAD: ",
    ):
        await run(tmp_path, sink, refused_max=2)
    assert sink.offsets[ORDERS] == [0, 1, 2, 4, 6, 7, 8]
    assert offsets(LetterBox(tmp_path, "task").read()) == [3, 5]


@in_event_loop
async def test_too_large_a_share_ends_the_task(tmp_path: Path) -> None:
    sink = MemorySink(names_refused=False)
    sink.refuses = set(range(150, 300))
    with pytest.raises(TooManyRefused, match=r"errors\.refused_share_max allows 10\.00%"):
        await run(tmp_path, sink, 300, refused_share_max=0.1)
    assert len(LetterBox(tmp_path, "task").read()) <= 30


@in_event_loop
async def test_a_second_run_over_the_same_records_keeps_none_twice(tmp_path: Path) -> None:
    for _ in range(2):
        sink = MemorySink()
        sink.refuses = {4}
        await run(tmp_path, sink)
    box = LetterBox(tmp_path, "task")
    assert offsets(box.read()) == [4]
    assert len(box.path.read_bytes().splitlines()) == 1


def test_what_is_settled_stands_no_more(tmp_path: Path) -> None:
    box = LetterBox(tmp_path / "new", "task")
    box.open()
    box.append([letter(1), letter(2), letter(3)])
    box.settle([letter(2)], "written")
    assert offsets(LetterBox(tmp_path / "new", "task").read()) == [1, 3]
    box.settle([letter(1), letter(3)], "exported")
    assert box.path.read_bytes() == b""
    box.close()


def test_a_letter_is_read_as_it_was_kept(tmp_path: Path) -> None:
    box = LetterBox(tmp_path, "task")
    box.open()
    kept = [letter(1, value=None, key_base64=None, headers=()), letter(2, detail="\n ü")]
    box.append(kept)
    box.close()
    assert LetterBox(tmp_path, "task").read() == kept


def test_two_do_not_write_at_once(tmp_path: Path) -> None:
    first, second = LetterBox(tmp_path, "task"), LetterBox(tmp_path, "task")
    first.open()
    with pytest.raises(LettersInUse, match="stop the task first"):
        second.open()
    first.close()
    second.open()
    second.close()


def test_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    box = LetterBox(tmp_path, "task")
    box.open()
    box.append([letter(1)])
    box.close()
    with box.path.open("ab") as file:
        file.write(b'{"letter":{"top')
    assert offsets(box.read()) == [1]
    box.open()
    box.append([letter(2)])
    box.close()
    assert offsets(box.read()) == [1, 2]


def test_a_line_that_is_no_letter_is_named(tmp_path: Path) -> None:
    box = LetterBox(tmp_path, "task")
    box.path.write_bytes(b'{"letter":{"topic":1}}\n')
    with pytest.raises(LettersDamaged, match="line 1 is no letter"):
        box.read()


class Keeping(MemorySink):
    """Keeps whole deliveries as well."""

    def __init__(self) -> None:
        super().__init__(keeps_positions=True)
        self.positions = at(100)
        self.whole: list[Delivery] = []

    async def write(self, delivery: Delivery) -> None:
        self.whole.append(delivery)
        await super().write(delivery)


@in_event_loop
async def test_letters_are_tried_again_without_moving_the_position() -> None:
    sink = Keeping()
    sink.refuses = {5}
    sink.faults.append(Unavailable())
    tree = {
        "name": "task",
        "source": {"service": "127.0.0.1:1", "topics": ["orders"], "mode": "FULL"},
        "retry": {"delay_first_s": 0.001},
    }
    parts = TaskParts(parse_task(tree), sink=sink)
    done = await retry_letters(parts, [letter(9, value=None), letter(3), letter(5)])
    assert offsets(list(done.written)) == [9, 3]
    assert offsets(list(done.refused)) == [5]
    assert sink.offsets[ORDERS] == [3, 9]
    assert all(each.positions == Positions() for each in sink.whole)
    rows = sink.whole[0].changes[0].rows
    assert rows.schema == CHANGE_SCHEMA
    assert rows.column("deleted").to_pylist() == [False, False, True]
    assert rows.column("headers")[0].as_py() == [
        {"key": "h", "value": b"v"},
        {"key": "n", "value": None},
    ]
