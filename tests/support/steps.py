"""Every step by which what this process keeps becomes durable, gets a name or goes, one at a time.

What a process that is killed leaves behind is decided by the steps that it has taken. So a copy of
its directory, and of its objects in a bucket, made just before one of them, is what there would be
if it had been killed there. Steps of all threads wait for each other, and for the copy.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import duckdb
import obstore
import pytest

from cachesvc.store.execution import Execution

_READS = ("select", "from", "with")
OF_FILES = ("fsync", "ftruncate", "link", "rename", "replace", "rmdir", "unlink", "writev")
OF_OBJECTS = ("put", "delete")


class _Connection:
    """A connection whose commits are steps, whether of one statement or of many."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, steps: Steps) -> None:
        self._connection = connection
        self._steps = steps
        self._within = False

    def begin(self) -> None:
        self._connection.begin()
        self._within = True

    def execute(self, statement: str, *parameters: Any) -> Any:
        alone = not (self._within or statement.split(None, 1)[0].lower() in _READS)
        return self._steps.take("execute", alone, self._connection.execute, statement, *parameters)

    def commit(self) -> None:
        self._within = False
        self._steps.take("commit", True, self._connection.commit)

    def rollback(self) -> None:
        self._within = False
        self._connection.rollback()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Steps:
    """Counts steps from now on, as long as the patches of ``monkeypatch`` last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._lock = threading.RLock()
        self._left = 0
        self._act: Callable[[], None] = lambda: None
        self.last = ""
        """Before which kind of step something was done last."""
        self.kinds: list[str] = []
        """Of the steps that were taken since something was to be done before one."""
        for name in OF_FILES:
            monkeypatch.setattr(os, name, self._among(name, getattr(os, name)))
        for name in OF_OBJECTS:
            monkeypatch.setattr(obstore, name, self._among(name, getattr(obstore, name)))
        begin = Execution.__init__

        def executing(execution: Execution, connection: Any, statements: Any) -> None:
            begin(execution, _Connection(connection, self), statements)  # type: ignore[arg-type]

        monkeypatch.setattr(Execution, "__init__", executing)

    def before(self, number: int, act: Callable[[], None]) -> None:
        """Has something done before the step of that number from now on, counted from 1."""
        with self._lock:
            self._left, self._act = number, act
            self.kinds = []

    def never(self) -> None:
        """Has nothing done."""
        self.before(0, lambda: None)

    def take(self, name: str, counts: bool, call: Callable[..., Any], *arguments: Any) -> Any:
        """Does what may be a step, while nothing else that may be one is done."""
        with self._lock:
            if counts:
                self._count(name)
            return call(*arguments)

    def _among(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def taken(*arguments: Any, **more: Any) -> Any:
            return self.take(name, True, partial(call, **more), *arguments)

        return taken

    def _count(self, name: str) -> None:
        self.kinds.append(name)
        if self._left:
            self._left -= 1
            if not self._left:
                self.last = name
                self._act()
