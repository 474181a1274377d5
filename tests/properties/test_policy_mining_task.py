"""The states of mining tasks and topics: every event has an answer and no state is a dead end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from enum import Enum
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesvc.model import MiningState
from cachesvc.policy.mining_task import (
    Refused,
    TaskEvent,
    TaskState,
    TopicEvent,
    TopicState,
    demand,
    is_mined,
    next_task_state,
    next_topic_state,
    report_event,
    shown_state,
    use_event,
)

S = TypeVar("S", bound=Enum)
MINED = {
    TopicState.STARTING,
    TopicState.MINING,
    TopicState.UNREACHABLE,
    TopicState.BLOCKED,
    TopicState.FAILED,
}
OF_OPERATORS = {TopicEvent.START, TopicEvent.STOP}
topic_states = st.sampled_from(TopicState)
topic_events = st.sampled_from(TopicEvent)


def _reachable(begin: S, steps: Callable[[S], Iterable[S]]) -> set[S]:
    found, left = {begin}, [begin]
    while left:
        for state in steps(left.pop()):
            if state not in found:
                found.add(state)
                left.append(state)
    return found


def _task_steps(state: TaskState) -> list[TaskState]:
    after = [next_task_state(state, event) for event in TaskEvent]
    return [each for each in after if isinstance(each, TaskState)]


def _topic_steps(state: TopicState) -> list[TopicState]:
    return [next_topic_state(state, event) for event in TopicEvent]


@pytest.mark.parametrize(("state", "event"), list(itertools.product(TaskState, TaskEvent)))
def test_a_task_answers_every_event(state: TaskState, event: TaskEvent) -> None:
    after = next_task_state(state, event)
    assert isinstance(after, TaskState) or (after.reason and after.why)
    assert isinstance(after, Refused) == (
        event is TaskEvent.EDIT and state is not TaskState.STOPPED
    )


@pytest.mark.parametrize(("state", "event"), list(itertools.product(TopicState, TopicEvent)))
def test_a_topic_answers_every_event(state: TopicState, event: TopicEvent) -> None:
    assert isinstance(next_topic_state(state, event), TopicState)


def test_there_is_a_way_from_every_state_to_every_other() -> None:
    for task in TaskState:
        assert _reachable(task, _task_steps) == set(TaskState)
    for topic in TopicState:
        assert _reachable(topic, _topic_steps) == set(TopicState)


@given(topic_states, topic_events)
def test_an_event_that_is_told_again_changes_nothing(state: TopicState, event: TopicEvent) -> None:
    after = next_topic_state(state, event)
    assert next_topic_state(after, event) is after


@given(st.lists(topic_events.filter(lambda event: event not in OF_OPERATORS)))
def test_what_an_operator_stopped_is_started_by_an_operator_alone(events: list[TopicEvent]) -> None:
    topic, task = TopicState.STOPPED, TaskState.STOPPED
    for event in events:
        topic = next_topic_state(topic, event)
        assert topic is TopicState.STOPPED
    for task_event in (TaskEvent.NEEDED, TaskEvent.UNNEEDED, TaskEvent.BROKEN, TaskEvent.EDIT):
        assert next_task_state(task, task_event) is TaskState.STOPPED


@given(topic_states, st.lists(topic_events))
def test_a_topic_is_mined_only_while_somebody_uses_it(
    state: TopicState, events: list[TopicEvent]
) -> None:
    """Whatever came before, the last word on its use counts, and an operator's stop."""
    for event in events:
        state = next_topic_state(state, event)
    assert next_topic_state(state, TopicEvent.IDLED) not in MINED
    assert next_topic_state(state, TopicEvent.UNWANTED) not in MINED
    used = next_topic_state(state, TopicEvent.USED)
    assert used in MINED or used is TopicState.STOPPED


@given(st.sampled_from(TaskState), topic_states)
def test_subscribers_are_told_that_nobody_mines(task: TaskState, topic: TopicState) -> None:
    shown = shown_state(task, topic)
    if is_mined(task, topic):
        assert shown is MiningState.STARTING
    else:
        assert shown in (MiningState.STOPPED, MiningState.PAUSED, MiningState.IDLE)
    if topic is TopicState.STOPPED:
        assert shown is MiningState.STOPPED


@given(st.one_of(st.none(), st.integers(0, 10_000)), st.integers(0, 10_000), st.integers(1, 10_000))
def test_a_topic_is_idle_once_the_time_has_passed(
    used_ms: int | None, now_ms: int, idle_ms: int
) -> None:
    event = use_event(used_ms, now_ms, idle_ms)
    if used_ms is None:
        assert event is TopicEvent.UNWANTED
    else:
        expected = TopicEvent.IDLED if now_ms >= used_ms + idle_ms else TopicEvent.USED
        assert event is expected


@given(st.lists(topic_states))
def test_a_task_fails_only_if_all_that_it_is_to_mine_does(states: list[TopicState]) -> None:
    event = demand(states)
    to_be_mined = [state for state in states if state in MINED]
    assert (event is TaskEvent.UNNEEDED) == (not to_be_mined)
    assert (event is TaskEvent.BROKEN) == (set(to_be_mined) == {TopicState.FAILED})


partitions = st.lists(st.tuples(st.sampled_from(MiningState), st.text(max_size=3)))


@given(partitions)
def test_one_partition_in_trouble_is_trouble_of_the_topic(
    reports: list[tuple[MiningState, str]],
) -> None:
    states = [state for state, _ in reports]
    event, error = report_event(reports)
    if MiningState.FAILED in states:
        assert event is TopicEvent.BROKE
        assert (MiningState.FAILED, error) in reports
    elif MiningState.BLOCKED in states:
        assert event is TopicEvent.HELD_UP
    if event is TopicEvent.MINED:
        assert set(states) <= {
            *(MiningState.THROTTLED, MiningState.MINING, MiningState.STARTING),
            *(MiningState.IDLE, MiningState.STOPPED, MiningState.PAUSED),
        }
