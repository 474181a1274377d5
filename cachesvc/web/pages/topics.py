"""*Topics*: all of them, a page at a time; one of them is in ``topic``."""

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.responses import Response

from cachesvc.v1.admin_pb2 import ListTopicsRequest, ListTopicsResponse, Topic
from cachesvc.v1.log_cache_pb2 import MiningState, PartitionOffsets
from cachesvc.web.listing import ROWS, Listing
from cachesvc.web.page import Page
from cachesvc.web.pages import topic, topic_model, topic_records, topic_rejects
from cachesvc.web.visit import Visit
from cachesvc.web.words import mood_of, word_of


@dataclass(frozen=True, slots=True)
class TopicRow:
    """A topic in the list.

    Attributes:
        told: What the service says of it.
        state: What mining of it does.
        mood: How that looks.
        lag: Offsets behind the source; None while no source was asked.
    """

    told: Topic
    state: str
    mood: str
    lag: int | None


def topic_row(told: Topic) -> TopicRow:
    """The row of a topic."""
    state = told.mining_state
    return TopicRow(told, word_of(MiningState, state), mood_of(state), lag_of(told.partitions))


def lag_of(partitions: Iterable[PartitionOffsets]) -> int | None:
    """Offsets that the source has and the log has not; None where no end of it is known."""
    lags = [
        max(0, each.source_high_watermark - each.log_end_offset)
        for each in partitions
        if each.HasField("source_high_watermark")
    ]
    return sum(lags) if lags else None


async def show(visit: Visit) -> Response:
    """The list."""
    asked = visit.asked
    answer: ListTopicsResponse = await visit.ask(
        ListTopicsRequest(
            connection=asked.text("connection"), search=asked.search, limit=ROWS, skip=asked.skip
        )
    )
    rows = [topic_row(told) for told in answer.topics]
    return visit.render("topics.html", listing=Listing(rows, answer.total, asked))


_ONE = "/topics/{connection}/{topic}"
PAGE = Page(
    "Topics",
    "/topics",
    show,
    below=(
        (_ONE, topic.show),
        (f"{_ONE}/records", topic_records.show),
        (f"{_ONE}/model", topic_model.show),
        (f"{_ONE}/rejects", topic_rejects.show),
    ),
)
