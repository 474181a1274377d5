import os
import subprocess
import sys
from pathlib import Path

import pytest

from cachesvc.mining.black_box import Before, BlackBox, WorkedOn, remove_left
from cachesvc.mining.careful_start import deaths
from cachesvc.mining.source import SourcePartition

ORDERS = WorkedOn(SourcePartition("orders", 3), 1, 17, 500)
OTHER = WorkedOn(SourcePartition("other", 0), 2, -1, 0)


def opened(path: Path) -> BlackBox:
    box = BlackBox.open(path)
    assert box is not None
    return box


def test_nothing_is_known_at_first_and_after_a_clean_end(tmp_path: Path) -> None:
    box = opened(tmp_path / "new" / "a.box")
    assert box.before == Before()
    box.note(0, ORDERS)
    box.close(clean=True)
    assert opened(tmp_path / "new" / "a.box").before == Before()


def test_what_was_in_hand_is_told_after_another_end(tmp_path: Path) -> None:
    box = opened(tmp_path / "a.box")
    box.note(0, OTHER)
    box.note(1, ORDERS)
    box.note(2, OTHER)
    box.clear(2)
    box.close(clean=False)
    box = opened(tmp_path / "a.box")
    assert box.before == Before((OTHER, ORDERS), 1)
    assert list(deaths(box.before)) == [OTHER, ORDERS]
    box.close(clean=False)
    assert not opened(tmp_path / "a.box").before.worked_on


def test_it_is_there_after_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "a.box"
    program = (
        "import os, pathlib, sys\n"
        "from cachesvc.mining.black_box import BlackBox, WorkedOn\n"
        "from cachesvc.mining.source import SourcePartition\n"
        "box = BlackBox.open(pathlib.Path(sys.argv[1]))\n"
        "box.note(1, WorkedOn(SourcePartition('orders', 3), 1, 17, 500))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert ended.returncode == -9
    assert opened(path).before.worked_on == (ORDERS,)


def test_deaths_with_nothing_in_hand_are_counted_until_it_is_calm(tmp_path: Path) -> None:
    path = tmp_path / "a.box"
    for number in range(3):
        box = opened(path)
        assert box.before.deaths == number
        box.close(clean=False)
    box = opened(path)
    box.calm()
    box.close(clean=False)
    assert opened(path).before.deaths == 1


def test_a_single_partition_that_was_begun_is_what_was_died_of(tmp_path: Path) -> None:
    path = tmp_path / "a.box"
    box = opened(path)
    box.begin([ORDERS, OTHER])
    box.close(clean=False)
    box = opened(path)
    assert box.before == Before(deaths=1, begun=(ORDERS, OTHER))
    assert not deaths(box.before)
    box.begin([OTHER])
    box.close(clean=False)
    (death,) = deaths(opened(path).before)
    assert (death.partition, death.offset, death.alone) == (OTHER.partition, -1, True)


def test_one_process_at_a_time_has_it(tmp_path: Path) -> None:
    box = opened(tmp_path / "a.box")
    assert BlackBox.open(tmp_path / "a.box") is None
    box.close(clean=True)
    assert BlackBox.open(tmp_path / "a.box") is not None


def test_no_box_where_none_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert BlackBox.open(tmp_path / "file" / "a.box") is None


@pytest.mark.parametrize("begin", [0, 8, 16, 20, 3_000])
def test_bytes_that_are_no_notes_tell_nothing_wrong(tmp_path: Path, begin: int) -> None:
    path = tmp_path / "a.box"
    box = opened(path)
    box.note(0, ORDERS)
    box.close(clean=False)
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(os.urandom(600))
    found = opened(path).before
    assert found.worked_on in ((), (ORDERS,))


def test_boxes_that_nobody_has_had_for_long_are_removed_and_nothing_else(tmp_path: Path) -> None:
    def aged(name: str) -> Path:
        path = tmp_path / name
        os.utime(path, (0, 0))
        return path

    for name in ("clean", "killed", "mine", "fresh", "elsewhere"):
        suffix = "note" if name == "elsewhere" else "box"
        opened(tmp_path / f"{name}.{suffix}").close(clean=name == "clean")
    running = opened(tmp_path / "running.box")
    (tmp_path / "no-box.box").write_bytes(b"\0" * 100)
    (tmp_path / "directory.box").mkdir()
    os.mkfifo(tmp_path / "fifo.box")
    (tmp_path / "link.box").symlink_to(tmp_path / "elsewhere.note")
    gone = {aged("clean.box"), aged("killed.box")}
    left = {tmp_path / "fresh.box", tmp_path / "link.box"}
    left |= {aged(f"{name}.box") for name in ("running", "mine", "no-box", "directory", "fifo")}
    left.add(aged("elsewhere.note"))
    assert set(tmp_path.iterdir()) == gone | left
    for count in (2, 0):
        assert remove_left(tmp_path, "*.box", keep=tmp_path / "mine.box") == count
        assert set(tmp_path.iterdir()) == left
    running.close(clean=True)
    assert opened(tmp_path / "mine.box").before.deaths == 1
