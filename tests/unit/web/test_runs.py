"""Runs that somebody watches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import Any

from cachesvc.web.calls import CallFailed
from cachesvc.web.runs import LINES_MAX, RUNS_MAX, Line, Run, Runs


def until_done(run: Run) -> Run:
    deadline_s = time.monotonic() + 30
    while not run.done:
        assert time.monotonic() < deadline_s, "it does not end"
        time.sleep(0.001)
    return run


def counting(to: int) -> Callable[[], Generator[Any, None, None]]:
    def answers() -> Generator[Any, None, None]:
        yield from range(to)

    return answers


def test_lines_come_in_order_and_those_in_passing_are_replaced() -> None:
    def line(number: int) -> Line | None:
        return Line(str(number), passing=number in (1, 2)) if number else None

    run = until_done(Runs().start("count", "ops", "/", counting(5), line))
    assert [each.text for each in run.lines] == ["3", "4"]
    assert run.failed == ""


def test_a_run_is_bounded_and_closes_what_it_leaves() -> None:
    closed = threading.Event()

    def endless() -> Generator[Any, None, None]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    run = until_done(Runs().start("endless", "ops", "/", endless, lambda _: Line("x")))
    assert len(run.lines) == LINES_MAX
    assert closed.is_set()


def test_what_fails_says_why() -> None:
    def failing() -> Generator[Any, None, None]:
        yield 1
        raise CallFailed("UNKNOWN_JOB", "there is no such job")

    run = until_done(Runs().start("fails", "ops", "/", failing, lambda _: Line("began")))
    assert [each.text for each in run.lines] == ["began"]
    assert run.failed == "there is no such job (UNKNOWN_JOB)"


def test_a_run_is_seen_by_its_owner_and_forgotten_in_time() -> None:
    runs = Runs()
    first = until_done(runs.start("first", "ops", "/", counting(0), lambda _: None))
    assert runs.find(first.key, "ops") is first
    assert runs.find(first.key, "somebody else") is None
    for _ in range(RUNS_MAX):
        until_done(runs.start("another", "ops", "/", counting(0), lambda _: None))
    assert runs.find(first.key, "ops") is None
