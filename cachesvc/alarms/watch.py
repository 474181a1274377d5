"""Keeps alarms: raises and clears them as the policy says, durably."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from cachesvc.errors import PreconditionFailed
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.policy.alarm_conditions import conditions
from cachesvc.policy.alarm_facts import Facts
from cachesvc.policy.alarms import AlarmKey, Standing, Thresholds, judge
from cachesvc.store.watching_port import AlarmRecord

_log = logging.getLogger(__name__)
_STANDING_MAX = 1_000_000


class AlarmWatch:
    """The alarms of one store. Belongs to one event loop; ``run`` has to run.

    Args:
        catalogue: Where they are durable; those that stand there are not raised again.
        facts: What is the case at a time, in milliseconds.
        thresholds: When something is wrong.
        interval_s: Between looks.
        notify: Whether a webhook is to be told.
        told: Called when there is something to tell it.
    """

    def __init__(
        self,
        catalogue: CatalogueThread,
        facts: Callable[[int], Facts],
        thresholds: Thresholds,
        interval_s: float,
        *,
        notify: bool,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        self._catalogue = catalogue
        self._facts = facts
        self._thresholds = thresholds
        self._interval_s = interval_s
        self._notify = notify
        self._told = told
        active, self._last_id = catalogue.call_blocking(
            lambda port: (port.alarms.list("", _STANDING_MAX, past=False), port.alarms.last_id())
        )
        self._active = {record.key: record for record in active}
        self._standing = {record.key: Standing(record.message, True, None) for record in active}

    def standing(self) -> Counter[str]:
        """How many alarms of each kind there are now, kinds without any left out."""
        return Counter(key.kind.name for key in self._active)

    async def run(self) -> None:
        """Looks again and again until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self.look(time.time_ns() // 1_000_000)
            except PreconditionFailed as error:
                _log.warning(
                    "alarms cannot be stored, trying again",
                    extra={"event": "alarms_not_stored", "error": str(error)},
                )

    async def look(self, now_ms: int) -> None:
        """Raises and clears what is due.

        Raises:
            PreconditionFailed: It cannot be stored; nothing was raised or cleared.
        """
        now = conditions(self._facts(now_ms), self._thresholds)
        verdict = judge(now, self._standing, now_ms, self._thresholds)
        cleared = [replace(self._active[key], cleared_ms=now_ms) for key in verdict.cleared]
        raised = [
            AlarmRecord(self._last_id + number, key, verdict.standing[key].message, now_ms)
            for number, key in enumerate(verdict.raised, start=1)
        ]
        if cleared or raised:
            changed = [*cleared, *raised]
            await self._catalogue.call(lambda port: port.alarms.put(changed, notify=self._notify))
        self._standing = verdict.standing
        self._last_id += len(raised)
        self._active.update({record.key: record for record in raised})
        for record in cleared:
            del self._active[record.key]
            _log.info("an alarm is cleared", extra=_fields("alarm_cleared", record))
        for record in raised:
            _log.warning("an alarm is raised", extra=_fields("alarm_raised", record))
        if cleared or raised:
            self._told()


def _fields(event: str, record: AlarmRecord) -> dict[str, object]:
    key: AlarmKey = record.key
    return {
        "event": event,
        "alarm": record.id,
        "kind": key.kind.name,
        "connection": key.connection,
        "topic": key.topic,
        "partition": key.partition,
        "subscription": key.subscription,
        "error": record.message,
    }
