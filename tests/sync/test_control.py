import asyncio
import errno
import io
import stat
import tempfile
from pathlib import Path

import pytest

from cachesvc.sync import InvalidTask, Task
from cachesvc.sync.cli.screen import Screen, facts, line
from cachesvc.sync.control import NotRunning, ask
from cachesvc.sync.runner.progress import TaskStatus, Trouble
from cachesvc.sync.running import run_tasks
from cachesvc.sync.state import AlreadyRuns, StateDirectory
from tests.client.fake_log import Logs
from tests.client.fake_server import FakeLogCache, serving
from tests.client.running import eventually, in_event_loop
from tests.sync.stage import MemorySink, reached, task_config

ORDERS = ("orders", 0)


@in_event_loop
async def test_a_running_task_is_reached_by_its_name(tmp_path: Path) -> None:
    service, sink = FakeLogCache(Logs({ORDERS: range(20)})), MemorySink()
    state = StateDirectory(tmp_path / "s")
    path = state.socket_of("task")
    source = {"mode": "INCREMENTAL", "start": "earliest"}
    async with serving(service) as target:
        task = Task(task_config(target, source=source), sink=sink)
        running = asyncio.create_task(run_tasks([task], state))
        await eventually(reached(sink, ORDERS, 20))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(state.path.stat().st_mode) == 0o700
        assert (await asyncio.to_thread(ask, path, "pause")).state == "paused"
        assert (await asyncio.to_thread(ask, path, "resume")).state == "running"
        assert (await asyncio.to_thread(ask, path, "status")).records == 20
        assert state.runs("task")
        with pytest.raises(AlreadyRuns, match="task task runs in another process"):
            await run_tasks([Task(task_config(target), sink=MemorySink())], state)
        await asyncio.to_thread(ask, path, "stop")
        (ended,) = await running
    assert (ended.status.state, ended.error) == ("stopped", None)
    assert not state.runs("task") and not path.exists()
    assert state.names() == ["task"]
    assert state.end_of("task") == ended.status
    with pytest.raises(NotRunning, match="no such task runs here"):
        await asyncio.to_thread(ask, path, "status")


@in_event_loop
async def test_one_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    service, good, bad = FakeLogCache(Logs({ORDERS: range(20)})), MemorySink(), MemorySink()
    bad.faults.append(ZeroDivisionError("oops"))
    async with serving(service) as target:
        tasks = [
            Task(task_config(target, name="bad"), sink=bad),
            Task(task_config(target, name="good"), sink=good),
        ]
        first, second = await run_tasks(tasks, StateDirectory(tmp_path))
    assert isinstance(first.error, ZeroDivisionError)
    assert first.status.trouble is not None and "oops" in first.status.trouble.message
    assert (second.status.state, second.error) == ("done", None)
    assert good.offsets[ORDERS] == list(range(20))


def test_a_long_path_has_its_sockets_elsewhere_and_always_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("t" * 100)))
    one, two = (StateDirectory(tmp_path / (name * 100)) for name in "xy")
    found = one.socket_of("task")
    assert found == StateDirectory(one.path).socket_of("task")
    assert len({found, one.socket_of("other"), two.socket_of("task")}) == 3
    assert len(str(found)) < 100
    assert stat.S_IMODE(found.parent.stat().st_mode) == 0o700


def test_sockets_are_not_put_where_others_could_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        state = StateDirectory(tmp_path / ("x" * 100))
        directory = state.socket_of("task").parent
        assert directory.parent == Path(short)
        directory.chmod(0o755)
        with pytest.raises(InvalidTask, match="too long for a socket"):
            state.socket_of("task")


@in_event_loop
async def test_one_that_has_ended_is_told_and_can_run_again_beside_the_others(
    tmp_path: Path,
) -> None:
    service, sink = FakeLogCache(Logs({ORDERS: range(20)})), MemorySink()
    state = StateDirectory(tmp_path)
    source = {"mode": "INCREMENTAL", "start": "earliest"}
    async with serving(service) as target:
        tasks = [
            Task(task_config(target, name="ends"), sink=MemorySink()),
            Task(task_config(target, name="goes-on", source=source), sink=sink),
        ]
        running = asyncio.create_task(run_tasks(tasks, state))
        await eventually(lambda: state.end_of("ends") is not None and not state.runs("ends"))
        assert state.runs("goes-on")
        slow = MemorySink()
        slow.held.clear()
        service.logs.append(ORDERS, 20)
        again = Task(task_config(target, name="ends"), sink=slow)
        second = asyncio.create_task(run_tasks([again], state))
        await eventually(lambda: slow.writing)
        # As long as it runs, for it may be killed.
        assert state.runs("ends") and state.end_of("ends") is None
        slow.held.set()
        assert [each.error for each in await second] == [None]
        tasks[1].ask_to_stop()
        assert [each.status.state for each in await running] == ["done", "stopped"]


@in_event_loop
async def test_a_disk_that_does_not_keep_how_one_ended_harms_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(state: StateDirectory, status: TaskStatus) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(StateDirectory, "note_end", full)
    service = FakeLogCache(Logs({ORDERS: range(20)}))
    async with serving(service) as target:
        names = ("one", "other")
        tasks = [Task(task_config(target, name=name), sink=MemorySink()) for name in names]
        ended = await run_tasks(tasks, StateDirectory(tmp_path))
    assert [each.status.state for each in ended] == ["done", "done"]


def test_bars_do_not_run_into_records_on_the_same_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setattr("sys.stdout", Terminal())
    config = task_config("127.0.0.1:1", sink={"kind": "jsonl", "path": "-"})
    there = Task(task_config("127.0.0.1:1"), sink=MemorySink())
    here = Task(config)
    assert Screen([there]).shows_bars and not Screen([there, here]).shows_bars
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert Screen([here]).shows_bars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_says_what_matters() -> None:
    status = TaskStatus(
        name="t",
        state="running",
        mode="FULL",
        subscription="t",
        started_ms=0,
        records=1_234_567,
        records_per_s=99.6,
        bytes=3 << 20,
        share=0.25,
        left_s=7_500.0,
        trouble=Trouble("TARGET_UNAVAILABLE", "it is away", 0),
    )
    expected = "1,234,567 records, 100/s, 3.0 MiB, 25%, 2 h 5 min left, "
    expected += "TARGET_UNAVAILABLE: it is away"
    assert facts(status) == expected
    assert line(status) == f"t: running, {expected}"
