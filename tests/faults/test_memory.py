"""G8: memory is bounded by configuration, not by subscribers, their slowness, or the log's length.

The bound: the service's own size, the budgets of its configuration, and an allowance for each
subscriber, whatever it does or fails to do. Allocators that keep freed memory for next time would
hide what the service itself holds, so they are told not to.
"""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from cachesvc.v1 import log_cache_pb2 as log_cache
from tests.faults.stage import Calls, eventually, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.topics import create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(900)]

MIB = 1 << 20
BATCH_BYTES = 64 << 10
SETTINGS = {
    "store": {
        "memory_bytes_max": MIB,
        "chunk_cache_bytes_max": MIB,
        "segment_bytes_max": MIB,
        "warm_bytes_max": 2 * MIB,
    },
    "mining": {"append_window_bytes_max": MIB},
}
# Newest frames, chunks and pieces of large frames; appends on their way; chunks being read by four
# threads and merged by one; the catalogue; and some room.
BUDGET_BYTES = (3 + 1 + 5 + 8 + 16) * MIB
# A batch being sent, a copy of it in gRPC, a connection's buffers, and what the stream itself is.
SUBSCRIBER_BYTES = 4 * BATCH_BYTES
SUBSCRIBERS = 200
ALLOCATORS = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
_SUBSCRIBE = "/cachesvc.v1.LogCache/Subscribe"
_SAMPLE_S = 0.02


@pytest.fixture(autouse=True)
def _allocators(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ALLOCATORS.items():
        monkeypatch.setenv(name, value)


@dataclass
class Peak:
    """The largest resident size of a process so far."""

    bytes: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def watch(self, process: psutil.Process) -> None:
        """Until told to stop."""
        while not self._stop.wait(_SAMPLE_S):
            self.bytes = max(self.bytes, process.memory_info().rss)

    def stop(self) -> None:
        """Ends it."""
        self._stop.set()


@contextmanager
def _peak(service: ServiceProcess) -> Iterator[Peak]:
    peak = Peak()
    thread = threading.Thread(target=peak.watch, args=(psutil.Process(service.pid),))
    thread.start()
    try:
        yield peak
    finally:
        peak.stop()
        thread.join()


class Subscriber:
    """A FULL stream on a connection of its own that is only read when told to."""

    def __init__(self, address: str, name: str, topic: str) -> None:
        # The client's own window stays small, so that what is not read stays with the service.
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", 64 << 10),
        ]
        self._channel = grpc.aio.insecure_channel(address, options=options)
        request = log_cache.SubscribeRequest(
            subscription=name, topics=[topic], mode=log_cache.FULL, batch_bytes_max=BATCH_BYTES
        )
        subscribe: Any = self._channel.unary_stream(
            _SUBSCRIBE,
            request_serializer=log_cache.SubscribeRequest.SerializeToString,
            response_deserializer=log_cache.SubscribeResponse.FromString,
        )
        self._call = subscribe(request)

    async def begin(self) -> None:
        """Reads the first event."""
        response = await self._call.read()
        assert response.HasField("started"), response

    async def read_all(self) -> int:
        """Reads to the end; the number of records."""
        count = 0
        while True:
            response = await self._call.read()
            if response.HasField("batch"):
                count += response.batch.record_count
            elif response.HasField("ended"):
                return count

    async def __aenter__(self) -> "Subscriber":
        await self.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._call.cancel()
        await self._channel.close()


async def _drain(address: str, topic: str, count: int, label: str) -> int:
    """So many subscribers read everything at once; records in all."""
    async with AsyncExitStack() as stack, asyncio.timeout(180):
        subscribers = [
            await stack.enter_async_context(Subscriber(address, f"{label}-{number}", topic))
            for number in range(count)
        ]
        return sum(await asyncio.gather(*(each.read_all() for each in subscribers)))


def _rss(service: ServiceProcess) -> int:
    return int(psutil.Process(service.pid).memory_info().rss)


def _filled(bootstrap: str, topic: str, records: int) -> str:
    create_topic(bootstrap, topic)
    produce(bootstrap, topic, objects(0, records))
    return topic


def test_two_hundred_subscribers_half_of_them_stalled_or_gone(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    records, reading = 12_000, SUBSCRIBERS // 2
    topic = _filled(kafka.bootstrap, topic_name("crowd"), records)
    with ServiceProcess(tmp_path, kafka.bootstrap, SETTINGS) as service:

        async def run() -> None:
            async with AsyncExitStack() as stack, asyncio.timeout(240):
                for number in range(SUBSCRIBERS - reading):
                    stalled = Subscriber(service.address, f"stalled-{number}", topic)
                    await stack.enter_async_context(stalled)
                _let_one_vanish(service.address, topic)
                # Nobody waits for those who do not read.
                assert await _drain(service.address, topic, reading, "r") == reading * records

        for label in ("journals", "segments"):
            assert asyncio.run(_drain(service.address, topic, 2, label)) == 2 * records
        before = _rss(service)
        with _peak(service) as peak:
            asyncio.run(run())
        grown = peak.bytes - before
        print(f"before {before / MIB:.0f} MiB, at most {grown / MIB:.1f} MiB more")
        assert grown <= BUDGET_BYTES + SUBSCRIBERS * SUBSCRIBER_BYTES
        with Calls(service.address) as calls:
            eventually(lambda: not _connected(calls), "the service to forget those who left")


def _let_one_vanish(address: str, topic: str) -> None:
    command = [sys.executable, "-m", "tests.faults.client_process", address, "vanished", topic, "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()


def _connected(calls: Calls) -> list[str]:
    answer = calls.log_cache.ListSubscriptions(log_cache.ListSubscriptionsRequest(), timeout=60)
    return [found.name for found in answer.subscriptions if found.connected]


def test_a_log_ten_times_as_long_takes_no_more_memory(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    peaks: dict[int, int] = {}
    with (
        ServiceProcess(tmp_path, kafka.bootstrap, SETTINGS) as service,
        Calls(service.address) as calls,
    ):
        # The first fills what there are budgets for, and what libraries keep once they have it.
        for records in (40_000, 160_000):
            topic = _filled(kafka.bootstrap, topic_name("long"), records)
            with _peak(service) as peak:
                # Mined, read while it is mined, and read again from the start.
                for label in ("first", "again"):
                    read = asyncio.run(_drain(service.address, topic, 3, f"{label}-{records}"))
                    assert read == 3 * records
            peaks[records] = peak.bytes
            files = len(calls.segments(topic))
            print(f"{records} records, {files} segments: {peak.bytes / MIB:.0f} MiB")
    # 44 MB more of records have come through; the system's allocator gives back what it likes when
    # it likes.
    assert peaks[160_000] - peaks[40_000] <= 28 * MIB, peaks
