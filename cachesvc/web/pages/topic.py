"""*Topic*: what is cached of one, over its offsets, and who is where."""

from collections import defaultdict
from typing import Any

from starlette.responses import Response

from cachesvc.v1.admin_pb2 import (
    Journal,
    ListJournalsRequest,
    ListSegmentsRequest,
    ListTopicsRequest,
    Segment,
    Topic,
)
from cachesvc.v1.log_cache_pb2 import GapCause, ListSubscriptionsRequest
from cachesvc.v1.watching_pb2 import GetTopicTrendRequest
from cachesvc.web.listing import Listing
from cachesvc.web.pages.coverage import bar_of, positions_of
from cachesvc.web.pages.trend import trend_of
from cachesvc.web.visit import Visit
from cachesvc.web.words import word_of

PARTITIONS = 20
"""On one page."""
_SEGMENTS_MAX = 20_000


async def topic_of(visit: Visit) -> Topic:
    """The topic that the path names.

    Raises:
        CallFailed: There is none, or it may not be seen.
    """
    request = ListTopicsRequest(connection=visit.place("connection"), topic=visit.place("topic"))
    answer = await visit.ask(request)
    found: Topic = answer.topics[0]
    return found


def tabs_of(topic: Topic) -> list[tuple[str, str]]:
    """What there is to see of a topic: titles and paths."""
    path = f"/topics/{topic.connection}/{topic.name}"
    return [
        ("Coverage", path),
        ("Records", f"{path}/records"),
        ("Model", f"{path}/model"),
        ("Rejects", f"{path}/rejects"),
    ]


async def show(visit: Visit) -> Response:
    """Its partitions as bars."""
    topic = await topic_of(visit)
    named = {"connection": topic.connection, "topic": topic.name}
    answers = await visit.gather(ListSegmentsRequest(**named), _are_enough)
    segments: dict[int, list[Segment]] = defaultdict(list)
    for segment in (each for answer in answers for each in answer.segments):
        if segment.incarnation == topic.incarnation:
            segments[segment.partition].append(segment)
    journals: dict[int, list[Journal]] = defaultdict(list)
    for journal in (await visit.ask(ListJournalsRequest(**named))).journals:
        if journal.incarnation == topic.incarnation:
            journals[journal.partition].append(journal)
    subscriptions = (await visit.ask(ListSubscriptionsRequest(**named))).subscriptions
    positions = positions_of(subscriptions, topic.name, topic.incarnation)
    asked = visit.asked
    page = topic.partitions[asked.skip_of(PARTITIONS) :][:PARTITIONS]
    bars = [
        bar_of(told, segments[number], journals[number], positions.get(number, {}))
        for number, told in ((each.partition, each) for each in page)
    ]
    return visit.render(
        "topic.html",
        topic=topic,
        trend=await trend_of(
            visit,
            GetTopicTrendRequest(connection=topic.connection, topic=topic.name),
            goes_on=True,
        ),
        tabs=tabs_of(topic),
        listing=Listing(bars, len(topic.partitions), asked, PARTITIONS),
        subscriptions=subscriptions,
        cut=_are_enough(answers),
        cause_of=lambda cause: word_of(GapCause, cause),
    )


def _are_enough(answers: list[Any]) -> bool:
    return sum(len(answer.segments) for answer in answers) >= _SEGMENTS_MAX
