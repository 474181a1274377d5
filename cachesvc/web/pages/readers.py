"""*Readers*: the processes that mine, and which topics each has."""

from dataclasses import dataclass

from starlette.responses import Response

from cachesvc.v1.admin_pb2 import ListReadersRequest, ListReadersResponse, Reader
from cachesvc.v1.watching_pb2 import GetTrendRequest
from cachesvc.web.listing import pace_of, paged
from cachesvc.web.page import Page
from cachesvc.web.pages.trend import trend_of
from cachesvc.web.visit import Visit

TOPICS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class ReaderRow:
    """A reader.

    Attributes:
        told: What the service says of it.
        host: Where it is.
        topics: Some of those that it has, in order.
        left: How many more.
    """

    told: Reader
    host: str
    topics: list[str]
    left: int

    @property
    def words(self) -> str:
        """What is searched."""
        topics = " ".join(self.told.topics)
        return f"{self.told.name} {self.told.connection} {self.host} {topics}"


def reader_row(told: Reader) -> ReaderRow:
    """The row of a reader."""
    shown = list(told.topics[:TOPICS_SHOWN])
    host = told.host or "the service's machine"
    return ReaderRow(told, host, shown, len(told.topics) - len(shown))


async def show(visit: Visit) -> Response:
    """The page."""
    answer: ListReadersResponse = await visit.ask(ListReadersRequest())
    rows = [reader_row(told) for told in answer.readers]
    return visit.render(
        "readers.html",
        listing=paged(rows, visit.asked, lambda row: row.words),
        pace=pace_of(sum(len(each.topics) for each in answer.readers)),
        trend=await trend_of(visit, GetTrendRequest(), goes_on=True),
    )


PAGE = Page("Readers", "/readers", show)
