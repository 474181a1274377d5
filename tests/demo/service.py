"""The real service as a process, on a store of its own, and the questions the demo asks it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from cachesvc.client import Client, ClientError, PartitionOffsets
from cachesvc.v1 import admin_pb2, admin_pb2_grpc
from tests.demo.failure import DemoError, with_tail
from tests.demo.metadata import Address
from tests.support.ports import HOST, free_ports

ROOT = Path(__file__).resolve().parents[2]
_READY_S = 30.0
_STOP_S = 10.0
_CALL_S = 10.0
_POLL_S = 0.1
_REJECTS_MAX = 100_000

# Little memory, so that whoever is late or slow is served from disk; journals are sealed soon, so
# that there are Parquet files to look at.
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "store": {"memory_bytes_max": 1024 * 1024, "segment_age_s_max": 3.0},
    "server": {"progress_interval_s": 0.5, "shutdown_grace_s": 2.0},
    "mining": {"metadata_interval_s": 1.0},
}


@dataclass(frozen=True, slots=True)
class Sealed:
    """What lies in Parquet files.

    Attributes:
        ends: How far, per topic and partition.
        files: Number of files.
        bytes: Their sizes in all.
    """

    ends: Mapping[tuple[str, int], int]
    files: int
    bytes: int


class Service:
    """`cachesvc serve` and the reader process that it starts. Used in ``async with``.

    Args:
        directory: For the configuration and the log; exists.
        store: The store's directory.
        kafka: Where the service finds its Kafka.
        topics: Expression of the topics to mine.
    """

    def __init__(self, directory: Path, store: Path, kafka: Address, topics: str) -> None:
        self.log = directory / "service.log"
        self.store = store
        self.address = f"{HOST}:{free_ports(1)[0]}"
        self._config = directory / "cachesvc.toml"
        self._config.write_text(self._toml(kafka, topics))
        self._process: asyncio.subprocess.Process | None = None
        self._guard: asyncio.subprocess.Process | None = None
        self._client = Client(self.address)
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        """Starts the service and waits until it answers.

        Raises:
            DemoError: It does not.
        """
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the service and its reader."""
        await self._stop()

    async def offsets(self) -> list[PartitionOffsets]:
        """The ends of every partition's log.

        Raises:
            DemoError: The service does not answer; so do the other questions.
        """
        with self._answers_expected():
            return await self._client.list_offsets()

    async def sealed(self) -> Sealed:
        """What is in Parquet files by now."""
        ends: dict[tuple[str, int], int] = {}
        files = size = 0
        request = admin_pb2.ListSegmentsRequest()
        with self._answers_expected():
            async for response in self._admin.ListSegments(request, timeout=_CALL_S):
                for segment in response.segments:
                    key = segment.topic, segment.partition
                    ends[key] = max(ends.get(key, 0), segment.end_offset)
                    files += 1
                    size += segment.bytes
        return Sealed(ends, files, size)

    async def rejects(self) -> set[tuple[str, int, int]]:
        """Topic, partition and offset of the records that the JSON rule turned away."""
        request = admin_pb2.ListRejectsRequest(limit=_REJECTS_MAX)
        with self._answers_expected():
            found = {
                (reject.topic, reject.partition, reject.offset)
                async for response in self._admin.ListRejects(request, timeout=_CALL_S)
                for reject in response.rejects
            }
        if len(found) >= _REJECTS_MAX:
            what = f"{len(found):,} records or more are no JSON objects"
            raise DemoError(f"{what}, which is what the cache is for; choose others with --topics")
        return found

    def check(self) -> None:
        """Makes sure that it runs.

        Raises:
            DemoError: It has ended.
        """
        assert self._process is not None
        if self._process.returncode is not None:
            what = f"the service ended with exit code {self._process.returncode}"
            raise DemoError(with_tail(what, self.log))

    @contextlib.contextmanager
    def _answers_expected(self) -> Iterator[None]:
        try:
            yield
        except (ClientError, grpc.aio.AioRpcError) as error:
            self.check()
            details = error.details() if isinstance(error, grpc.aio.AioRpcError) else str(error)
            raise DemoError(with_tail(f"the service answers: {details}", self.log)) from error

    async def _start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "cachesvc", "serve", "--config", str(self._config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=child_environment(),
                start_new_session=True,  # Ctrl-C is for us; we end the service
            )
        self._guard = await _end_with_us(self._process.pid)
        await self._client.__aenter__()
        self._channel = grpc.aio.insecure_channel(self.address)
        self._admin = admin_pb2_grpc.AdminStub(self._channel)
        try:
            async with asyncio.timeout(_READY_S):
                while not await self._answers():
                    self.check()
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            what = f"the service does not answer after {_READY_S:.0f} s"
            raise DemoError(with_tail(what, self.log)) from None

    async def _answers(self) -> bool:
        try:
            await self._admin.GetConfig(admin_pb2.GetConfigRequest(), timeout=1.0)
        except grpc.aio.AioRpcError:
            return False
        return True

    async def _stop(self) -> None:
        if self._channel is not None:
            await self._channel.close()
            await self._client.__aexit__(None, None, None)
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._guard is not None:
            with contextlib.suppress(ProcessLookupError):
                self._guard.kill()
            await self._guard.wait()

    def _toml(self, kafka: Address, topics: str) -> str:
        sections = {name: dict(values) for name, values in _SETTINGS.items()}
        sections["store"]["path"] = str(self.store)
        sections["server"]["listen"] = self.address
        connection = {
            "name": "default",
            "bootstrap_servers": [format_address(kafka)],
            "topic_expression": topics,
        }
        lines = []
        for head, values in [
            *((f"[{name}]", sections[name]) for name in sections),
            ("[[connections]]", connection),
        ]:
            # JSON's texts, numbers and lists are TOML's too.
            lines += [head, *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        return "\n".join([*lines, ""])


def format_address(address: Address) -> str:
    """HOST:PORT; an IPv6 host comes in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def child_environment() -> dict[str, str]:
    """Ours without settings of the service, which would change what the demo shows."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CACHESVC_")}


async def _end_with_us(pid: int) -> asyncio.subprocess.Process:
    """A shell that ends `pid` once this process is gone, however it went."""
    return await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", f"read _; kill -TERM {pid}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
