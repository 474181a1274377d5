"""The reader process: joins a service, mines what it is told to, and comes back when it is lost.

Everything durable is the service's. When the calls to it break, whatever was not acknowledged is
forgotten, and the next membership begins at the offsets that the service then names. Trouble with
the broker ends nothing: it is reported, and the source goes on by itself.
"""

import asyncio
import contextlib
import gc
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from cachesvc.assignment.readers import ReaderFigures
from cachesvc.backoff import Backoff
from cachesvc.errors import CacheError, NotFound, PreconditionFailed
from cachesvc.mining.append_stream import ServiceLost
from cachesvc.mining.backfilling import Backfilling
from cachesvc.mining.black_box import Before, BlackBox, WorkedOn
from cachesvc.mining.careful_start import DEATHS_MIN, CarefulStart, deaths
from cachesvc.mining.connection_settings import ConnectionSettings
from cachesvc.mining.kafka import KafkaSettings, KafkaSource, security_of
from cachesvc.mining.miner import Miner
from cachesvc.mining.source import SourceReader
from cachesvc.mining.stopping import Stopped, stop_request, unless
from cachesvc.mining.uplink import Uplink, connect
from cachesvc.process_usage import process_usage
from cachesvc.request_ids import current_request_id, new_request_id, working_for
from cachesvc.stop_signals import StopSignals

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_JOIN_TIMEOUT_S = 10.0
_REPORT_TICK_S = 0.2
# A process that has lived so long does not die of what the ones before it died of.
_CALM_S = 30.0
# A chunk of records is a hundred thousand objects that die young and refer to nothing. With the
# collector's default of 700 it costs as much as the decoding.
_GC_THRESHOLDS = (50_000, 20, 100)
# An older range ends somewhere, and what is fetched behind that was fetched in vain.
_BACKFILL_AHEAD_BYTES = 8 << 20
_BACKFILL_FETCH_BYTES = 2 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSettings:
    """How a reader process runs; all else it learns from the service.

    Attributes:
        service: The service's address: ``unix:PATH``, or HOST:PORT as in its ``mining.listen``.
        name: The reader's own name.
        connection: The connection whose topics it mines.
        roots: PEM of the certificates to trust; None for plain text.
        token: What the service wants to be shown; empty for nothing.
        exit_with_parent: End when standard input does.
        report_interval_s: Between reports; the service expects one every second.
        flush_timeout_s: How long a clean end waits for what is on its way.
        retry_s_max: The longest wait before joining again.
        black_box: Where to note what is in hand, for the process after this one; None: nowhere.
    """

    service: str
    name: str
    connection: str
    roots: bytes | None = None
    token: str = field(default="", repr=False)
    exit_with_parent: bool = False
    report_interval_s: float = 1.0
    flush_timeout_s: float = 5.0
    retry_s_max: float = 5.0
    black_box: Path | None = None


def kafka_source(connection: ConnectionSettings) -> SourceReader:
    """The source that a connection means."""
    return KafkaSource(_kafka_settings(connection))


def kafka_backfill_source(connection: ConnectionSettings) -> SourceReader:
    """The same for older ranges."""
    return KafkaSource(
        replace(
            _kafka_settings(connection),
            fetch_bytes_max=_BACKFILL_AHEAD_BYTES,
            partition_bytes_max=_BACKFILL_FETCH_BYTES,
        )
    )


def _kafka_settings(connection: ConnectionSettings) -> KafkaSettings:
    return KafkaSettings(
        bootstrap_servers=connection.bootstrap_servers,
        security=security_of(connection),
        client_id=f"cachesvc-{connection.name}",
    )


@dataclass(frozen=True, slots=True)
class MakeSources:
    """How a reader makes its sources: of new records, and of older ranges."""

    tail: Callable[[ConnectionSettings], SourceReader] = kafka_source
    backfill: Callable[[ConnectionSettings], SourceReader] = kafka_backfill_source


