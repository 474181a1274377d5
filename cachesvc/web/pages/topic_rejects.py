"""What the JSON rule turned away of a topic."""

from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from cachesvc.units import printable
from cachesvc.v1.admin_pb2 import ListRejectsRequest, Reject
from cachesvc.web.listing import paged
from cachesvc.web.pages.topic import tabs_of, topic_of
from cachesvc.web.pages.topic_records import pretty, text_of
from cachesvc.web.visit import Visit

REJECTS_MAX = 1_000
_BYTES_MAX = 16 << 20
_VALUE_MAX = 64 << 10


@dataclass(frozen=True, slots=True)
class RejectRow:
    """A record that was turned away.

    Attributes:
        told: What the service says of it.
        key: As text; None without.
        value: Likewise, the beginning of a long one.
        value_bytes: How long it is.
    """

    told: Reject
    key: str | None
    value: str
    value_bytes: int

    @property
    def words(self) -> str:
        """What is searched."""
        return f"{self.told.reason} {self.told.detail} {self.key or ''} {self.told.offset}"


def reject_row(reject: Reject) -> RejectRow:
    """The row of a reject."""
    key = printable(text_of(reject.key)) if reject.HasField("key") else None
    return RejectRow(reject, key, pretty(reject.value[:_VALUE_MAX]), len(reject.value))


async def show(visit: Visit) -> Response:
    """The page."""
    topic = await topic_of(visit)
    request = ListRejectsRequest(connection=topic.connection, topic=topic.name, limit=REJECTS_MAX)
    answers = await visit.gather(request, _are_enough)
    rows = [reject_row(each) for answer in answers for each in answer.rejects]
    return visit.render(
        "topic_rejects.html",
        topic=topic,
        tabs=tabs_of(topic),
        listing=paged(rows, visit.asked, lambda row: row.words),
        cut=len(rows) < topic.reject_count,
    )


def _are_enough(answers: list[Any]) -> bool:
    sizes: list[int] = [answer.ByteSize() for answer in answers]
    return sum(sizes) >= _BYTES_MAX
