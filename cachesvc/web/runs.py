"""What takes a while, for somebody who watches it: a job, a test."""

import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from cachesvc.web.calls import CallFailed
from cachesvc.web.sessions import new_key

RUNS_MAX = 100
LINES_MAX = 1_000
_AT_A_TIME = 4


@dataclass(slots=True)
class Run:
    """What was started, and what it has said so far.

    Attributes:
        key: In its path; nobody guesses it.
        title: What it is.
        owner: The name of whoever started it, who alone sees it.
        back: The path to return to.
        began_ms: When it was started.
        lines: What it said; the last line replaces one that is only about progress.
        done: Whether it has ended.
        failed: Why it ended early; empty where it did not.
    """

    key: str
    title: str
    owner: str
    back: str
    began_ms: int
    lines: list["Line"] = field(default_factory=list)
    done: bool = False
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """What a run says.

    Attributes:
        text: For people.
        mark: ``passed``, ``failed``, ``skipped`` or empty.
        detail: More of it, such as what to do.
        passing: Whether the next line takes its place.
    """

    text: str
    mark: str = ""
    detail: str = ""
    passing: bool = False


class Runs:
    """The newest runs, a few of which run at a time; the others wait."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._threads = ThreadPoolExecutor(_AT_A_TIME, "page-run")

    def start(
        self,
        title: str,
        owner: str,
        back: str,
        answers: Callable[[], Generator[Any, None, None]],
        line: Callable[[Any], Line | None],
    ) -> Run:
        """Starts a run.

        Args:
            title: What it is.
            owner: The name of whoever starts it.
            back: The path to return to.
            answers: What it does; closing it ends that. Called in another thread.
            line: What an answer says; None: nothing.
        """
        run = Run(new_key(), title, owner, back, round(self._clock() * 1000))
        self._runs[run.key] = run
        while len(self._runs) > RUNS_MAX:
            self._runs.popitem(last=False)
        self._threads.submit(_follow, run, answers, line)
        return run

    def find(self, key: str, owner: str) -> Run | None:
        """A run, for whoever has started it."""
        run = self._runs.get(key)
        return run if run is not None and run.owner == owner else None

    def close(self) -> None:
        """Starts nothing more. What runs ends with the service's channel."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _follow(
    run: Run, answers: Callable[[], Generator[Any, None, None]], line: Callable[[Any], Line | None]
) -> None:
    try:
        with closing(answers()) as found:
            for said in filter(None, map(line, itertools.islice(found, LINES_MAX))):
                if run.lines and run.lines[-1].passing:
                    run.lines[-1] = said
                else:
                    run.lines.append(said)
    except CallFailed as error:
        run.failed = f"{error.message} ({error.reason})"
    finally:
        run.done = True
