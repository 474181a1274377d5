"""The conformance suite lets a good sink pass, and finds what is wrong with others."""

from __future__ import annotations

import inspect
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import pytest

from cachesvc.client import Positions
from cachesvc.sync import (
    Changes,
    ChangesRefused,
    Check,
    Delivery,
    Refusal,
    SinkKind,
    TargetUnavailable,
    TaskContext,
)
from cachesvc.sync.testing import Found, SinkSuite, SinkTarget

REFUSED = {"id": 6, "partition": 0, "number": 6, "note": "refused"}


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Log:
    """What a sink of changes wrote, and its faults."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.found: list[Found] = []
        self.positions: defaultdict[str, Positions] = defaultdict(Positions)

    def read(self) -> Iterable[Found]:
        return list(self.found)


class LogSink:
    def __init__(self, log: Log) -> None:
        self._log = log
        self._closed = 0

    async def open(self) -> Positions | None:
        if self._log.fault == "forgets":
            self._log.found.clear()
        return None

    async def write(self, delivery: Delivery) -> None:
        found = [each for piece in delivery.changes for each in _found(piece)]
        self._refuse(delivery)
        if self._log.fault == "reverses":
            found.reverse()
        if self._log.fault == "loses":
            found = found[:-1]
        if self._log.fault == "revives":
            found = [each for each in found if each.value is not None]
        self._log.found += found

    async def check(self) -> Sequence[Check]:
        if self._log.fault == "litters":
            self._log.found.append(Found(0, {}))
        return [Check("write", self._log.fault != "pessimist", "")]

    async def close(self) -> None:
        self._closed += 1
        assert self._log.fault != "closes once" or self._closed == 1

    def _refuse(self, delivery: Delivery) -> None:
        for number, piece in enumerate(delivery.changes):
            for row, found in enumerate(_found(piece)):
                if found.value == REFUSED and self._log.fault != "takes all":
                    named = row + 1 if self._log.fault == "names others" else row
                    raise ChangesRefused([Refusal(number, named, "NO", "never")])


class SharedLogSink(LogSink):
    """One that keeps positions, which several may move."""

    def __init__(self, log: Log, task: str) -> None:
        super().__init__(log)
        self._kept, self._task = log.positions, task
        self._known = Positions()

    async def open(self) -> Positions | None:
        await super().open()
        return await self.read_positions()

    async def read_positions(self) -> Positions:
        self._known = self._kept[self._task]
        return self._known

    async def write(self, delivery: Delivery) -> None:
        kept, wanted = self._kept[self._task], delivery.positions
        if self._log.fault != "overtakes":
            for key in wanted:
                if kept.get(key) != self._known.get(key):
                    raise TargetUnavailable("moved", reason="POSITIONS_MOVED")
        await super().write(delivery)
        ahead = [at for key, at in wanted.items() if key not in kept or at.is_after(kept[key])]
        self._kept[self._task] = kept.moved(*ahead)
        self._known = self._known.moved(*ahead)


def _found(piece: Changes) -> list[Found]:
    rows = piece.rows.to_pylist()
    return [
        Found(json.loads(row["key"])["id"], row["value"] and json.loads(row["value"]))
        for row in rows
    ]


def target_of(log: Log, *, shared: bool = False) -> SinkTarget:
    def make(settings: Settings, context: TaskContext) -> LogSink:
        return SharedLogSink(log, context.task) if shared else LogSink(log)

    return SinkTarget(SinkKind(Settings, make), {}, log.read, "changes", REFUSED)


class TestGood(SinkSuite):
    @pytest.fixture
    def target(self) -> SinkTarget:
        return target_of(Log())


class TestShared(SinkSuite):
    @pytest.fixture
    def target(self) -> SinkTarget:
        return target_of(Log(), shared=True)


def _tests() -> dict[str, Callable[[SinkTarget], Any]]:
    suite = SinkSuite()
    return {
        name: test
        for name, test in inspect.getmembers(suite, inspect.ismethod)
        if name.startswith("test_")
    }


@pytest.mark.parametrize(
    "fault",
    [
        "forgets",
        "reverses",
        "loses",
        "revives",
        "litters",
        "pessimist",
        "closes once",
        "takes all",
        "names others",
    ],
)
def test_the_suite_finds_a_fault(fault: str) -> None:
    assert failed_of(lambda: target_of(Log(fault)))


def test_the_suite_finds_a_sink_that_writes_what_another_task_has_written() -> None:
    failed = failed_of(lambda: target_of(Log("overtakes"), shared=True))
    assert failed == ["test_what_another_task_has_moved_is_not_written"]


def failed_of(target: Callable[[], SinkTarget]) -> list[str]:
    failed = []
    for name, test in _tests().items():
        try:
            test(target())
        except AssertionError:
            failed.append(name)
    return failed
