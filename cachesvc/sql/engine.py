"""Queries as the service runs them: each in a process of its own, killed when it is over."""

import asyncio
import secrets
import shutil
import signal
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cachesvc.bounds import Bounds, environment
from cachesvc.errors import CacheError, DamagedFile, InvalidRequest, PreconditionFailed
from cachesvc.sql import messages
from cachesvc.sql.messages import Column, Done, Failure, NamedLog, Query
from cachesvc.sql.views import LogViews

SQL_BYTES_MAX = 64 * 1024
_READ_AHEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """What queries may take.

    Attributes:
        enabled: Whether there are any.
        queries_max: At a time.
        bounds: Each of them.
        directory: Where what they read is linked.
    """

    enabled: bool
    queries_max: int
    bounds: Bounds
    directory: Path


Part = Sequence[tuple[str, str]] | bytes | int
"""Of an answer: names and types of its columns, pieces of one Arrow IPC stream, number of rows."""


class QueryEngine:
    """Runs queries. Belongs to one event loop.

    Args:
        settings: What they may take.
        views: Takes what they see.
    """

    def __init__(self, settings: QuerySettings, views: LogViews) -> None:
        self._settings = settings
        self._views = views
        self._processes: set[asyncio.subprocess.Process] = set()
        self._starting = 0
        self._end_cause: CacheError | None = None

    @property
    def full(self) -> bool:
        """Whether as many queries run as may; one whose process has ended counts no more."""
        running = sum(process.returncode is None for process in self._processes)
        return running + self._starting >= self._settings.queries_max

    def clear(self) -> None:
        """Removes what queries of an earlier service left. Blocking."""
        shutil.rmtree(self._settings.directory, ignore_errors=True)

    def end_all(self, cause: CacheError) -> None:
        """Ends the queries that run, and lets none begin."""
        self._end_cause = cause
        for process in self._processes:
            _kill(process)

    async def run(
        self, sql: str, *, connection: str = "", explain: bool = False
    ) -> AsyncGenerator[Part, None]:
        """The parts of an answer, as they are known. Closing it ends the query's process.

        Args:
            sql: One SELECT statement.
            connection: Of logs that name none; may be empty.
            explain: Whether the plan, with what each part of it took, is the answer.

        Raises:
            InvalidRequest: The query cannot be run as it stands, or fails on its data.
            NotFound: It names a topic or a model that is not there.
            PreconditionFailed: Queries are off, too many, or it takes more than it may.
            DamagedFile: What it reads does not hold what it should.
            ShuttingDown: The service is about to end.
            CacheError: Its process has ended otherwise.
        """
        self._check(sql)
        bounds = self._settings.bounds
        loop = asyncio.get_running_loop()
        deadline = loop.time() + bounds.time_s_max
        directory = self._settings.directory / f"{time.time_ns()}-{secrets.token_hex(4)}"
        async with self._process(directory, deadline) as process:
            _tell(process, messages.QUERY, Query(sql, explain, str(directory), bounds))
            try:
                async for kind, body in _messages(process, deadline):
                    if kind == messages.NAMED:
                        named = msgspec.msgpack.decode(body, type=list[NamedLog])
                        views = await self._views.take(named, connection, directory)
                        _tell(process, messages.VIEW, views)
                    elif kind == messages.FAILED:
                        raise self._error(msgspec.msgpack.decode(body, type=Failure))
                    else:
                        yield _part(kind, body)
            except TimeoutError as error:
                raise _too_long(bounds) from error
            except _Ended as ended:
                if self._end_cause is not None:
                    raise self._end_cause from ended
                if loop.time() >= deadline:
                    raise _too_long(bounds) from ended
                raise _process_died(ended.code) from ended

    @asynccontextmanager
    async def _process(
        self, directory: Path, deadline: float
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """A process for a query, which has ended when this has, and its directory with it.

        It is killed at the deadline, so that a caller who takes nothing keeps it no longer.
        """
        process = None
        self._starting += 1
        try:
            try:
                await asyncio.to_thread(directory.mkdir, parents=True)
                process = await _start()
                self._processes.add(process)
                self._check_open()
            finally:
                self._starting -= 1
            expiry = asyncio.get_running_loop().call_at(deadline, _kill, process)
            try:
                yield process
            finally:
                expiry.cancel()
        finally:
            await asyncio.shield(self._end(process, directory))

    def _check_open(self) -> None:
        if self._end_cause is not None:
            raise self._end_cause

    def _check(self, sql: str) -> None:
        self._check_open()
        if not self._settings.enabled:
            raise PreconditionFailed(
                "queries are off in this service; [sql] enabled turns them on", reason="SQL_OFF"
            )
        if not 0 < len(sql.encode()) <= SQL_BYTES_MAX:
            raise InvalidRequest(f"a query has 1 to {SQL_BYTES_MAX:,} bytes", reason="INVALID_SQL")
        if self.full:
            raise PreconditionFailed(
                f"{self._settings.queries_max} queries run already, which is all that [sql] "
                "queries_max allows; try again when one has ended",
                reason="QUERIES_MAX",
            )

    def _error(self, failure: Failure) -> CacheError:
        bounds, reason = self._settings.bounds, failure.reason
        if reason == "QUERY_MEMORY_MAX":
            mib = bounds.memory_bytes_max >> 20
            spill = bounds.spill_bytes_max >> 20
            return PreconditionFailed(
                f"the query needs more memory than it may have: [sql] memory_bytes_max is {mib:,} "
                f"MiB, and spill_bytes_max {spill:,} MiB for what does not fit; ask for less "
                f"at a time, or raise them ({failure.message})",
                reason="QUERY_MEMORY_MAX",
            )
        if reason == "DAMAGED_FILE":
            return DamagedFile(failure.message)
        if reason == "INTERNAL":
            return CacheError(f"the query's process failed: {failure.message}")
        return InvalidRequest(failure.message, reason=reason)

    async def _end(self, process: asyncio.subprocess.Process | None, directory: Path) -> None:
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            _kill(process)
            process.stdin.close()
            # What nobody has taken would keep the pipe open.
            while await process.stdout.read(_READ_AHEAD_BYTES):
                pass
            await process.wait()
            self._processes.discard(process)
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


class _Ended(Exception):
    """A process ended without an end of its answer."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cachesvc.sql.process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
        limit=_READ_AHEAD_BYTES,
        start_new_session=True,
    )


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()


def _tell(process: asyncio.subprocess.Process, kind: bytes, content: object) -> None:
    """Hands a message to a process; one that is gone is noticed where its answer is read."""
    assert process.stdin is not None
    process.stdin.write(messages.pack(kind, content))


async def _messages(
    process: asyncio.subprocess.Process, deadline: float
) -> AsyncGenerator[tuple[bytes, bytes], None]:
    """Kind and body of each message of a process, to the end of its answer.

    Raises:
        TimeoutError: The deadline has come.
        _Ended: The process ended before.
    """
    output = process.stdout
    assert output is not None
    kind = b""
    while kind not in (messages.DONE, messages.FAILED):
        try:
            async with asyncio.timeout_at(deadline):
                kind, size = messages.HEADER.unpack(await output.readexactly(messages.HEADER.size))
                assert size <= messages.BODY_BYTES_MAX
                body = await output.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise _Ended(await process.wait()) from error
        yield kind, body


def _part(kind: bytes, body: bytes) -> Part:
    if kind == messages.ROWS:
        return body
    if kind == messages.COLUMNS:
        columns = msgspec.msgpack.decode(body, type=list[Column])
        return [(column.name, column.type) for column in columns]
    assert kind == messages.DONE, kind
    return msgspec.msgpack.decode(body, type=Done).rows


def _too_long(bounds: Bounds) -> PreconditionFailed:
    return PreconditionFailed(
        f"the query took longer than it may: [sql] time_s_max is {bounds.time_s_max:g} s; ask for "
        "less at a time (a range of offsets or times, one partition), or raise it",
        reason="QUERY_TIME_MAX",
    )


def _process_died(code: int) -> CacheError:
    if code == -signal.SIGXCPU:
        how = "used more time of the processors than [sql] time_s_max and threads allow"
    elif code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
    else:
        how = f"ended with exit code {code}"
    return CacheError(
        f"the query's process {how}; nothing else is affected. If it was the system, for lack of "
        "memory, lower [sql] memory_bytes_max or ask for less at a time",
        reason="QUERY_PROCESS_DIED",
    )
