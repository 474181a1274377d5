"""The Mining service: readers join, learn what to mine, and append."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from cachesvc.assignment.assignments import Assignments
from cachesvc.assignment.readers import JoinedReader, ReaderFigures
from cachesvc.assignment.reports import Death
from cachesvc.assignment.resuming import resume_offsets
from cachesvc.clusters.sources import Source, Sources
from cachesvc.errors import (
    PreconditionFailed,
    ShuttingDown,
    Superseded,
)
from cachesvc.log.log_store import LogStore
from cachesvc.model import MiningState, TopicId
from cachesvc.policy.blocking import Blockage, BlockReason
from cachesvc.serving.agents import Admission, local_only
from cachesvc.serving.append_parts import AppendParts, append_bytes_max
from cachesvc.serving.appending import Appender, OnTraced, known_leader_epoch
from cachesvc.serving.ports import Connections
from cachesvc.serving.status import errors_as_status
from cachesvc.settings.connection import connection_dict
from cachesvc.v1 import mining_pb2 as pb
from cachesvc.v1 import mining_pb2_grpc, watching_pb2

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
        on_traced: Is told of appends that are traced.
    """

    def __init__(
        self,
        store: LogStore,
        sources: Sources,
        assignments: Assignments,
        connections: Connections,
        reader_settings: Mapping[str, Any],
        admit: Admission = local_only,
        on_traced: OnTraced | None = None,
    ) -> None:
        self._store = store
        self._sources = sources
        self._assignments = assignments
        self._connections = connections
        self._reader_settings = reader_settings
        self._admit = admit
        self._on_traced = on_traced

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
            await self._assignments.reports.note_deaths(_deaths(source, first))
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
        await context.write(
            pb.JoinResponse(connection_json=self._settings(source), takes_joined_appends=True)
        )
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
        reader.throttled_ms = request.throttled_ms
        if request.HasField("figures"):
            reader.figures = _figures(request.figures)
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
            if not reports.note_blockage(partition, _blockage(report)):
                continue
            if report.backfill:
                reports.note_backfill(partition, state, report.error)
                continue
            reports.note(partition, watermark, state, report.error, report.problem)

    def _settings(self, source: Source) -> str:
        connection = connection_dict(self._connections.get(source.name).config)
        return json.dumps({**connection, **self._reader_settings})

    def _assignment(self, reader: JoinedReader) -> pb.JoinResponse:
        response = pb.JoinResponse(
            fetch_spacing_ms=reader.fetch_spacing_ms,
            cluster_id=reader.cluster_id,
            request_id=reader.told_for,
        )
        for assigned in reader.assigned.values():
            topic = response.topics.add(
                topic=assigned.topic.topic,
                incarnation=assigned.topic.incarnation,
                epoch=assigned.epoch,
                source_id=assigned.source_id,
            )
            attempts = dict(assigned.attempts)
            for number, offset in resume_offsets(self._store, assigned).items():
                epoch = known_leader_epoch(self._store, assigned.topic.partition(number), offset)
                row = topic.partitions.add(
                    partition=number,
                    resume_offset=offset,
                    leader_epoch=epoch,
                    attempt=attempts.get(number, 0),
                )
                missing = self._store.backfill.wanted(assigned.topic.partition(number))
                if missing is not None:
                    row.backfill.begin_offset, row.backfill.end_offset = missing.begin, missing.end
        return response

    async def Append(self, requests: AsyncIterator[pb.AppendRequest], context: Context) -> None:
        async with errors_as_status(context):
            self._admit(context)
            parts = AppendParts(append_bytes_max(self._reader_settings["record_bytes_max"]))
            appender = Appender(self._store, self._assignments, parts, context, self._on_traced)
            await appender.run(requests)


def _deaths(source: Source, request: pb.JoinRequest) -> list[Death]:
    return [
        Death(
            TopicId(source.name, each.topic, each.incarnation).partition(each.partition),
            each.offset,
            each.bytes,
            each.end,
            each.alone,
        )
        for each in request.deaths
    ]


def _figures(told: watching_pb2.ReaderFigures) -> ReaderFigures:
    return ReaderFigures(
        cpu_s=told.cpu_s,
        resident_bytes=told.resident_bytes,
        open_files=told.open_files,
        fetches=told.fetches,
        fetches_failed=told.fetches_failed,
        fetched_bytes=told.fetched_bytes,
        busy_s=told.busy_s,
        unacknowledged_bytes=told.unacknowledged_bytes,
    )


def _blockage(report: pb.PartitionReport) -> Blockage | None:
    if not report.HasField("blocked"):
        return None
    found = report.blocked
    known = found.reason in BlockReason.__members__
    reason = BlockReason(found.reason) if known else BlockReason.UNDECODABLE
    return Blockage(reason, found.offset, found.bytes, found.detail)
