import asyncio
import os
import signal
import sys
from pathlib import Path

from typer.testing import CliRunner

from cachesvc.sync.cli.main import app
from cachesvc.sync.dead_letters import LetterBox
from tests.client.fake_log import Logs
from tests.client.fake_server import FakeLogCache, serving
from tests.client.running import eventually, in_event_loop
from tests.sync.test_dead_letters import letter

_FUNCTION = """
import pathlib, time

def hang(batch):
    pathlib.Path("called").touch()
    time.sleep(600)
"""


def task_file(directory: Path, service: str, more: str) -> Path:
    path = directory / "task.toml"
    path.write_text(
        f'name = "task"\nstop_timeout_s = 0.1\n[source]\nservice = "{service}"\n'
        f'topics = ["orders"]\nmode = "FULL"\n[sink]\nkind = "jsonl"\npath = "out"\n{more}'
    )
    return path


@in_event_loop
async def test_a_function_that_does_not_come_back_holds_up_no_end(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(_FUNCTION)
    function = '[[transforms]]\nkind = "python"\nfunction = "slow:hang"\ndirectory = "."\n'
    service = FakeLogCache(Logs({("orders", 0): range(5)}))
    async with serving(service) as target:
        file = task_file(tmp_path, target, f'{function}on = "batches"\n')
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cachesvc.sync", "run", str(file)),
            cwd=tmp_path,
            env={**os.environ, "CACHESVC_SYNC_STATE": str(tmp_path / "s")},
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            await eventually((tmp_path / "called").exists)
            process.send_signal(signal.SIGINT)
            _, told = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode == 0, told.decode()
    assert b"a transform does not come back" in told


def test_an_export_that_cannot_be_written_forgets_nothing(tmp_path: Path) -> None:
    more = '[errors]\npolicy = "dead-letter"\ndead_letters = "letters"\n'
    file = task_file(tmp_path, "127.0.0.1:1", more)
    box = LetterBox(tmp_path / "letters", "task")
    box.open()
    box.append([letter(3)])
    box.close()
    to = tmp_path / "nowhere" / "export"
    export = ["dead-letters", "export", str(file), "--remove", "--to"]
    done = CliRunner().invoke(app, [*export, str(to)])
    assert done.exit_code == 1
    assert f"error: {to}: cannot be written: No such file or directory" in done.output
    assert box.read() == [letter(3)]
    assert CliRunner().invoke(app, [*export, str(tmp_path / "export")]).exit_code == 0
    assert box.read() == []


def test_a_topic_of_dead_letters_takes_a_kafka_sink(tmp_path: Path) -> None:
    more = '[errors]\npolicy = "dead-letter"\ndead_letter_topic = "letters"\n'
    done = CliRunner().invoke(app, ["check", str(task_file(tmp_path, "127.0.0.1:1", more))])
    assert done.exit_code == 2
    assert 'errors.dead_letter_topic: takes a sink of kind "kafka"' in done.output


@in_event_loop
async def test_a_service_that_cannot_tell_of_filters_passes(tmp_path: Path) -> None:
    async with serving(FakeLogCache(Logs({("orders", 0): range(5)}))) as target:
        file = task_file(tmp_path, target, "")
        file.write_text(file.read_text().replace("[sink]", "filter = 'value.id == 7'\n[sink]"))
        done = await asyncio.to_thread(CliRunner().invoke, app, ["check", str(file)])
    assert "too old to tell" in done.output, done.output
