"""What somebody has to know of a task, told to a webhook: raised, and cleared once it is over.

A notice waits in memory until the webhook has taken it; one is posted at a time, so they arrive in
order, and each at least once as long as the task lives.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from random import Random

import msgspec

from cachesvc.client.backoff import Backoff
from cachesvc.sync.runner.progress import TaskStatus
from cachesvc.sync.webhook import Webhook, WebhookFailed

KINDS = ("AROUND_CACHE", "RECORDS_REFUSED", "TASK_TROUBLE", "TASK_FAILED")
"""What an alarm may be of."""

CLOSE_TIMEOUT_S = 5.0
"""How long the last notices may take once a task has ended."""

_LOOK_EVERY_S = 0.5
_TROUBLE_MS = 60_000
_WAITING_MAX = 1_000
_DELAY_S_FIRST, _DELAY_S_MAX = 0.5, 60.0
_LASTING = ("RECORDS_REFUSED", "TASK_FAILED")
_log = logging.getLogger("cachesvc.sync")


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What is posted.

    Attributes:
        notice: The same for every copy of a notice, and no other's.
        event: ``raised`` or ``cleared``.
        kind: One of ``KINDS``.
        task: Its name.
        message: For people.
        raised_ms: When it began, in milliseconds since the epoch.
        cleared_ms: When it was over; null if it is not.
    """

    notice: str
    event: str
    kind: str
    task: str
    message: str
    raised_ms: int
    cleared_ms: int | None = None


def standing(status: TaskStatus, now_ms: int) -> dict[str, str]:
    """What somebody has to know of a task now: messages by kind."""
    found = {}
    if status.outside:
        found["AROUND_CACHE"] = (
            "the cache cannot be read, and the task reads the broker itself, which is the load "
            "that the cache exists to avoid"
        )
    if status.refused:
        found["RECORDS_REFUSED"] = f"{status.refused} records are refused and kept apart"
    trouble = status.trouble
    words = "" if trouble is None else f"{trouble.reason}: {trouble.message}"
    if status.state == "failed":
        found["TASK_FAILED"] = words
    elif trouble is not None and now_ms - trouble.since_ms >= _TROUBLE_MS:
        found["TASK_TROUBLE"] = words
    return found


class Alarms:
    """Compares what stands with what stood, and queues the difference. Pure but for its ids.

    Attributes:
        waiting: Notices that nobody was told yet; the oldest ones go where there are too many.
    """

    def __init__(self, task: str) -> None:
        self._task = task
        self._standing: dict[str, Notice] = {}
        self.waiting: deque[Notice] = deque(maxlen=_WAITING_MAX)

    def stand(self, found: Mapping[str, str], now_ms: int) -> None:
        """What stands now; what was refused or has failed is never over by itself."""
        for kind, message in found.items():
            if kind not in self._standing:
                raised = Notice(
                    notice=f"{uuid.uuid4().hex}-raised",
                    event="raised",
                    kind=kind,
                    task=self._task,
                    message=message,
                    raised_ms=now_ms,
                )
                self._standing[kind] = raised
                self.waiting.append(raised)
        for kind in [each for each in self._standing if each not in (*found, *_LASTING)]:
            raised = self._standing.pop(kind)
            notice = raised.notice.replace("raised", "cleared")
            self.waiting.append(
                msgspec.structs.replace(raised, notice=notice, event="cleared", cleared_ms=now_ms)
            )


class TaskAlarms:
    """Watches a task and tells a webhook. Belongs to one event loop; ``run`` has to run.

    Args:
        task: Its name.
        status: How it is.
        webhook: Who is told.
    """

    def __init__(self, task: str, status: Callable[[], TaskStatus], webhook: Webhook) -> None:
        self._task = task
        self._status = status
        self._webhook = webhook
        self._alarms = Alarms(task)
        self._backoff = Backoff(_DELAY_S_FIRST, _DELAY_S_MAX, None, Random())

    async def run(self) -> None:
        """Watches and tells until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            tasks.create_task(self._tell())

    async def end(self, status: TaskStatus) -> None:
        """Tells how the task ended, for a few seconds at most; ``run`` must not run any more."""
        now_ms = time.time_ns() // 1_000_000
        found = standing(msgspec.structs.replace(status, outside=False), now_ms)
        self._alarms.stand(found, now_ms)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while self._alarms.waiting:
                    await self._tell_next()

    async def _watch(self) -> None:
        while True:
            now_ms = time.time_ns() // 1_000_000
            self._alarms.stand(standing(self._status(), now_ms), now_ms)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _tell(self) -> None:
        while True:
            while self._alarms.waiting:
                await self._tell_next()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _tell_next(self) -> None:
        notice = self._alarms.waiting[0]
        try:
            await self._webhook.post(msgspec.json.encode(notice))
        except WebhookFailed as error:
            report = _log.warning if self._backoff.is_first else _log.info
            report("task %s: the webhook was not told of an alarm: %s", self._task, error)
            await asyncio.sleep(self._backoff.failed(time.monotonic()) or 0.0)
            return
        self._backoff.succeeded()
        if self._alarms.waiting and self._alarms.waiting[0] is notice:
            self._alarms.waiting.popleft()
