"""A log cache over lists that speaks the real protocol, and fails as a test scripts it.

It keeps the protocol's promises (epochs, positions, modes, end) and nothing else: no Kafka, no
files. Every record of a partition is in one list; a stream sends it in batches of a few records.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode, aio

from cachesvc.v1 import log_cache_pb2 as pb
from cachesvc.v1.log_cache_pb2_grpc import LogCacheServicer, add_LogCacheServicer_to_server
from tests.client.fake_log import Logs, Offsets
from tests.client.fake_session import Session, Subscribed, position_message

HOST = "127.0.0.1"
BEFORE_STARTED = -1


@dataclass(frozen=True)
class Fault:
    """How one call ends.

    Attributes:
        after_batches: For Subscribe: how many batches go out before; BEFORE_STARTED for none at
            all, not even the first event.
        code: The status it ends with; OK ends it without a word, None makes it fall silent.
        reason: For ErrorInfo; empty for a status that the service has not made.
        gap: Told right before.
        until: Set before it strikes.
    """

    after_batches: int = 0
    code: StatusCode | None = StatusCode.UNAVAILABLE
    reason: str = ""
    gap: pb.Gap | None = None
    until: asyncio.Event | None = None

    async def strike(self, context: aio.ServicerContext[Any, Any]) -> None:
        if self.until is not None:
            await self.until.wait()
        if self.code is None:
            await asyncio.Event().wait()
        elif self.code is not StatusCode.OK:
            await abort(context, self.code, self.reason)


class FakeLogCache(LogCacheServicer):
    """The service.

    Args:
        logs: What it serves.
        batch_records_max: Records in a batch.
        rewind: Records that a resumed stream sends again, against the protocol.

    Attributes:
        faults: The first one strikes the next Subscribe call, and so on; None lets one pass.
        commit_faults: The same for Commit.
        requests: Every Subscribe request.
        commits: Every accepted commit: epoch and offsets.
        commits_pass: While not set, Commit calls wait.
        cluster_id: What the source's cluster calls itself.
        metadata: What came along with the last call.
    """

    def __init__(self, logs: Logs, *, batch_records_max: int = 3, rewind: int = 0) -> None:
        self.logs = logs
        self.batch_records_max = batch_records_max
        self.rewind = rewind
        self.faults: deque[Fault | None] = deque()
        self.commit_faults: deque[Fault | None] = deque()
        self.requests: list[pb.SubscribeRequest] = []
        self.commits: list[tuple[int, Offsets]] = []
        self.commits_pass = asyncio.Event()
        self.commits_pass.set()
        self.cluster_id = ""
        self.metadata: dict[str, str | bytes] = {}
        self.subscriptions: dict[str, Subscribed] = {}

    async def Subscribe(  # noqa: N802
        self,
        request: pb.SubscribeRequest,
        context: aio.ServicerContext[pb.SubscribeRequest, pb.SubscribeResponse],
    ) -> AsyncIterator[pb.SubscribeResponse]:
        self.metadata = dict(context.invocation_metadata() or ())
        self.requests.append(request)
        subscribed = self.subscriptions.setdefault(request.subscription, Subscribed())
        subscribed.evict("SUBSCRIPTION_TAKEN_OVER")
        subscribed.epoch += 1
        subscribed.mode = request.mode
        evicted = subscribed.evicted = asyncio.get_running_loop().create_future()
        fault = self.faults.popleft() if self.faults else None
        if fault is not None and fault.after_batches == BEFORE_STARTED:
            await fault.strike(context)
            return
        session = Session(self.logs, request, subscribed, self.batch_records_max, self.rewind)
        yield session.started()
        sent = 0
        async for response in session.responses(evicted):
            if fault is not None and sent == fault.after_batches:
                break
            sent += response.WhichOneof("event") == "batch"
            yield response
        if evicted.done():
            await abort(context, StatusCode.ABORTED, evicted.result())
        if fault is not None:
            if fault.gap is not None:
                yield pb.SubscribeResponse(gap=fault.gap)
            await fault.strike(context)

    async def Commit(  # noqa: N802
        self,
        request: pb.CommitRequest,
        context: aio.ServicerContext[pb.CommitRequest, pb.CommitResponse],
    ) -> pb.CommitResponse:
        fault = self.commit_faults.popleft() if self.commit_faults else None
        if fault is not None:
            await fault.strike(context)
        await self.commits_pass.wait()
        subscribed = self.subscriptions[request.subscription]
        if request.epoch != subscribed.epoch:
            await abort(context, StatusCode.ABORTED, "SUBSCRIPTION_TAKEN_OVER")
        offsets = {(each.topic, each.partition): each.offset for each in request.positions}
        subscribed.positions.update(offsets)
        self.commits.append((request.epoch, offsets))
        subscribed.full_sync_done |= bool(subscribed.full_end) and all(
            subscribed.positions.get(key, -1) >= end for key, end in subscribed.full_end.items()
        )
        return pb.CommitResponse()

    async def ListOffsets(  # noqa: N802
        self,
        request: pb.ListOffsetsRequest,
        context: aio.ServicerContext[pb.ListOffsetsRequest, pb.ListOffsetsResponse],
    ) -> pb.ListOffsetsResponse:
        self.metadata = dict(context.invocation_metadata() or ())
        at = request.timestamp_ms if request.HasField("timestamp_ms") else None
        return pb.ListOffsetsResponse(
            cluster_id=self.cluster_id,
            partitions=[
                pb.PartitionOffsets(
                    topic=topic,
                    partition=partition,
                    incarnation=1,
                    log_start_offset=self.logs.start((topic, partition)),
                    log_end_offset=self.logs.end((topic, partition)),
                    offset_at_timestamp=self.logs.at_time((topic, partition), at),
                    mining_state=pb.MINING,
                )
                for topic, partition in self.logs.keys_of([request.topic])
            ],
        )

    async def GetSubscription(  # noqa: N802
        self,
        request: pb.GetSubscriptionRequest,
        context: aio.ServicerContext[pb.GetSubscriptionRequest, pb.GetSubscriptionResponse],
    ) -> pb.GetSubscriptionResponse:
        if request.subscription not in self.subscriptions:
            await abort(context, StatusCode.NOT_FOUND, "UNKNOWN_SUBSCRIPTION")
        return pb.GetSubscriptionResponse(subscription=self._message(request.subscription))

    async def ListSubscriptions(  # noqa: N802
        self,
        request: pb.ListSubscriptionsRequest,
        context: aio.ServicerContext[pb.ListSubscriptionsRequest, pb.ListSubscriptionsResponse],
    ) -> pb.ListSubscriptionsResponse:
        names = sorted(self.subscriptions)
        return pb.ListSubscriptionsResponse(subscriptions=map(self._message, names))

    async def ResetSubscription(  # noqa: N802
        self,
        request: pb.ResetSubscriptionRequest,
        context: aio.ServicerContext[pb.ResetSubscriptionRequest, pb.ResetSubscriptionResponse],
    ) -> pb.ResetSubscriptionResponse:
        subscribed = self.subscriptions[request.subscription]
        subscribed.evict("SUBSCRIPTION_RESET")
        subscribed.epoch += 1
        subscribed.positions = {
            (each.topic, each.partition): each.offset for each in request.start.positions.positions
        }
        subscribed.full_sync_done &= not request.forget_full_sync
        return pb.ResetSubscriptionResponse(subscription=self._message(request.subscription))

    async def DeleteSubscription(  # noqa: N802
        self,
        request: pb.DeleteSubscriptionRequest,
        context: aio.ServicerContext[pb.DeleteSubscriptionRequest, pb.DeleteSubscriptionResponse],
    ) -> pb.DeleteSubscriptionResponse:
        if request.subscription not in self.subscriptions:
            await abort(context, StatusCode.NOT_FOUND, "UNKNOWN_SUBSCRIPTION")
        self.subscriptions.pop(request.subscription).evict("SUBSCRIPTION_DELETED")
        return pb.DeleteSubscriptionResponse()

    def _message(self, name: str) -> pb.Subscription:
        subscribed = self.subscriptions[name]
        return pb.Subscription(
            name=name,
            connection="fake",
            topics=["orders"],
            mode=subscribed.mode,  # type: ignore[arg-type]
            epoch=subscribed.epoch,
            connected=subscribed.evicted is not None,
            full_sync_done=subscribed.full_sync_done,
            created_ms=1,
            partitions=[
                pb.SubscriptionPartition(
                    position=position_message(key, offset),
                    lag=pb.Lag(records=self.logs.end(key) - offset),
                )
                for key, offset in subscribed.positions.items()
            ],
        )


async def abort(context: aio.ServicerContext[Any, Any], code: StatusCode, reason: str) -> None:
    """End a call with a status, and with ErrorInfo where a reason is given."""
    metadata = ((("grpc-status-details-bin", details(code, reason)),)) if reason else ()
    await context.abort(code, f"scripted: {reason or code.name}", trailing_metadata=metadata)


def details(code: StatusCode, reason: str, domain: str = "cachesvc", **metadata: str) -> bytes:
    """The value of grpc-status-details-bin."""
    detail = AnyMessage()
    detail.Pack(ErrorInfo(reason=reason, domain=domain, metadata=metadata))
    serialized: bytes = Status(code=code.value[0], details=[detail]).SerializeToString()
    return serialized


@asynccontextmanager
async def serving(
    cache: FakeLogCache, port: int = 0, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[str]:
    """Run the service; gives its address."""
    server = aio.server(options=[("grpc.so_reuseport", 0)])
    add_LogCacheServicer_to_server(cache, server)
    address = f"{HOST}:{port}"
    if credentials is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, credentials)
    await server.start()
    try:
        yield f"{HOST}:{port}"
    finally:
        await server.stop(None)
