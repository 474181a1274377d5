"""*Alarms*: those that stand, and those that are over."""

from dataclasses import dataclass

from starlette.responses import Response

from cachesvc.v1.alarms_pb2 import Alarm, AlarmKind, ListAlarmsRequest, ListAlarmsResponse
from cachesvc.web.listing import paged
from cachesvc.web.page import Page
from cachesvc.web.visit import Visit
from cachesvc.web.words import word_of

_ALARMS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """An alarm.

    Attributes:
        told: What the service says of it.
        kind: In words.
        stands: Whether it is not over.
        lasted_s: From when it was raised until it was cleared; None while it stands.
    """

    told: Alarm
    kind: str
    stands: bool
    lasted_s: float | None

    @property
    def words(self) -> str:
        """What is searched."""
        told = self.told
        about = f"{told.connection} {told.topic} {told.subscription}"
        return f"{self.kind} {about} {told.message}"


def alarm_row(told: Alarm) -> AlarmRow:
    """The row of an alarm."""
    stands = not told.HasField("cleared_ms")
    lasted_s = None if stands else max(0, told.cleared_ms - told.raised_ms) / 1000
    return AlarmRow(told, word_of(AlarmKind, told.kind, "ALARM_"), stands, lasted_s)


async def show(visit: Visit) -> Response:
    """The page."""
    asked = visit.asked
    past = asked.text("past") == "yes"
    answer: ListAlarmsResponse = await visit.ask(
        ListAlarmsRequest(connection=asked.text("connection"), past=past, limit=_ALARMS_MAX)
    )
    rows = [alarm_row(told) for told in answer.alarms]
    return visit.render(
        "alarms.html",
        listing=paged(rows, asked, lambda row: row.words),
        standing=sum(row.stands for row in rows),
        past=past,
    )


PAGE = Page("Alarms", "/alarms", show)
