"""A mining task: its topics, what becomes of each, and its history."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response

from cachesvc.v1.mining_tasks_pb2 import (
    ListMiningTasksRequest,
    ListMiningTasksResponse,
    ListMiningTransitionsRequest,
    ListMiningTransitionsResponse,
    MinedTopic,
    MinedTopicState,
    MiningTask,
    MiningTaskState,
    TopicPin,
)
from cachesvc.v1.watching_pb2 import GetTopicTrendRequest
from cachesvc.web.calls import CallFailed
from cachesvc.web.listing import pace_of, paged
from cachesvc.web.pages.trend import trend_of
from cachesvc.web.visit import Visit
from cachesvc.web.words import word_of
from cachesvc.words import retention_of, start_of

_TRANSITIONS_MAX = 1_000
_TASK_MOODS: Mapping[int, str] = {
    MiningTaskState.TASK_RUNNING: "good",
    MiningTaskState.TASK_FAILED: "bad",
    MiningTaskState.TASK_STOPPED: "busy",
}
_TOPIC_MOODS: Mapping[int, str] = {
    MinedTopicState.TOPIC_MINING: "good",
    MinedTopicState.TOPIC_STARTING: "busy",
    MinedTopicState.TOPIC_STOPPED: "busy",
    MinedTopicState.TOPIC_UNREACHABLE: "bad",
    MinedTopicState.TOPIC_BLOCKED: "bad",
    MinedTopicState.TOPIC_FAILED: "bad",
}


@dataclass(frozen=True, slots=True)
class MinedTopicRow:
    """A topic of a task.

    Attributes:
        told: What the service says of it.
        state: In words.
        mood: How that looks.
        why: Why it is so, where it is not simply mined.
        pin: The reader that it was given to; None: any.
    """

    told: MinedTopic
    state: str
    mood: str
    why: str
    pin: TopicPin | None

    @property
    def stopped(self) -> bool:
        """Whether an operator stopped it."""
        return self.told.topic_state == MinedTopicState.TOPIC_STOPPED

    @property
    def words(self) -> str:
        """What is searched."""
        return f"{self.told.topic} {self.state} {self.told.reader}"


def mood_of_task(state: int) -> str:
    """How the state of a task looks."""
    return _TASK_MOODS.get(state, "")


def mood_of_topic(state: int) -> str:
    """How the state of a topic in a task looks."""
    return _TOPIC_MOODS.get(state, "")


def topic_rows(task: MiningTask) -> list[MinedTopicRow]:
    """A row for each topic."""
    pins = {pin.topic: pin for pin in task.pins}
    return [
        MinedTopicRow(
            told,
            word_of(MinedTopicState, told.topic_state, "TOPIC_"),
            mood_of_topic(told.topic_state),
            told.error or told.cause,
            pins.get(told.topic),
        )
        for told in task.topics
    ]


def tabs_of(connection: str) -> list[tuple[str, str]]:
    """What there is to see of a task: titles and paths."""
    return [
        ("Topics", f"/mining/{connection}"),
        ("History", f"/mining/{connection}/history"),
    ]


async def task_of(visit: Visit, connection: str) -> MiningTask:
    """The task of a connection.

    Raises:
        CallFailed: There is none, or it may not be seen.
    """
    answer: ListMiningTasksResponse = await visit.ask(ListMiningTasksRequest(connection=connection))
    if not answer.tasks:
        raise CallFailed("NOT_FOUND", f"connection {connection!r} was never mined")
    return answer.tasks[0]


async def show(visit: Visit) -> Response:
    """Its topics."""
    task = await task_of(visit, visit.place("connection"))
    mined = {topic.topic for topic in task.topics}
    return visit.render(
        "mining_task.html",
        task=task,
        tabs=tabs_of(task.connection),
        state=word_of(MiningTaskState, task.state, "TASK_"),
        mood=mood_of_task(task.state),
        stopped=task.state == MiningTaskState.TASK_STOPPED,
        retention=retention_of(task),
        start=start_of(task),
        trend=await trend_of(visit, GetTopicTrendRequest(connection=task.connection), goes_on=True),
        pace=pace_of(len(task.topics)),
        pins_elsewhere=[pin for pin in task.pins if pin.topic not in mined],
        listing=paged(topic_rows(task), visit.asked, lambda row: row.words),
    )


async def show_history(visit: Visit) -> Response:
    """Changes of state, the newest first."""
    connection = visit.place("connection")
    answer: ListMiningTransitionsResponse = await visit.ask(
        ListMiningTransitionsRequest(connection=connection, limit=_TRANSITIONS_MAX)
    )
    return visit.render(
        "mining_history.html",
        connection=connection,
        tabs=tabs_of(connection),
        listing=paged(
            answer.transitions,
            visit.asked,
            lambda row: f"{row.topic} {row.before} {row.after} {row.cause}",
        ),
    )
