"""What tests of the whole service share: records, waiting, raw calls, readers started by hand."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import duckdb
import grpc
import pyarrow.parquet as pq
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from cachesvc.serving.local_socket import socket_path
from cachesvc.v1 import admin_pb2 as admin
from cachesvc.v1 import log_cache_pb2 as log_cache
from cachesvc.v1.admin_pb2_grpc import AdminStub
from cachesvc.v1.log_cache_pb2_grpc import LogCacheStub
from cachesvc.v1.mining_pb2_grpc import MiningStub
from tests.support.checker import Anomaly, Observation, check
from tests.support.service import ServiceProcess
from tests.support.tasks import Delivered
from tests.support.topics import BrokerRecord, OutRecord

T = TypeVar("T")
# Machines that are busy with other things are slow, not wrong.
WAIT_S = 90.0
CALL_S = 60.0
_POLL_S = 0.05


def objects(
    begin: int, end: int, partitions: int = 1, size: int = 300, timestamp_ms: int | None = None
) -> list[OutRecord]:
    """JSON objects that hardly compress, spread over partitions in turn."""
    return [
        OutRecord(
            key=b"k%d" % number,
            value=json.dumps({"id": number, "text": noise(number, size)}).encode(),
            partition=number % partitions,
            timestamp_ms=timestamp_ms,
        )
        for number in range(begin, end)
    ]


def noise(seed: int, length: int) -> str:
    """Text that hardly compresses."""
    return random.Random(seed).randbytes((length + 1) // 2).hex()[:length]


def eventually(found: Callable[[], T], what: str, timeout_s: float = WAIT_S) -> T:
    """Asks again and again until the answer is true; returns it.

    Raises:
        AssertionError: It was not in time.
    """
    deadline = time.monotonic() + timeout_s
    while not (answer := found()):
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}: {answer!r}"
        time.sleep(_POLL_S)
    return answer


def anomalies(
    truth: Mapping[int, Sequence[BrokerRecord]], seen: Delivered, topic: str
) -> list[Anomaly]:
    """What is wrong with one stream that was to give everything that the broker has."""
    rows = seen.of(topic)
    return check(truth, [Observation("task", number, rows.get(number, [])) for number in truth])


class Calls:
    """Raw calls to a service, blocking; used in ``with``.

    Attributes:
        channel: Behind the stubs.
        log_cache: Stub of LogCache.
        admin: Stub of Admin.
        mining: Stub of Mining.
    """

    def __init__(self, address: str) -> None:
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.insecure_channel(address, options=options)
        self.log_cache: Any = LogCacheStub(self.channel)
        self.admin: Any = AdminStub(self.channel)
        self.mining: Any = MiningStub(self.channel)

    def offsets(self, topic: str) -> dict[int, Any]:
        """``PartitionOffsets`` of a topic by partition number."""
        request = log_cache.ListOffsetsRequest(topic=topic)
        answer = self.log_cache.ListOffsets(request, timeout=CALL_S)
        return {found.partition: found for found in answer.partitions}

    def incarnation(self, topic: str) -> int:
        """Which incarnation of a topic has logs; 0 while a new one waits for its leaders."""
        return max((found.incarnation for found in self.offsets(topic).values()), default=0)

    def topic(self, name: str) -> Any:
        """``Topic`` as Admin shows it."""
        request = admin.ListTopicsRequest(topic=name)
        (found,) = self.admin.ListTopics(request, timeout=CALL_S).topics
        return found

    def readers(self) -> dict[str, Any]:
        """``Reader`` by name, of those that have joined."""
        answer = self.admin.ListReaders(admin.ListReadersRequest(), timeout=CALL_S)
        return {found.name: found for found in answer.readers}

    def segments(self, topic: str) -> list[Any]:
        """Every ``Segment`` of a topic."""
        request = admin.ListSegmentsRequest(topic=topic)
        pages = self.admin.ListSegments(request, timeout=CALL_S)
        return [segment for page in pages for segment in page.segments]

    def run_job(self, name: str) -> dict[str, int]:
        """Runs a job to its end; what it did, as counts."""
        *_, last = self.admin.RunJob(admin.RunJobRequest(name=name), timeout=CALL_S)
        assert last.run.succeeded, last.run.error
        return dict(last.run.counts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    """Status, reason and metadata with which a call is refused.

    Raises:
        AssertionError: It is not, or no ``ErrorInfo`` of cachesvc says why.
    """
    try:
        answer = call()
    except grpc.RpcError as error:
        return error.code(), *error_info(error)
    raise AssertionError(f"the call was answered: {answer!r}")


def error_info(error: Any) -> tuple[str, dict[str, str]]:
    """Reason and metadata of an error of the service, without the id that every call has.

    Raises:
        AssertionError: It has no reason, or no id.
    """
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error.code()} {error.details()}"
    (detail,) = status.details
    info = error_details_pb2.ErrorInfo()
    assert detail.Unpack(info)
    assert info.domain == "cachesvc"
    metadata = dict(info.metadata)
    assert metadata.pop("request_id")
    return info.reason, metadata


class HandStartedReader:
    """``cachesvc reader`` as an operator starts it; used in ``with``, killed at the end.

    Args:
        service: Whose it is.
        name: Its own.
        address: Where it joins; the store's socket without.
        arguments: More of them.
        environment: More variables.
        module: What is started, with the command line of ``cachesvc reader``.

    Attributes:
        name: Its own.
        log_path: What it writes to stderr.
        process: It.
    """

    def __init__(
        self,
        service: ServiceProcess,
        name: str,
        address: str = "",
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        module: Sequence[str] = ("cachesvc", "reader"),
    ) -> None:
        self.name = name
        self.log_path = service.store.parent / f"{name}.log"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", *module),
                    *("--service", address or f"unix:{socket_path(service.store)}"),
                    *("--connection", "default", "--name", name, "--log-format", "json"),
                    *arguments,
                ],
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        if kind is not None:
            print(self.log_path.read_text(errors="replace")[-4_000:])


def kill_something(service: ServiceProcess, chance: random.Random) -> None:
    """Kills the readers of a service, or the service, which is started again."""
    if chance.random() < 0.5:
        for pid in service.reader_pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    else:
        service.kill()
        service.start()


def check_manifest(store: Path, topic: str, truth: Mapping[int, Iterable[BrokerRecord]]) -> None:
    """The segments of a stopped service's store: contiguous, and each offset at most once."""
    with duckdb.connect(str(store / "catalogue.duckdb"), read_only=True) as catalogue:
        rows = catalogue.execute(
            'select "partition", base_offset, end_offset, path from segments where topic = ?'
            " order by all",
            [topic],
        ).fetchall()
    last_end: dict[int, int] = {}
    stored: dict[int, list[int]] = {}
    for number, base, end, path in rows:
        assert base == last_end.get(number, base), (number, base, last_end)
        last_end[number] = end
        offsets = pq.read_table(store / path, columns=["offset"]).column(0).to_pylist()
        assert all(base <= offset < end for offset in offsets)
        stored.setdefault(number, []).extend(offsets)
    for number, offsets in stored.items():
        known = {record.offset for record in truth[number]}
        assert offsets == sorted(set(offsets)), f"partition {number}: an offset is stored twice"
        assert known.issuperset(offsets)