async def run_reader(
    settings: ReaderSettings,
    make_sources: MakeSources | None = None,
    signals: StopSignals | None = None,
) -> None:
    """Runs a reader until SIGTERM, SIGINT, or the end of standard input if that counts.

    Takes over the signals and the garbage collector's thresholds while it runs, so is meant to be
    all that its process does. Ends cleanly: what is on its way is given ``flush_timeout_s``.
    ``signals`` may have been taken before, and one may have come.

    Raises:
        NotFound: The service has no such connection, or has it no more.
        PreconditionFailed: The service does not let it in, or speaks another protocol.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        with (
            _noting(settings.black_box) as box,
            stop_request(signals or StopSignals(), settings.exit_with_parent) as stopping,
        ):
            await _keep_joined(settings, make_sources or MakeSources(), box, stopping)
    finally:
        gc.set_threshold(*thresholds)
    _log.info("a reader ends", extra={"event": "reader_stopped", "reader": settings.name})


@contextlib.contextmanager
def _noting(path: Path | None) -> Iterator[BlackBox | None]:
    """The notes of this process; whatever nobody foresaw leaves them for the next one."""
    box = None if path is None else BlackBox.open(path)
    clean = False
    try:
        yield box
        clean = True
    except (CacheError, asyncio.CancelledError):
        clean = True
        raise
    finally:
        if box is not None:
            box.close(clean=clean)


async def _keep_joined(
    settings: ReaderSettings,
    make_sources: MakeSources,
    box: BlackBox | None,
    stopping: asyncio.Event,
) -> None:
    backoff = Backoff(0.1, settings.retry_s_max)
    while not stopping.is_set():
        began_s = time.monotonic()
        # In a task of its own: the group in it asks its task to be cancelled when one of its own
        # fails, and need not take that back, whereupon timeouts of Python < 3.11.3 cancel instead.
        with working_for(new_request_id()):
            lost = await asyncio.create_task(_membership(settings, make_sources, box, stopping))
        if lost is None:
            return
        if time.monotonic() - began_s > settings.retry_s_max:
            backoff.reset()
        delay_s = backoff.next()
        _log.warning(
            "the service is away, joining again",
            extra={"event": "service_lost", "error": str(lost), "retry_s": round(delay_s, 2)},
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await stopping.wait()


async def _membership(
    settings: ReaderSettings,
    make_sources: MakeSources,
    box: BlackBox | None,
    stopping: asyncio.Event,
) -> CacheError | None:
    """Joins and mines; returns why that ended, None when asked to stop."""
    lost: CacheError | None = None
    refused: CacheError | None = None
    try:
        async with connect(settings.service, settings.roots, settings.token) as uplink:
            await _mine(settings, make_sources, uplink, box, stopping)
    except* Stopped:
        pass
    except* ServiceLost as group:
        lost = _first(group, ServiceLost)
    except* (PreconditionFailed, NotFound) as group:
        refused = _first(group, CacheError)
    if refused is not None:
        raise refused
    return lost


async def _mine(
    settings: ReaderSettings,
    make_sources: MakeSources,
    uplink: Uplink,
    box: BlackBox | None,
    stopping: asyncio.Event,
) -> None:
    before = Before() if box is None else box.before
    suspects = {(each.partition, each.incarnation): each for each in before.worked_on}
    connection = await unless(stopping, _join(settings, uplink, deaths(before)))
    source = make_sources.tail(connection)
    large = asyncio.Lock()
    window = connection.append_window_bytes_max
    miner = Miner(uplink.tail, source, connection, window, recorder=box, large=large)
    miner.suspects = suspects
    backfilling = Backfilling(
        uplink.backfill, connection, lambda: make_sources.backfill(connection), miner, box, large
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            if box is not None:
                tasks.create_task(_be_careful(box, miner, tasks))
            mining = tasks.create_task(miner.mine())
            tasks.create_task(source.run())
            tasks.create_task(miner.take_answers())
            tasks.create_task(_follow(uplink, source, miner, backfilling, tasks))
            tasks.create_task(
                _report(uplink, source, miner, backfilling, settings.report_interval_s)
            )
            tasks.create_task(_flush(stopping, mining, miner, settings.flush_timeout_s))
    finally:
        miner.close()
        backfilling.close()
        if box is not None:  # what this membership had in hand is nothing that the next one has
            box.rest()


async def _be_careful(box: BlackBox, miner: Miner, tasks: asyncio.TaskGroup) -> None:
    """Begins partitions one by one where processes have died of fetching, until that is over."""
    before, box.before = box.before, Before()  # the service knows it by now
    if before.deaths >= DEATHS_MIN:
        start = CarefulStart(box, before, miner.hold, miner.fetch, miner.settled)
        miner.begin = start.admit
        tasks.create_task(start.run())
    await asyncio.sleep(_CALM_S)
    box.calm()


async def _join(
    settings: ReaderSettings, uplink: Uplink, deaths: Sequence[WorkedOn]
) -> ConnectionSettings:
    try:
        async with asyncio.timeout(_JOIN_TIMEOUT_S):
            await uplink.join(settings.name, settings.connection, os.getpid(), deaths)
            welcome = await uplink.assignment()
    except TimeoutError as error:
        text = f"the service did not answer within {_JOIN_TIMEOUT_S:g} s"
        raise ServiceLost(text) from error
    try:
        connection = msgspec.json.decode(welcome.connection_json, type=ConnectionSettings)
    except msgspec.DecodeError as error:
        raise ServiceLost(f"the service's settings make no sense: {error}") from error
    _log.info(
        "a reader has joined",
        extra={
            "event": "reader_joined",
            "reader": settings.name,
            "connection": connection.name,
        },
    )
    return connection


async def _follow(
    uplink: Uplink,
    source: SourceReader,
    miner: Miner,
    backfilling: Backfilling,
    tasks: asyncio.TaskGroup,
) -> None:
    while True:
        assignment = await uplink.assignment()
        if assignment.fetch_spacing_s:
            source.space(assignment.fetch_spacing_s)
        # Before anything is fetched for the topics that come with it.
        source.expect(assignment.cluster_id)
        with working_for(assignment.request_id or current_request_id()):
            miner.assign(assignment.topics)
        backfilling.assign(assignment.backfills, assignment.cluster_id, tasks)


async def _report(
    uplink: Uplink,
    source: SourceReader,
    miner: Miner,
    backfilling: Backfilling,
    interval_s: float,
) -> None:
    """Reports news every ``interval_s``, and soon after a state has changed."""
    told_error: str | None = None
    told_s = float("-inf")
    while True:
        urgent = [await miner.look(), await backfilling.look()]
        now_s, error = time.monotonic(), source.error
        if any(urgent) or error != told_error or now_s - told_s >= interval_s:
            reports = [*miner.reports(), *backfilling.reports()]
            throttled_s = source.throttled_s + backfilling.throttled_s
            figures = _figures(source, miner, backfilling)
            await uplink.report(reports, error, throttled_s, figures)
            told_error, told_s = error, now_s
        await asyncio.sleep(min(_REPORT_TICK_S, interval_s))


def _figures(source: SourceReader, miner: Miner, backfilling: Backfilling) -> ReaderFigures:
    usage, fetches = process_usage(), source.fetches + backfilling.fetches
    return ReaderFigures(
        cpu_s=usage.cpu_s,
        resident_bytes=usage.resident_bytes,
        open_files=usage.open_files,
        fetches=fetches.answered,
        fetches_failed=fetches.failed,
        fetched_bytes=fetches.bytes,
        busy_s=miner.busy_s + backfilling.busy_s,
        unacknowledged_bytes=miner.unacknowledged_bytes + backfilling.unacknowledged_bytes,
    )


async def _flush(
    stopping: asyncio.Event, mining: asyncio.Task[None], miner: Miner, timeout_s: float
) -> None:
    await stopping.wait()
    mining.cancel()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await miner.drained()
    raise Stopped


def _first(group: BaseExceptionGroup[Any], kind: type[_T]) -> _T:
    """One of the leaves of an exception group that holds nothing but ``kind``."""
    leaf: BaseException = group
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    assert isinstance(leaf, kind)
    return leaf
