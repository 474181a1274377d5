"""How a reader comes back to a service, and how it ends."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from cachesvc.errors import CacheError, NotFound, PreconditionFailed
from cachesvc.mining.connection_settings import ConnectionSettings
from cachesvc.v1 import mining_pb2 as pb
from tests.unit.mining.fake_service import FakeService, until
from tests.unit.mining.fake_source import FakeSource
from tests.unit.mining.stage import of_both_sizes, play, values

# Of what would otherwise take a minute, or for ever.
ENDS_S_MAX = 60.0


@of_both_sizes
def test_a_lost_service_is_joined_again_without_loss_or_double(tmp_path: Path, large: bool) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        address = f"unix:{tmp_path / 'service.sock'}"
        source.batch_records = 7
        service.assign({"a": (1, [0])})
        for round_ in range(4):
            source.write("a", 0, *values(1_000 * round_, 1_000 * (round_ + 1)))
            service.answering.clear()
            await until(lambda r=round_: service.logs["a", 0].end_offset > 1_000 * r + 20)  # type: ignore[misc]
            await service.stop()
            # What it had not answered, it forgets in part.
            log = service.logs["a", 0]
            lost = log.appends.pop()
            log.end_offset = lost.base_offset
            service.answering.set()
            await service.start(address)
            await until(lambda r=round_: service.logs["a", 0].end_offset == 1_000 * (r + 1))  # type: ignore[misc]

        assert service.logs["a", 0].offsets == list(range(4_000))
        assert len(service.joins) == 5
        assert service.refused == []

    play(tmp_path, scenario, large=large, retry_s_max=0.1)


def test_a_service_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    async def scenario(
        service: FakeService, source: FakeSource, reader: asyncio.Task[None]
    ) -> None:
        await service.stop()
        source.write("a", 0, *values(0, 10))
        service.assign({"a": (1, [0])})
        await asyncio.sleep(0.3)
        assert not reader.done()

        await service.start(f"unix:{tmp_path / 'service.sock'}")

        await until(lambda: service.logs["a", 0].end_offset == 10)

    play(tmp_path, scenario, retry_s_max=0.2)


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, "VERSION_MISMATCH", PreconditionFailed),
        (grpc.StatusCode.NOT_FOUND, "UNKNOWN_CONNECTION", NotFound),
    ],
)
def test_what_will_not_change_ends_the_process(
    tmp_path: Path, code: grpc.StatusCode, reason: str, kind: type[CacheError]
) -> None:
    class Refusing(FakeService):
        async def Join(self, requests: Any, context: Any) -> None:  # noqa: N802
            await anext(aiter(requests))
            status = status_pb2.Status(code=code.value[0], message="this is why")
            status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason))
            context.set_trailing_metadata(
                (("grpc-status-details-bin", status.SerializeToString()),)
            )
            await context.abort(code, status.message)

    async def scenario(_: FakeService, __: FakeSource, reader: asyncio.Task[None]) -> None:
        with pytest.raises(kind, match="this is why") as raised:
            await asyncio.wait_for(reader, ENDS_S_MAX)
        assert raised.value.reason == reason

    play(tmp_path, scenario, service=Refusing, expected=True)


def test_settings_that_make_no_sense_are_asked_for_again(tmp_path: Path) -> None:
    async def scenario(service: FakeService, source: FakeSource, _: object) -> None:
        source.write("a", 0, *values(0, 1))
        service.assign({"a": (1, [0])})
        await until(lambda: len(service.joins) > 1)
        service.settings["non_json_policy"] = "reject"
        await until(lambda: service.logs["a", 0].end_offset == 1)

    play(tmp_path, scenario, service=lambda: FakeService(non_json_policy="?"), retry_s_max=0.1)


def test_sigterm_waits_for_what_is_on_its_way(tmp_path: Path) -> None:
    async def scenario(
        service: FakeService, source: FakeSource, reader: asyncio.Task[None]
    ) -> None:
        service.answering.clear()
        source.write("a", 0, *values(0, 100))
        service.assign({"a": (1, [0])})
        await until(lambda: service.logs["a", 0].end_offset == 100)

        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.2)
        assert not reader.done()
        source.write("a", 0, *values(100, 200))
        service.answering.set()
        await asyncio.wait_for(reader, ENDS_S_MAX)

        assert service.logs["a", 0].end_offset == 100
        assert not source.running

    play(tmp_path, scenario, flush_timeout_s=30.0)


def test_a_clean_end_takes_bounded_time(tmp_path: Path) -> None:
    async def scenario(
        service: FakeService, source: FakeSource, reader: asyncio.Task[None]
    ) -> None:
        service.answering.clear()
        source.write("a", 0, *values(0, 100))
        service.assign({"a": (1, [0])})
        await until(lambda: service.logs["a", 0].end_offset == 100)

        began_s = time.monotonic()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(reader, ENDS_S_MAX)

        assert 0.3 <= time.monotonic() - began_s < ENDS_S_MAX
        assert service.logs["a", 0].end_offset == 100

    play(tmp_path, scenario, flush_timeout_s=0.3)


def test_ends_at_once_while_it_waits_for_a_service(tmp_path: Path) -> None:
    async def scenario(service: FakeService, _: FakeSource, reader: asyncio.Task[None]) -> None:
        await service.stop()
        await asyncio.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(reader, ENDS_S_MAX)

    play(tmp_path, scenario, retry_s_max=60.0)


def test_ends_while_a_service_does_not_say_a_word(tmp_path: Path) -> None:
    class Silent(FakeService):
        async def Join(self, requests: Any, context: Any) -> None:  # noqa: N802
            self.joins.append(await anext(aiter(requests)))
            await asyncio.sleep(60)

    async def scenario(service: FakeService, _: FakeSource, reader: asyncio.Task[None]) -> None:
        await until(lambda: bool(service.joins))
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(reader, ENDS_S_MAX)

    play(tmp_path, scenario, service=Silent)


def test_answers_that_nobody_asked_for_lose_the_service(tmp_path: Path) -> None:
    class Confused(FakeService):
        async def Append(self, requests: Any, context: Any) -> None:  # noqa: N802
            await context.write(pb.AppendResponse(topic="a", log_end_offset=5))
            await asyncio.sleep(60)

    async def scenario(service: FakeService, _: FakeSource, reader: asyncio.Task[None]) -> None:
        await until(lambda: len(service.joins) > 2)
        # Or timeouts of Python < 3.11.3 cancel instead.
        assert reader.cancelling() == 0

    play(tmp_path, scenario, service=Confused, retry_s_max=0.1)


def test_ends_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import asyncio\n"
        "from cachesvc.mining.reader import ReaderSettings, run_reader\n"
        f"settings = ReaderSettings(service='unix:{tmp_path}/none.sock', name='r',"
        " connection='c', exit_with_parent=True)\n"
        "asyncio.run(run_reader(settings))\n"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        assert process.stdin is not None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
        process.stdin.close()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_unknown_settings_of_the_service_are_no_obstacle() -> None:
    settings = ConnectionSettings("c", ("h:1",))

    assert settings.batch_records_max <= 4_000
