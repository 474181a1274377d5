"""A reader's calls to the service, in terms of mining instead of gRPC."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from cachesvc.errors import CacheError, NotFound, PreconditionFailed
from cachesvc.mining.encode import EncodedAppend
from cachesvc.mining.holdings import AssignedTopic, HeldPartition
from cachesvc.mining.source import SourcePartition
from cachesvc.model import MiningState
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH
from cachesvc.v1 import mining_pb2 as pb
from cachesvc.v1 import mining_pb2_grpc

PROTOCOL_VERSION = 1

# Trying again is no use.
_FINAL = frozenset({"VERSION_MISMATCH", "JOIN_TOKEN_WRONG", "MINING_LOCAL_ONLY"})
_STATUS_KEY = "grpc-status-details-bin"
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


class ServiceLost(CacheError):
    """The service ended a call or cannot be reached; join again."""

    retriable = True
    default_reason = "SERVICE_LOST"


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the service says on the Join call.

    Attributes:
        topics: Everything to mine from now on.
        backfills: Older ranges to mine beside that.
        connection_json: Settings of the connection; empty except in the first message.
        fetch_spacing_s: How far apart fetches are that bring few records; 0: as before.
        cluster_id: Of the cluster to mine from; empty for whichever answers.
    """

    topics: Sequence[AssignedTopic]
    backfills: Sequence[AssignedTopic]
    connection_json: str
    fetch_spacing_s: float
    cluster_id: str


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """What a reader says of a partition that it holds.

    Attributes:
        partition: Which one.
        incarnation: Which life of its topic.
        high_watermark: The source's; None until told.
        state: What mining does.
        error: Why, where the state asks for a reason.
        problem: What only the service can settle; empty if there is no such thing.
        backfill: Whether this is about an older range of it.
    """

    partition: SourcePartition
    incarnation: int
    high_watermark: int | None
    state: MiningState
    error: str
    problem: str = ""
    backfill: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service says to an append.

    Attributes:
        partition: Whose append.
        log_end_offset: The log's end after it.
        refused: Why it was not appended; empty if it was.
        leader_epoch: Of the record batch before ``log_end_offset``, as far as that is known.
    """

    partition: SourcePartition
    log_end_offset: int
    refused: str
    leader_epoch: int = UNKNOWN_EPOCH


class Lane:
    """One call for appends, which are answered in their order.

    Args:
        call: The call.
        backfill: Whether its appends are of older ranges.
    """

    def __init__(self, call: Any, *, backfill: bool) -> None:
        self._call = call
        self.backfill = backfill

    async def append(self, connection: str, held: HeldPartition, append: EncodedAppend) -> None:
        """Sends an append; returns when gRPC has taken it."""
        await _write(
            self._call,
            pb.AppendRequest(
                connection=connection,
                topic=held.partition.topic,
                partition=held.partition.number,
                incarnation=held.incarnation,
                epoch=held.epoch,
                base_offset=append.base_offset,
                end_offset=append.end_offset,
                record_count=append.record_count,
                min_timestamp_ms=append.min_timestamp_ms,
                max_timestamp_ms=append.max_timestamp_ms,
                first_offset=append.first_offset,
                payload=append.payload,
                reject_count=append.reject_count,
                rejects=append.rejects,
                gap=append.gap,
                backfill=self.backfill,
                leader_epoch=None if append.leader_epoch == UNKNOWN_EPOCH else append.leader_epoch,
            ),
        )

    async def answer(self) -> Answer:
        """Waits for the answer to the oldest append that has none yet."""
        response: pb.AppendResponse = await _read(self._call)
        partition = SourcePartition(response.topic, response.partition)
        return Answer(partition, response.log_end_offset, response.refused, _epoch(response))


class Uplink:
    """One membership. Every method raises ``ServiceLost`` once the service is gone.

    One task may write and one may read on each call. Cancelling a write leaves it to finish by
    itself; cancelling a read ends the call.

    Attributes:
        tail: For what follows the log's end.
        backfill: For older ranges.
    """

    def __init__(self, join: Any, tail: Lane, backfill: Lane) -> None:
        self._join = join
        self.tail = tail
        self.backfill = backfill

    async def join(self, reader: str, connection: str, pid: int) -> None:
        """Says who is there; once, before everything else."""
        await _write(
            self._join,
            pb.JoinRequest(
                reader=reader, connection=connection, pid=pid, protocol_version=PROTOCOL_VERSION
            ),
        )

    async def report(self, partitions: Sequence[PartitionReport], source_error: str) -> None:
        """Says how things are."""
        request = pb.JoinRequest(source_error=source_error)
        for report in partitions:
            request.partitions.add(
                topic=report.partition.topic,
                partition=report.partition.number,
                source_high_watermark=report.high_watermark,
                state=report.state.value,
                error=report.error,
                incarnation=report.incarnation,
                problem=report.problem,
                backfill=report.backfill,
            )
        await _write(self._join, request)

    async def assignment(self) -> Assignment:
        """Waits for the next assignment.

        Raises:
            PreconditionFailed: The service does not let this reader in; trying again is no use.
        """
        response: pb.JoinResponse = await _read(self._join)
        topics = [_topic(topic) for topic in response.topics]
        backfills = [_backfill(topic) for topic in response.topics]
        return Assignment(
            topics,
            backfills,
            response.connection_json,
            response.fetch_spacing_ms / 1000,
            response.cluster_id,
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
    try:
        stub = mining_pb2_grpc.MiningStub(channel)
        calls = stub.Join(metadata=shown), stub.Append(metadata=shown), stub.Append(metadata=shown)
        join, tail, backfill = calls
        try:
            yield Uplink(join, Lane(tail, backfill=False), Lane(backfill, backfill=True))
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
        leader_epochs={partition.partition: _epoch(partition) for partition in topic.partitions},
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
    )


def _epoch(message: pb.AssignedPartition | pb.AppendResponse) -> int:
    return message.leader_epoch if message.HasField("leader_epoch") else UNKNOWN_EPOCH


async def _read(call: Any) -> Any:
    try:
        message = await call.read()
    except grpc.aio.AioRpcError as error:
        raise _lost(error.code(), error.details(), error.trailing_metadata()) from error
    if message is grpc.aio.EOF:
        raise _lost(await call.code(), await call.details(), await call.trailing_metadata())
    return message


async def _write(call: Any, message: object) -> None:
    try:
        # Cancelling gRPC's own write would end the whole call.
        await asyncio.shield(call.write(message))
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
        raise _lost(
            await call.code(), await call.details(), await call.trailing_metadata()
        ) from error


def _lost(code: grpc.StatusCode, details: str | None, metadata: Any) -> CacheError:
    text = f"the service ended the call with {code.name}: {details or 'no details'}"
    reason = _reason(metadata)
    if reason in _FINAL:
        return PreconditionFailed(text, reason=reason)
    if reason == "UNKNOWN_CONNECTION":
        return NotFound(text, reason=reason)
    return ServiceLost(text, metadata={"code": code.name})


def _reason(metadata: Any) -> str:
    """The reason in a status's ErrorInfo; empty if there is none."""
    for key, value in metadata or ():
        if key == _STATUS_KEY:
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return ""
