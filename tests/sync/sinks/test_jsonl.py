import asyncio
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cachesvc.sync import InvalidTask, TargetFailed, TargetUnavailable, TaskContext
from cachesvc.sync.sinks.jsonl import (
    JSONL,
    JsonLinesSettings,
    JsonLinesSink,
    RotatedFile,
    StandardOutput,
)
from cachesvc.sync.testing import Found, SinkSuite, SinkTarget, changes, delivery, put


def found_in(directory: Path) -> Iterator[Found]:
    complete = sorted(directory.glob("*.*.jsonl"))
    growing = [path for path in directory.glob("*.jsonl") if path not in complete]
    for path in [*complete, *growing]:
        for line in path.read_bytes().splitlines():
            envelope = json.loads(line)
            yield Found(json.loads(envelope["key"])["id"], envelope["value"])


class TestFiles(SinkSuite):
    @pytest.fixture(params=[1, 1 << 30])
    def target(self, request: pytest.FixtureRequest, tmp_path: Path) -> SinkTarget:
        directory = tmp_path / "made" / "here"
        settings = {"path": str(directory), "file_bytes_max": request.param, "sync": False}
        return SinkTarget(JSONL, settings, lambda: found_in(directory), "changes")


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def file_of(directory: Path, clock: Clock, **settings: float) -> RotatedFile:
    given = JsonLinesSettings(path=str(directory), **settings)  # type: ignore[arg-type]
    return RotatedFile(directory, "task", given, clock)


def lines_of(directory: Path) -> list[list[str]]:
    return [path.read_text().splitlines() for path in sorted(directory.iterdir())]


def test_a_file_is_turned_over_before_it_is_too_large(tmp_path: Path) -> None:
    clock = Clock()
    file = file_of(tmp_path, clock, file_bytes_max=4, file_age_s_max=0)
    file.open()
    for line in (b"1\n", b"2\n", b"3\n", b"a long one\n", b"4\n"):
        clock.now += 1
        file.write(line)
    file.close()
    assert lines_of(tmp_path) == [["1", "2"], ["3"], ["a long one"], ["4"]]
    assert (tmp_path / "task.jsonl").read_text() == "4\n"


def test_a_file_of_an_hour_before_is_turned_over(tmp_path: Path) -> None:
    clock = Clock()
    file = file_of(tmp_path, clock, file_age_s_max=3600)
    file.open()
    file.write(b"1\n")
    os.utime(tmp_path / "task.jsonl", (clock.now, clock.now))
    file.write(b"2\n")
    os.utime(tmp_path / "task.jsonl", (clock.now, clock.now))
    clock.now += 3600
    file.write(b"3\n")
    file.close()
    assert lines_of(tmp_path) == [["1", "2"], ["3"]]


@pytest.mark.parametrize("torn", [b'{"torn', b"x" * 200_000])
def test_a_line_that_a_crash_tore_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    for before in (b"", b"whole\n"):
        (tmp_path / "task.jsonl").write_bytes(before + torn)
        file = file_of(tmp_path, Clock(), file_age_s_max=0)
        file.open()
        file.write(b"next\n")
        file.close()
        assert (tmp_path / "task.jsonl").read_bytes() == before + b"next\n"


def test_two_cannot_write_one_file(tmp_path: Path) -> None:
    one, two = file_of(tmp_path, Clock()), file_of(tmp_path, Clock())
    one.open()
    with pytest.raises(TargetUnavailable, match="another process"):
        two.open()
    one.close()
    two.open()
    two.close()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = file_of(tmp_path / "file" / "below", Clock())
    with pytest.raises(TargetFailed, match="Not a directory"):
        file.open()
    (check,) = file.check()
    assert not check.passed and check.hint


def test_standard_output_gets_lines_and_stops_waiting_when_closed() -> None:
    reading, writing = os.pipe()
    settings = JsonLinesSettings(path="-", lines="value")
    sink = JsonLinesSink(settings, StandardOutput(writing))
    many = [put(n, note="x" * 500) for n in range(1_000)]
    read: list[bytes] = []

    async def story() -> None:
        await sink.open()
        reader = threading.Thread(target=lambda: read.append(_lines(reading, 1_000)))
        reader.start()
        await sink.write(delivery(changes(many)))
        await asyncio.to_thread(reader.join)
        # Nobody reads any more, and the pipe is full sooner or later.
        stuck = asyncio.ensure_future(sink.write(delivery(changes(many))))
        await asyncio.sleep(0)
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)
        await sink.close()

    asyncio.run(asyncio.wait_for(story(), 30))
    os.close(writing)
    os.close(reading)
    assert [json.loads(line)["id"] for line in read[0].splitlines()] == list(range(1_000))


def _lines(descriptor: int, count: int) -> bytes:
    read = b""
    while read.count(b"\n") < count:
        read += os.read(descriptor, 1 << 16)
    return read


@pytest.mark.parametrize(
    "settings",
    [{"path": ""}, {"path": "a", "file_bytes_max": 0}, {"path": "a", "file_age_s_max": -1}],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(InvalidTask, match=r"sink\."):
        JSONL.make(msgspec.convert(settings, JsonLinesSettings), TaskContext("t"))
