"""*Overview*: what is mined, how far everything is behind, what is wrong, who subscribes."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from cachesvc.v1.alarms_pb2 import AlarmKind, ListAlarmsRequest
from cachesvc.v1.log_cache_pb2 import MiningState
from cachesvc.v1.watching_pb2 import (
    ConnectionOverview,
    GetOverviewRequest,
    GetOverviewResponse,
    GetTrendRequest,
)
from cachesvc.web.page import Page
from cachesvc.web.pages.trend import trend_of
from cachesvc.web.visit import Visit
from cachesvc.web.words import mood_of, word_of

_ALARMS_MAX = 50


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """A connection.

    Attributes:
        told: What the service says of it.
        states: Words for the states of its needed topics, with a mood and how many are in each.
    """

    told: ConnectionOverview
    states: Sequence[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class Whole:
    """Sums over all connections.

    Attributes:
        records_per_s: Mined of late.
        bytes_per_s: Mined of late, as stored.
        lag_records: That the source has and the logs have not.
        mined_records: Since the service started.
        mined_bytes: Since then, as stored.
        delivered_records: Since then.
        delivered_bytes: Since then.
    """

    records_per_s: float
    bytes_per_s: float
    lag_records: int
    mined_records: int
    mined_bytes: int
    delivered_records: int
    delivered_bytes: int

    @property
    def saved_bytes(self) -> int:
        """What brokers would have sent besides, had every subscriber read them directly."""
        return max(0, self.delivered_bytes - self.mined_bytes)

    @property
    def times(self) -> float | None:
        """How often what was mined was delivered; None before anything was mined."""
        return self.delivered_bytes / self.mined_bytes if self.mined_bytes else None


def whole_of(told: GetOverviewResponse) -> Whole:
    """The sums."""
    rows = told.connections
    return Whole(
        sum(row.records_per_s for row in rows),
        sum(row.bytes_per_s for row in rows),
        sum(row.lag_records for row in rows),
        sum(row.mined_records for row in rows),
        sum(row.mined_bytes for row in rows),
        sum(row.delivered_records for row in rows),
        sum(row.delivered_bytes for row in rows),
    )


def connection_rows(told: GetOverviewResponse) -> list[ConnectionRow]:
    """A row for each connection."""
    return [
        ConnectionRow(
            row,
            [
                (word_of(MiningState, each.state), mood_of(each.state), each.topics)
                for each in row.states
            ],
        )
        for row in told.connections
    ]


async def show(visit: Visit) -> Response:
    """The page."""
    overview = await visit.attempt(GetOverviewRequest())
    alarms = await visit.attempt(ListAlarmsRequest(limit=_ALARMS_MAX))
    told = overview.answer
    return visit.render(
        "overview.html",
        overview=overview,
        trend=await trend_of(visit, GetTrendRequest()),
        alarms=alarms,
        whole=None if told is None else whole_of(told),
        connections=[] if told is None else connection_rows(told),
        kind_of=lambda alarm: word_of(AlarmKind, alarm.kind, "ALARM_"),
    )


PAGE = Page("Overview", "/", show)
