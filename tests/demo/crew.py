"""The sync tasks of a run: started as processes, watched, dismissed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.demo.failure import DemoError, with_tail
from tests.demo.plan import Plan
from tests.demo.service import ROOT, child_environment

_END_S = 10.0
_REPORT_BYTES_MAX = 16 * 1024 * 1024

Ends = Mapping[tuple[str, int], int]
"""The next offset behind what counts, by topic and partition."""


@dataclass(slots=True)
class Member:
    """A task as it is seen from here.

    Attributes:
        plan: What it is like.
        started_s: When its process was started, on the monotonic clock; None before.
        mined_before: Records that were mined before that.
        records: Delivered to it so far.
        live: Whether it has all that there is.
        positions: How far it is.
        checksum: Over all its records; empty while it runs.
    """

    plan: Plan
    started_s: float | None = None
    mined_before: int = 0
    records: int = 0
    live: bool = False
    positions: Ends = field(default_factory=dict)
    checksum: str = ""

    def lag(self, log_ends: Ends) -> int:
        """Offsets from its positions to the ends of the log, holes included."""
        behind = (max(0, end - self.positions.get(key, 0)) for key, end in log_ends.items())
        return 0 if self.checksum else sum(behind)

    def has_reached(self, ends: Ends) -> bool:
        """Whether it has everything before `ends`."""
        return bool(self.checksum) or all(
            self.positions.get(partition, 0) >= end for partition, end in ends.items()
        )


class Crew:
    """All tasks of a run. Used in ``async with``, which ends those that still run.

    Args:
        members: Who they are.
        directory: For their logs.
        address: Of the service.
        topics: Expression of the topics to read.
        end: Where their streams end; None for streams that never do.
        slow_records_per_s: How fast those are that are slow on purpose.
    """

    def __init__(
        self,
        members: list[Member],
        directory: Path,
        address: str,
        topics: str,
        end: Ends | None,
        slow_records_per_s: float,
    ) -> None:
        self.members = members
        self._directory = directory
        self._common = {
            "address": address,
            "topics": topics,
            "end": [[*partition, offset] for partition, offset in (end or {}).items()],
        }
        self._slow_records_per_s = slow_records_per_s
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends all processes that still run."""
        for process in self._processes.values():
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
        for process in self._processes.values():
            try:
                async with asyncio.timeout(_END_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    async def run(self, member: Member, mined_before: int) -> None:
        """Starts a task and takes its reports until it has ended.

        Raises:
            DemoError: It failed.
        """
        plan = member.plan
        job = {
            **self._common,
            "name": plan.name,
            "arrow": plan.arrow,
            "records_per_s": self._slow_records_per_s if plan.slow else None,
        }
        log = self._directory / f"{plan.name}.log"
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.demo.task", json.dumps(job)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=_REPORT_BYTES_MAX,
                cwd=ROOT,
                env=child_environment(),
                start_new_session=True,
            )
        self._processes[plan.name] = process
        member.started_s, member.mined_before = time.monotonic(), mined_before
        assert process.stdout is not None
        async for line in process.stdout:
            report = json.loads(line)
            member.records, member.live = report["records"], report["live"]
            member.positions = {(topic, n): offset for topic, n, offset in report["positions"]}
            member.checksum = report.get("checksum", "")
        code = await process.wait()
        if code or not member.checksum:
            what = f"the task {plan.name} ended with exit code {code}"
            raise DemoError(with_tail(what, log))

    def dismiss(self, member: Member) -> None:
        """Tells a task that it has everything: it commits and ends."""
        stdin = self._processes[member.plan.name].stdin
        assert stdin is not None
        stdin.close()
