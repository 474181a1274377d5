"""What was mined, and alarms, without files: parts of ``memory_catalogue.MemoryCatalogue``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cachesvc.model import TopicId
from cachesvc.policy.throughput import Counts
from cachesvc.store.watching_port import (
    ALARM_NOTICES_MAX,
    PAST_ALARMS_MAX,
    AlarmRecord,
    Notice,
)


class MemoryCounts:
    """``watching_port.MiningCountsKept`` in a dictionary."""

    def __init__(self) -> None:
        self._counts: dict[TopicId, Counts] = {}

    def put(self, counts: Mapping[TopicId, Counts]) -> None:
        self._counts.update(counts)

    def all(self) -> dict[TopicId, Counts]:
        return dict(sorted(self._counts.items()))


class MemoryAlarms:
    """``watching_port.Alarms`` in dictionaries."""

    def __init__(self) -> None:
        self._alarms: dict[int, AlarmRecord] = {}
        self._notices: list[Notice] = []

    def put(self, alarms: Sequence[AlarmRecord], *, notify: bool) -> None:
        for alarm in alarms:
            known = self._alarms.get(alarm.id, alarm)
            self._alarms[alarm.id] = replace(known, cleared_ms=alarm.cleared_ms)
            if notify:
                number = self._notices[-1].number + 1 if self._notices else 1
                self._notices.append(Notice(number, self._alarms[alarm.id]))
        del self._notices[:-ALARM_NOTICES_MAX]
        waiting = {notice.alarm.id for notice in self._notices}
        past = [alarm for alarm in self._alarms.values() if alarm.cleared_ms is not None]
        past.sort(key=lambda alarm: (alarm.cleared_ms or 0, alarm.id))
        for alarm in past[:-PAST_ALARMS_MAX]:
            if alarm.id not in waiting:
                del self._alarms[alarm.id]

    def list(self, connection: str, limit: int, *, past: bool) -> Sequence[AlarmRecord]:
        found = [
            alarm
            for alarm in self._alarms.values()
            if connection in ("", alarm.key.connection) and (past or alarm.cleared_ms is None)
        ]
        found.sort(key=lambda a: (a.cleared_ms is not None, -a.raised_ms, -a.id))
        return found[:limit]

    def last_id(self) -> int:
        return max(self._alarms, default=0)

    def first_notice(self) -> Notice | None:
        return self._notices[0] if self._notices else None

    def drop_notice(self, number: int) -> None:
        self._notices = [notice for notice in self._notices if notice.number != number]

    def count_notices(self) -> int:
        return len(self._notices)
