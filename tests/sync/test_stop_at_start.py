"""A signal ends `cachesvc-sync run` cleanly whenever it comes, also before anything is imported."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cachesvc.sync
from tests.support.ports import free_ports
from tests.sync.test_commands import task_file

_MOMENTS_S = (0.0, 0.2, 0.8)
# Before that the interpreter itself has the signal.
_BEGUN = """
from cachesvc.sync import __main__, stop_signals
stop_signals.OF_PROCESS.take()
print("begun", flush=True)
__main__.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_at_any_moment(tmp_path: Path, number: signal.Signals) -> None:
    # Nobody is there, so that the task does not end by itself.
    file = task_file(tmp_path, f"127.0.0.1:{free_ports(1)[0]}", "")
    for moment_s in _MOMENTS_S:
        with subprocess.Popen(
            [sys.executable, "-c", _BEGUN, "run", str(file)],
            env={**os.environ, "CACHESVC_SYNC_STATE": str(tmp_path / "state")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            time.sleep(moment_s)
            process.send_signal(number)
            _, told = process.communicate(timeout=120)
        assert b"Traceback" not in told, told.decode()
        assert process.returncode == 0, (moment_s, told.decode())


def test_every_name_of_the_package_is_where_it_is_said_to_be() -> None:
    assert all(hasattr(cachesvc.sync, name) for name in cachesvc.sync.__all__)
    assert set(cachesvc.sync.__all__) <= set(dir(cachesvc.sync))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = cachesvc.sync.Nothing


def test_nothing_else_is_imported_before_signals_are_heard() -> None:
    code = "import sys, cachesvc.sync.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert not {"asyncio", "pyarrow", "grpc", "typer", "msgspec"} & set(loaded.split())
