import asyncio
from collections.abc import Sequence
from pathlib import Path

from cachesvc.mining.black_box import Before, BlackBox, WorkedOn
from cachesvc.mining.careful_start import CarefulStart, deaths
from cachesvc.mining.holdings import HeldPartition
from cachesvc.mining.source import SourcePartition


class Dead(Exception):
    """The process has died."""


def incarnations_until_told_apart(
    path: Path, count: int, deadly: int
) -> tuple[int, WorkedOn | None]:
    """How many processes die until one partition alone is accused, and which."""
    for number in range(1, 30):
        box = BlackBox.open(path)
        assert box is not None
        found = deaths(box.before)
        if found:
            return number - 1, found[0]
        begun: list[int] = []
        try:
            asyncio.run(_incarnation(box, box.before, count, deadly, begun))
        except Dead:
            pass
        finally:
            box.close(clean=False)
    return 30, None


async def _incarnation(
    box: BlackBox, before: Before, count: int, deadly: int, begun: list[int]
) -> Sequence[int]:
    held_back: list[HeldPartition] = []

    def begin(held: HeldPartition) -> None:
        assert held in held_back
        begun.append(held.partition.number)
        if held.partition.number == deadly:
            raise Dead

    start = CarefulStart(box, before, held_back.append, begin, lambda held: True)
    for number in range(count):
        start.admit(HeldPartition(SourcePartition("orders", number), 1, 1, 5))
    running = asyncio.ensure_future(start.run())
    while len(begun) < count and not running.done():  # noqa: ASYNC110
        await asyncio.sleep(0)
    if running.done():
        running.result()
    running.cancel()
    return begun


def test_one_of_twelve_is_told_apart_at_once(tmp_path: Path) -> None:
    died, found = incarnations_until_told_apart(tmp_path / "a.box", 12, 7)
    assert died == 1
    assert found is not None
    assert (found.partition, found.offset, found.alone) == (SourcePartition("orders", 7), 5, True)


def test_one_of_a_thousand_takes_three(tmp_path: Path) -> None:
    died, found = incarnations_until_told_apart(tmp_path / "a.box", 1_000, 777)
    assert died == 3
    assert found is not None
    assert found.partition == SourcePartition("orders", 777)


def test_where_nothing_is_deadly_all_begin(tmp_path: Path) -> None:
    box = BlackBox.open(tmp_path / "a.box")
    assert box is not None
    begun: list[int] = []
    asyncio.run(_incarnation(box, Before(deaths=2), 40, -1, begun))
    assert begun == list(range(40))


def test_suspects_come_first_and_then_all_others(tmp_path: Path) -> None:
    box = BlackBox.open(tmp_path / "a.box")
    assert box is not None
    begun: list[int] = []
    suspect = WorkedOn(SourcePartition("orders", 3), 1, 5)
    asyncio.run(_incarnation(box, Before(deaths=3, begun=[suspect]), 5, -1, begun))
    assert begun == [3, 0, 1, 2, 4]
