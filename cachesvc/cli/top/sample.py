"""What a service says of itself at one moment, as far as the caller may see it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message

from cachesvc.cli.render import as_dict
from cachesvc.cli.service import Service
from cachesvc.cli.watching import snapshots
from cachesvc.v1.access_pb2 import GetCallerRequest, GetCallerResponse
from cachesvc.v1.admin_pb2 import Job, ListJobsRequest, ListReadersRequest, Reader
from cachesvc.v1.alarms_pb2 import Alarm, ListAlarmsRequest
from cachesvc.v1.log_cache_pb2 import ListSubscriptionsRequest, Subscription
from cachesvc.v1.retention_pb2 import ListStoreUsageRequest, StoreUsage
from cachesvc.v1.watching_pb2 import (
    GetOverviewRequest,
    GetOverviewResponse,
    GetTrendRequest,
    TrendPoint,
    WatchedTask,
    WatchMiningRequest,
)

_REST = 4
"""A service is left alone for so many times as long as its answers took."""
_NOT_SEEN = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED)


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something that the service does not show to the caller.

    Attributes:
        what: Of the sample, by its name there.
        why: As the service says it.
    """

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What was said at one moment.

    Attributes:
        at_ms: When.
        clock_s: The same on the monotonic clock.
        caller: Who asked; None from a service that does not tell.
        overview: Of the service as a whole; None where it is unseen.
        tasks: What is mined.
        subscriptions: Who reads.
        readers: Reader processes.
        stores: What lies in each.
        jobs: All of them.
        alarms: Those that stand.
        trend: How the service was doing of late, behind what samples before had; the oldest first.
        unseen: What the caller may not see, or the service does not know.
        took_s: How long the answers took.
    """

    at_ms: int
    clock_s: float
    caller: GetCallerResponse | None = None
    overview: GetOverviewResponse | None = None
    tasks: Sequence[WatchedTask] = ()
    subscriptions: Sequence[Subscription] = ()
    readers: Sequence[Reader] = ()
    stores: Sequence[StoreUsage] = ()
    jobs: Sequence[Job] = ()
    alarms: Sequence[Alarm] = ()
    trend: Sequence[TrendPoint] = ()
    unseen: Sequence[Unseen] = ()
    took_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "at_ms": self.at_ms,
            "caller": None if self.caller is None else as_dict(self.caller),
            "overview": None if self.overview is None else as_dict(self.overview),
            "tasks": [as_dict(each) for each in self.tasks],
            "subscriptions": [as_dict(each) for each in self.subscriptions],
            "readers": [as_dict(each) for each in self.readers],
            "stores": [as_dict(each) for each in self.stores],
            "jobs": [as_dict(each) for each in self.jobs],
            "alarms": [as_dict(each) for each in self.alarms],
            "trend": [as_dict(each) for each in self.trend],
            "unseen": [{"what": each.what, "why": each.why} for each in self.unseen],
        }


def rest_s(sample: Sample, interval_s: float) -> float:
    """How long to wait before the next one: longer where a service is slow to answer."""
    return max(interval_s, sample.took_s * _REST)


def take(service: Service, connection: str, since_ms: int = 0) -> Sample:
    """Asks for all of it, of one connection or with an empty name of all.

    Args:
        service: Which is asked.
        connection: Its name; empty: all.
        since_ms: From when on points of the trend are wanted.

    Raises:
        grpc.RpcError: The service is away, or refuses more than rights could.
    """
    unseen: list[Unseen] = []
    began_s = time.monotonic()

    def asked(what: str, request: Message, ask: Callable[[Message], Any] = service.ask) -> Any:
        try:
            return ask(request)
        except grpc.RpcError as error:
            if error.code() not in _NOT_SEEN:
                raise
            unseen.append(Unseen(what, error.details() or error.code().name))
            return None

    def mined(request: Message) -> Any:
        stream = service.stream(request)
        try:
            return next(snapshots(stream), None)
        finally:
            stream.close()

    caller = asked("caller", GetCallerRequest())
    overview = asked("overview", GetOverviewRequest())
    # Who may not see the one may not see the other.
    trend = None if overview is None else asked("trend", GetTrendRequest(since_ms=since_ms))
    watched = asked("tasks", WatchMiningRequest(connection=connection), mined)
    read = asked("subscriptions", ListSubscriptionsRequest(connection=connection))
    joined = asked("readers", ListReadersRequest())
    usage = asked("stores", ListStoreUsageRequest())
    jobs = asked("jobs", ListJobsRequest())
    alarms = asked("alarms", ListAlarmsRequest(connection=connection))
    return Sample(
        at_ms=time.time_ns() // 1_000_000,
        clock_s=time.monotonic(),
        caller=caller,
        overview=overview,
        tasks=list(watched.tasks.values()) if watched else (),
        subscriptions=read.subscriptions if read else (),
        readers=[r for r in joined.readers if connection in ("", r.connection)] if joined else (),
        stores=usage.stores if usage else (),
        jobs=jobs.jobs if jobs else (),
        alarms=[each for each in alarms.alarms if not each.HasField("cleared_ms")]
        if alarms
        else (),
        trend=trend.points if trend else (),
        unseen=tuple(unseen),
        took_s=time.monotonic() - began_s,
    )
