"""*Mining*: a task for each connection; one of them is in ``mining_task``."""

from dataclasses import dataclass

from starlette.responses import Response

from cachesvc.v1.mining_tasks_pb2 import (
    ListBlockedPartitionsRequest,
    ListMiningTasksRequest,
    ListMiningTasksResponse,
    MinedTopicState,
    MiningTask,
    MiningTaskState,
)
from cachesvc.web.listing import pace_of
from cachesvc.web.page import Page
from cachesvc.web.pages import mining_acts, mining_task
from cachesvc.web.visit import Visit
from cachesvc.web.words import word_of

_BLOCKED_SHOWN = 50


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A mining task.

    Attributes:
        told: What the service says of it.
        state: In words.
        mood: How that looks.
        records_per_s: Of all its topics, of late.
        bytes_per_s: Likewise, as stored.
        lag_records: Offsets behind the source, over all topics.
        topics: Words for the states of its topics, with a mood and how many are in each.
    """

    told: MiningTask
    state: str
    mood: str
    records_per_s: float
    bytes_per_s: float
    lag_records: int
    topics: list[tuple[str, str, int]]


def task_row(told: MiningTask) -> TaskRow:
    """The row of a task."""
    counts: dict[int, int] = {}
    for topic in told.topics:
        counts[topic.topic_state] = counts.get(topic.topic_state, 0) + 1
    return TaskRow(
        told,
        word_of(MiningTaskState, told.state, "TASK_"),
        mining_task.mood_of_task(told.state),
        sum(each.activity.records_per_s_10s for each in told.topics),
        sum(each.activity.bytes_per_s_10s for each in told.topics),
        sum(each.mining_lag_records for each in told.topics),
        [
            (word_of(MinedTopicState, state, "TOPIC_"), mining_task.mood_of_topic(state), number)
            for state, number in sorted(counts.items())
        ],
    )


async def show(visit: Visit) -> Response:
    """All tasks."""
    answer: ListMiningTasksResponse = await visit.ask(ListMiningTasksRequest())
    blocked = await visit.attempt(ListBlockedPartitionsRequest())
    found = [] if blocked.answer is None else blocked.answer.partitions
    return visit.render(
        "mining.html",
        rows=[task_row(told) for told in answer.tasks],
        pace=pace_of(sum(len(told.topics) for told in answer.tasks)),
        blocked=blocked,
        shown=found[:_BLOCKED_SHOWN],
        left=max(0, len(found) - _BLOCKED_SHOWN),
    )


PAGE = Page(
    "Mining",
    "/mining",
    show,
    below=(
        ("/mining/{connection}", mining_task.show),
        ("/mining/{connection}/history", mining_task.show_history),
    ),
    actions=mining_acts.ACTIONS,
)
