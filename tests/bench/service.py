"""The real service as a process of its own, and the questions that benchmarks ask it."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from cachesvc.v1 import admin_pb2, admin_pb2_grpc, log_cache_pb2, log_cache_pb2_grpc
from cachesvc.v1.mining_tasks_pb2 import (
    EditMiningTaskRequest,
    MiningStart,
    StartMiningTaskRequest,
    StopMiningTaskRequest,
)
from cachesvc.v1.retention_pb2 import ListStoreUsageRequest
from tests.bench.processes import (
    ROOT,
    BenchError,
    child_environment,
    end_with_us,
    wait_until,
)
from tests.support.ports import HOST, free_ports

Settings = Mapping[str, Mapping[str, object]]
"""Section of the configuration to field to value; what is not named keeps its default.

A section in brackets of its own is one of several: `[stores]`.
"""

CONNECTION = "bench"
START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_CALL_TIMEOUT_S = 30.0


class Service:
    """`cachesvc serve` on a store of its own, with the reader processes that it starts.

    Args:
        directory: For store, configuration and log; created.
        bootstrap: Where the broker is.
        settings: Other settings than the defaults.
    """

    def __init__(self, directory: Path, bootstrap: str, settings: Settings | None = None) -> None:
        self._directory = directory
        self._bootstrap = bootstrap
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._channel: grpc.Channel | None = None
        self.settings: Settings = settings or {}
        self.target = f"{HOST}:{free_ports(1)[0]}"

    @property
    def pid(self) -> int:
        """Process id of the service."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> Path:
        """What service and readers say."""
        return self._directory / "service.log"

    @property
    def store(self) -> Path:
        """The store's directory."""
        return self._directory / "store"

    def start(self) -> Self:
        """Start on what the store holds; return when it answers."""
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "cachesvc.toml"
        config.write_text(self._configuration())
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cachesvc", "serve", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=child_environment(),
            )
        self._guard = end_with_us(self._process.pid)
        self._channel = grpc.insecure_channel(self.target)
        self._log_cache = log_cache_pb2_grpc.LogCacheStub(self._channel)
        self._admin = admin_pb2_grpc.AdminStub(self._channel)
        wait_until(self._answers, "the service answers", START_TIMEOUT_S)
        return self

    def stop(self) -> None:
        """End service and readers, with SIGKILL if they do not end by themselves."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise BenchError("the service did not end on SIGTERM", self.log) from None
        finally:
            self._process = None

    def restart(self, settings: Settings | None = None) -> None:
        """Stop and start on the same store, perhaps with other settings."""
        self.stop()
        if settings is not None:
            self.settings = settings
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; delete the store, keep configuration and log."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.store, ignore_errors=True)

    def want(self, topic: str) -> None:
        """Have a topic mined: subscribe to it, and leave."""
        with self._subscribed(topic, log_cache_pb2.INCREMENTAL):
            pass

    def reading(self, topic: str) -> contextlib.AbstractContextManager[None]:
        """Hold a stream of everything that a topic has, from which nothing is taken."""
        return self._subscribed(topic, log_cache_pb2.FULL_AND_INCREMENTAL)

    def begin_at(self, *, end: bool) -> None:
        """Have topics that join from now on mined from their end, or from their beginning."""
        stop = StopMiningTaskRequest(connection=CONNECTION)
        self._admin.StopMiningTask(stop, timeout=_CALL_TIMEOUT_S)
        start = MiningStart(now=True) if end else MiningStart(earliest=True)
        edit = EditMiningTaskRequest(connection=CONNECTION, start=start)
        self._admin.EditMiningTask(edit, timeout=_CALL_TIMEOUT_S)
        again = StartMiningTaskRequest(connection=CONNECTION)
        self._admin.StartMiningTask(again, timeout=_CALL_TIMEOUT_S)

    def mine(self, topic: str, records: int, timeout_s: float) -> float:
        """Have a topic mined; return the seconds until its end is cached and full journals sealed.

        Blocks. A journal that is not full when the source's end is reached stays as it is.
        """
        began = time.monotonic()
        self.want(topic)
        self.await_records(topic, records, timeout_s)
        self.await_sealed(topic, timeout_s)
        return time.monotonic() - began

    def await_sealed(self, topic: str, timeout_s: float) -> None:
        """Wait until no full journal waits for its sealing."""
        wait_until(lambda: not self._is_sealing(topic), f"{topic} is sealed", timeout_s)

    def await_records(self, topic: str, records: int, timeout_s: float) -> None:
        """Wait until so many records of a topic are cached."""
        try:
            wait_until(lambda: self.cached_records(topic) >= records, "mined", timeout_s)
        except BenchError:
            done = self.cached_records(topic)
            raise BenchError(f"{done:,} of {records:,} records are cached", self.log) from None

    def await_older(self, topic: str, timeout_s: float) -> None:
        """Wait until some of what was missing of a topic is mined."""
        wait_until(lambda: self.cached_older(topic) > 0, f"older records of {topic}", timeout_s)

    def cached_older(self, topic: str) -> int:
        """Return how many records of a topic without holes were mined afterwards.

        Its logs began where it ended, and nothing has come since.
        """
        partitions = self._offsets(topic)
        apart = sum(each.end_offset - each.begin_offset for p in partitions for each in p.older)
        return apart + sum(p.log_end_offset - p.log_start_offset for p in partitions)

    def cached_records(self, topic: str) -> int:
        """Return how many records of a topic without holes are cached."""
        return sum(p.log_end_offset - p.log_start_offset for p in self._offsets(topic))

    def await_all_sealed(self, topic: str, timeout_s: float) -> None:
        """Wait until every record is in a segment; `segment_age_s_max` has to be short."""
        wait_until(
            lambda: all(j.state == admin_pb2.WARM for j in self._journals(topic)),
            f"all journals of {topic} are sealed",
            timeout_s,
        )

    def run_job(self, name: str, timeout_s: float) -> Mapping[str, int]:
        """Run a job to its end; return what it counted."""
        *_, last = self._admin.RunJob(admin_pb2.RunJobRequest(name=name), timeout=timeout_s)
        if not last.run.succeeded:
            raise BenchError(f"job {name}: {last.run.error}")
        return dict(last.run.counts)

    def segments(self, topic: str) -> list[admin_pb2.Segment]:
        """Return the live segments of a topic."""
        request = admin_pb2.ListSegmentsRequest(topic=topic)
        pages = self._admin.ListSegments(request, timeout=_CALL_TIMEOUT_S)
        return [segment for page in pages for segment in page.segments]

    def held_records(self) -> int:
        """Return how many records the store holds, of topics that the source knows or not."""
        request = ListStoreUsageRequest()
        stores = self._admin.ListStoreUsage(request, timeout=_CALL_TIMEOUT_S).stores
        return sum(topic.records for store in stores for topic in store.topics)

    @contextlib.contextmanager
    def _subscribed(self, topic: str, mode: log_cache_pb2.Mode) -> Iterator[None]:
        request = log_cache_pb2.SubscribeRequest(
            subscription=f"bench-{uuid.uuid4().hex}", topics=[topic], mode=mode
        )
        stream = self._log_cache.Subscribe(request)
        first = next(iter(stream))
        if first.WhichOneof("event") != "started":
            raise BenchError(f"the stream began with {first}")
        try:
            yield
        finally:
            stream.cancel()

    def _offsets(self, topic: str) -> list[log_cache_pb2.PartitionOffsets]:
        request = log_cache_pb2.ListOffsetsRequest(topic=topic)
        return list(self._log_cache.ListOffsets(request, timeout=_CALL_TIMEOUT_S).partitions)

    def _journals(self, topic: str) -> list[admin_pb2.Journal]:
        request = admin_pb2.ListJournalsRequest(topic=topic)
        return list(self._admin.ListJournals(request, timeout=_CALL_TIMEOUT_S).journals)

    def _is_sealing(self, topic: str) -> bool:
        return any(journal.state == admin_pb2.SEALING for journal in self._journals(topic))

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise BenchError("the service ended while starting", self.log)
        try:
            self._admin.GetConfig(admin_pb2.GetConfigRequest(), timeout=1.0)
        except grpc.RpcError:
            return False
        return True

    def _configuration(self) -> str:
        sections: dict[str, dict[str, object]] = {
            "store": {"path": str(self.store)},
            "server": {"listen": self.target},
        }
        for section, fields in self.settings.items():
            sections.setdefault(section, {}).update(fields)
        lines = []
        for section, fields in sections.items():
            lines.append(f"[{section}]")
            lines += [f"{name} = {_toml(value)}" for name, value in fields.items()]
        lines += ["[[connections]]", f'name = "{CONNECTION}"']
        lines.append(f'bootstrap_servers = ["{self._bootstrap}"]')
        return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    return json.dumps(value)
