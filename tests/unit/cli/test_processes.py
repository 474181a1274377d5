"""What a shell sees: signals and pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from cachesvc.v1 import log_cache_pb2 as log_cache
from tests.unit.cli.fake_service import FakeService
from tests.unit.cli.messages import batch, record

COMMAND = "from cachesvc.cli.main import main; main()"


def start(service: FakeService, *arguments: str, before: str = "") -> subprocess.Popen[str]:
    path = os.pathsep.join(sys.path)
    env = {**os.environ, "CACHESVC_ADDRESS": service.address, "PYTHONPATH": path}
    return subprocess.Popen(
        [sys.executable, "-c", before + COMMAND, *arguments],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_signal_ends_tail_cleanly(
    service: FakeService, number: signal.Signals, exit_code: int
) -> None:
    service.answer("Subscribe", batch(record(7, b"{}")))
    service.hold("Subscribe")
    with start(service, "tail", "orders") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("0/7\t"), "records come at once"
        process.send_signal(number)
        _, stderr = process.communicate(timeout=120)
    assert stderr == ""
    assert process.returncode == exit_code
    assert len(service.seen(log_cache.DeleteSubscriptionRequest)) == 1


_LOSES = """
from cachesvc.cli import tail
begin = tail._Ending.begin
def lost(self, number, frame):
    try:
        begin(self, number, frame)
    except SystemExit:
        pass
tail._Ending.begin = lost
"""


def test_a_signal_that_python_loses_ends_tail_all_the_same(service: FakeService) -> None:
    """As in a destructor, where what a handler raises is only printed."""
    service.answer("Subscribe", batch(record(7, b"{}")))
    service.hold("Subscribe")
    with start(service, "tail", "orders", before=_LOSES) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("0/7\t")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=120)
    assert (process.returncode, stderr) == (130, "")
    assert len(service.seen(log_cache.DeleteSubscriptionRequest)) == 1


def test_a_pipe_that_breaks_is_no_news(service: FakeService) -> None:
    service.answer("Subscribe", *[batch(record(7, b'"' + b"x" * 10_000 + b'"'))] * 500)
    with start(service, "tail", "orders") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.wait(timeout=120)
    assert process.returncode == 1
    assert len(service.seen(log_cache.DeleteSubscriptionRequest)) == 1
