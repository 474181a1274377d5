"""A reader's calls to the service, in terms of mining instead of gRPC."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import grpc

from cachesvc.assignment.readers import ReaderFigures
from cachesvc.mining.append_stream import AppendStream, leader_epoch_of, read, write
from cachesvc.mining.black_box import WorkedOn
from cachesvc.mining.holdings import AssignedTopic
from cachesvc.mining.reports import PartitionReport
from cachesvc.request_ids import HEADER, current_request_id, new_request_id
from cachesvc.v1 import mining_pb2 as pb
from cachesvc.v1 import mining_pb2_grpc, watching_pb2

PROTOCOL_VERSION = 1
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A service that comes back is found soon; how often to try is the reader's decision.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Connections of a service that was replaced must not be shared with its successor's.
    ("grpc.use_local_subchannel_pool", 1),
    # The address is meant as it stands, whatever proxy the environment has for the web.
    ("grpc.enable_http_proxy", 0),
    # A service whose machine is gone says nothing.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the service says on the Join call.

    Attributes:
        topics: Everything to mine from now on.
        backfills: Older ranges to mine beside that.
        connection_json: Settings of the connection; empty except in the first message.
        fetch_spacing_s: How far apart fetches are that bring few records; 0: as before.
        cluster_id: Of the cluster to mine from; empty for whichever answers.
        request_id: Of the call that led to this, if it was one.
    """

    topics: Sequence[AssignedTopic]
    backfills: Sequence[AssignedTopic]
    connection_json: str
    fetch_spacing_s: float
    cluster_id: str
    request_id: str = ""


class Uplink:
    """One membership. Every method raises ``ServiceLost`` once the service is gone.

    One task may write and one may read on each call. Cancelling a write leaves it to finish by
    itself; cancelling a read ends the call.

    Attributes:
        tail: For what follows the log's end.
        backfill: For older ranges.
    """

    def __init__(self, join: Any, tail: AppendStream, backfill: AppendStream) -> None:
        self._join = join
        self.tail = tail
        self.backfill = backfill

    async def join(
        self, reader: str, connection: str, pid: int, deaths: Sequence[WorkedOn] = ()
    ) -> None:
        """Says who is there; once, before everything else.

        Args:
            reader: Its name.
            connection: What it mines.
            pid: Its process.
            deaths: What the process before it was working on when it died.
        """
        request = pb.JoinRequest(
            reader=reader, connection=connection, pid=pid, protocol_version=PROTOCOL_VERSION
        )
        for each in deaths:
            request.deaths.add(
                topic=each.partition.topic,
                partition=each.partition.number,
                incarnation=each.incarnation,
                offset=each.offset,
                bytes=each.bytes,
                alone=each.alone,
                end=each.end,
            )
        await write(self._join, request)

    async def report(
        self,
        partitions: Sequence[PartitionReport],
        source_error: str,
        throttled_s: float,
        figures: ReaderFigures,
    ) -> None:
        """Says how things are."""
        request = pb.JoinRequest(
            source_error=source_error,
            throttled_ms=round(throttled_s * 1000),
            figures=watching_pb2.ReaderFigures(**asdict(figures)),
        )
        for report in partitions:
            row = request.partitions.add(
                topic=report.partition.topic,
                partition=report.partition.number,
                source_high_watermark=report.high_watermark,
                state=report.state.value,
                error=report.error,
                incarnation=report.incarnation,
                problem=report.problem,
                backfill=report.backfill,
            )
            if report.blocked is not None:
                row.blocked.reason = report.blocked.reason.value
                row.blocked.offset = report.blocked.offset
                row.blocked.bytes = report.blocked.bytes
                row.blocked.detail = report.blocked.detail
        await write(self._join, request)

    async def assignment(self) -> Assignment:
        """Waits for the next assignment.

        Raises:
            PreconditionFailed: The service does not let this reader in; trying again is no use.
        """
        response: pb.JoinResponse = await read(self._join)
        if response.takes_joined_appends:
            self.tail.joins = self.backfill.joins = True
        topics = [_topic(topic) for topic in response.topics]
        backfills = [_backfill(topic) for topic in response.topics]
        return Assignment(
            topics,
            backfills,
            response.connection_json,
            response.fetch_spacing_ms / 1000,
            response.cluster_id,
            response.request_id,
        )


@asynccontextmanager
async def connect(
    address: str, roots: bytes | None = None, token: str = ""
) -> AsyncIterator[Uplink]:
    """Opens all calls to the service at ``address``, and closes them at the end.

    Args:
        address: HOST:PORT or ``unix:PATH``.
        roots: PEM of the certificates to trust; None for plain text.
        token: What the service wants to be shown; empty for nothing.
    """
    channel = (
        grpc.aio.insecure_channel(address, options=_OPTIONS)
        if roots is None
        else grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(roots), options=_OPTIONS)
    )
    shown = [("authorization", f"Bearer {token}")] if token else []
    shown.append((HEADER, current_request_id() or new_request_id()))
    try:
        stub = mining_pb2_grpc.MiningStub(channel)
        calls = stub.Join(metadata=shown), stub.Append(metadata=shown), stub.Append(metadata=shown)
        join, tail, backfill = calls
        try:
            yield Uplink(
                join, AppendStream(tail, backfill=False), AppendStream(backfill, backfill=True)
            )
        finally:
            for call in calls:
                call.cancel()
    finally:
        await channel.close()


def _topic(topic: pb.AssignedTopic) -> AssignedTopic:
    return AssignedTopic(
        topic.topic,
        topic.incarnation,
        topic.epoch,
        {partition.partition: partition.resume_offset for partition in topic.partitions},
        topic.source_id,
        leader_epochs={
            partition.partition: leader_epoch_of(partition) for partition in topic.partitions
        },
        attempts={partition.partition: partition.attempt for partition in topic.partitions},
    )


def _backfill(topic: pb.AssignedTopic) -> AssignedTopic:
    wanted = {p.partition: p.backfill for p in topic.partitions if p.HasField("backfill")}
    return AssignedTopic(
        topic.topic,
        topic.incarnation,
        topic.epoch,
        {number: part.begin_offset for number, part in wanted.items()},
        topic.source_id,
        {number: part.end_offset for number, part in wanted.items()},
        attempts={partition.partition: partition.attempt for partition in topic.partitions},
    )
