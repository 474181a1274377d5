"""The Mining service: readers join, learn what to mine, and append."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import grpc

from cachesvc.connection_config import connection_dict
from cachesvc.errors import CacheError, InvalidRequest, PreconditionFailed, ShuttingDown, Superseded
from cachesvc.log.assignments import Assignments
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.readers import JoinedReader
from cachesvc.log.resuming import resume_offsets
from cachesvc.log.sources import Source, Sources
from cachesvc.model import MiningState, PartitionId, TopicId
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH
from cachesvc.serving.agents import Admission, local_only
from cachesvc.serving.ports import Connections
from cachesvc.serving.status import errors_as_status
from cachesvc.store.frames import Frame
from cachesvc.v1 import mining_pb2 as pb
from cachesvc.v1 import mining_pb2_grpc

PROTOCOL_VERSION = 1
Context = grpc.aio.ServicerContext[Any, Any]


class MiningServicer(mining_pb2_grpc.MiningServicer):
    """``cachesvc.v1.Mining``; see the .proto for the contract.

    Args:
        store: Takes the appends.
        sources: The connections that readers may mine.
        assignments: Who mines what.
        connections: Their settings.
        reader_settings: Settings that every reader gets beside its connection's.
        admit: Lets a caller in and tells its host.
    """

    def __init__(
        self,
        store: LogStore,
        sources: Sources,
        assignments: Assignments,
        connections: Connections,
        reader_settings: dict[str, float],
        admit: Admission = local_only,
    ) -> None:
        self._store = store
        self._sources = sources
        self._assignments = assignments
        self._connections = connections
        self._reader_settings = reader_settings
        self._admit = admit

    async def Join(self, requests: AsyncIterator[pb.JoinRequest], context: Context) -> None:
        async with errors_as_status(context):
            host = self._admit(context)
            first = await anext(aiter(requests), None)
            if first is None:
                return
            if first.protocol_version != PROTOCOL_VERSION:
                raise PreconditionFailed(
                    f"this service speaks mining protocol {PROTOCOL_VERSION}, the reader "
                    f"{first.protocol_version}; run both from the same version of cachesvc",
                    reason="VERSION_MISMATCH",
                )
            source = self._sources.resolve(first.connection)
            name = first.reader or "reader"
            reader = self._assignments.join(name, source.name, first.pid, host)
            try:
                await self._converse(reader, source, requests, context)
            finally:
                self._assignments.leave(reader)

    async def _converse(
        self,
        reader: JoinedReader,
        source: Source,
        requests: AsyncIterator[pb.JoinRequest],
        context: Context,
    ) -> None:
        await context.write(pb.JoinResponse(connection_json=self._settings(source)))
        listening = asyncio.ensure_future(self._listen(reader, requests))
        try:
            while not listening.done():
                changed = asyncio.ensure_future(reader.changed.wait())
                await asyncio.wait({listening, changed}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                if reader.changed.is_set():
                    reader.changed.clear()
                    if self._assignments.closing:
                        raise ShuttingDown("the service is about to end; join again")
                    if not self._assignments.joined(reader):
                        raise Superseded("this reader has been replaced", reason="READER_REPLACED")
                    await context.write(self._assignment(reader))
            listening.result()
        finally:
            listening.cancel()

    async def _listen(self, reader: JoinedReader, requests: AsyncIterator[pb.JoinRequest]) -> None:
        async for request in requests:
            reader.heard_s = time.monotonic()
            self._note(reader, request)

    def _note(self, reader: JoinedReader, request: pb.JoinRequest) -> None:
        reports = self._assignments.reports
        reports.note_way(reader, request.source_error)
        if request.source_error:
            return
        for report in request.partitions:
            assigned_topic = reader.assigned.get(report.topic)
            if assigned_topic is None or assigned_topic.topic.incarnation != report.incarnation:
                continue
            watermark = (
                report.source_high_watermark if report.HasField("source_high_watermark") else None
            )
            known = int(report.state) in MiningState.__members__.values()
            state = MiningState(report.state) if known else MiningState.MINING
            partition = assigned_topic.topic.partition(report.partition)
            if report.backfill:
                reports.note_backfill(partition, state, report.error)
                continue
            reports.note(partition, watermark, state, report.error, report.problem)

    def _settings(self, source: Source) -> str:
        connection = connection_dict(self._connections.get(source.name).config)
        return json.dumps({**connection, **self._reader_settings})

    def _assignment(self, reader: JoinedReader) -> pb.JoinResponse:
        response = pb.JoinResponse(
            fetch_spacing_ms=reader.fetch_spacing_ms, cluster_id=reader.cluster_id
        )
        for assigned in reader.assigned.values():
            topic = response.topics.add(
                topic=assigned.topic.topic,
                incarnation=assigned.topic.incarnation,
                epoch=assigned.epoch,
                source_id=assigned.source_id,
            )
            for number, offset in resume_offsets(self._store, assigned).items():
                epoch = _leader_epoch(self._store, assigned.topic.partition(number), offset)
                row = topic.partitions.add(
                    partition=number, resume_offset=offset, leader_epoch=epoch
                )
                hole = self._store.backfill.wanted(assigned.topic.partition(number))
                if hole is not None:
                    row.backfill.begin_offset, row.backfill.end_offset = hole.begin, hole.end
        return response

    async def Append(self, requests: AsyncIterator[pb.AppendRequest], context: Context) -> None:
        async with errors_as_status(context):
            self._admit(context)
            appender = _Appender(self._store, self._assignments, context)
            await appender.run(requests)


@dataclass(frozen=True, slots=True)
class _Pending:
    """An append that has no answer yet: accepted, and done when it is written; or refused."""

    log: PartitionLog
    backfill: bool
    frame: Frame
    done: asyncio.Future[None] | CacheError


class _Appender:
    """One append stream: accepts in order, acknowledges in order once journals are written."""

    def __init__(self, store: LogStore, assignments: Assignments, context: Context) -> None:
        self._store = store
        self._assignments = assignments
        self._context = context
        self._pending: deque[_Pending] = deque()
        self._arrived = asyncio.Event()
        self._finished = False

    async def run(self, requests: AsyncIterator[pb.AppendRequest]) -> None:
        acknowledging = asyncio.ensure_future(self._acknowledge())
        try:
            async for request in requests:
                await self._accept(request)
                self._arrived.set()
                if acknowledging.done():
                    break
            self._finished = True
            self._arrived.set()
            await acknowledging
        finally:
            acknowledging.cancel()

    async def _accept(self, request: pb.AppendRequest) -> None:
        topic = TopicId(request.connection, request.topic, request.incarnation)
        log = self._store.get(topic.partition(request.partition))
        if log is None:
            raise InvalidRequest(
                f"there is no partition {request.topic}/{request.partition} of incarnation "
                f"{request.incarnation} to append to",
                reason="UNKNOWN_PARTITION",
            )
        frame = frame_of(request)
        epoch = request.leader_epoch if request.HasField("leader_epoch") else UNKNOWN_EPOCH
        try:
            self._assignments.check_epoch(topic, request.epoch)
            if request.backfill:
                if not log.untouched:
                    self._store.epochs.check_older(log.id, epoch)
                log = self._store.backfill.taking(log.id, frame.base_offset, frame.end_offset)
            if log.untouched and frame.base_offset > log.log_start_offset:
                await self._store.begin_at(log, frame.base_offset)
            if request.gap and frame.base_offset == log.accepted_end_offset:
                await self._store.lose(log, frame.base_offset, frame.end_offset)
            if request.gap and request.backfill and log.blank:
                self._store.stretches.move(log, frame.end_offset)
                frame = replace(frame, base_offset=frame.end_offset)
            was_place = request.backfill and log.blank
            done: asyncio.Future[None] | CacheError = self._store.writer.accept(log, frame, epoch)
            if log.complete or was_place:  # something else may be the lowest that is missing
                self._assignments.plan_again()
            self._assignments.loads.count(
                topic, frame.record_count, frame.encoded_bytes, frame.reject_count
            )
        except ShuttingDown:
            raise
        except CacheError as error:
            done = error
        self._pending.append(_Pending(log, request.backfill, frame, done))

    async def _acknowledge(self) -> None:
        while True:
            if not self._pending:
                if self._finished:
                    return
                self._arrived.clear()
                await self._arrived.wait()
                continue
            pending = self._pending.popleft()
            refused = ""
            if isinstance(pending.done, CacheError):
                refused = pending.done.reason
            else:
                try:
                    await pending.done
                except PreconditionFailed as error:
                    refused = error.reason
            end = self._go_on_at(pending) if refused else pending.frame.end_offset
            partition = pending.log.id
            # Known of what the tail has mined; what is behind another part of a hole is not.
            known = None if pending.backfill else _leader_epoch(self._store, partition, end)
            await self._context.write(
                pb.AppendResponse(
                    topic=partition.topic,
                    partition=partition.partition,
                    log_end_offset=end,
                    refused=refused,
                    leader_epoch=known,
                )
            )

    def _go_on_at(self, refused: "_Pending") -> int:
        """Where a reader goes on whose append was refused."""
        if not refused.backfill:
            return refused.log.accepted_end_offset
        growing = self._store.backfill.growing(refused.log.id)
        return refused.frame.base_offset if growing is None else growing.accepted_end_offset


def _leader_epoch(store: LogStore, partition: PartitionId, offset: int) -> int | None:
    epoch = store.epochs.before(partition, offset)
    return None if epoch == UNKNOWN_EPOCH else epoch


def frame_of(request: pb.AppendRequest) -> Frame:
    """The frame that an append carries.

    Raises:
        InvalidRequest: Its numbers contradict each other.
    """
    consistent = (
        0 <= request.base_offset <= request.end_offset
        and min(request.record_count, request.reject_count) >= 0
        and bool(request.record_count) == bool(request.payload)
        and bool(request.reject_count) == bool(request.rejects)
        and request.record_count + request.reject_count <= request.end_offset - request.base_offset
        and (
            not request.record_count
            or request.base_offset <= request.first_offset < request.end_offset
        )
    )
    if not consistent:
        raise InvalidRequest(
            f"an append to {request.topic}/{request.partition} of [{request.base_offset}, "
            f"{request.end_offset}) with {request.record_count} records contradicts itself",
            reason="INVALID_APPEND",
        )
    return Frame(
        request.base_offset,
        request.end_offset,
        request.first_offset if request.record_count else request.end_offset,
        request.min_timestamp_ms,
        request.max_timestamp_ms,
        request.record_count,
        request.reject_count,
        request.payload,
        request.rejects,
    )
