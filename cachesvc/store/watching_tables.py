"""What was mined, and alarms, in the tables of ``catalogue.DuckDBCatalogue``."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pyarrow as pa

from cachesvc.model import TopicId
from cachesvc.policy.alarms import AlarmKey, AlarmKind
from cachesvc.policy.throughput import Counts, Tally
from cachesvc.store.execution import Tables
from cachesvc.store.watching_port import (
    ALARM_NOTICES_MAX,
    PAST_ALARMS_MAX,
    AlarmRecord,
    Notice,
)

_Transaction = Callable[[], AbstractContextManager[None]]
_COUNTS = pa.schema(
    [
        ("connection", pa.string()),
        ("topic", pa.string()),
        ("incarnation", pa.int32()),
        ("records", pa.int64()),
        ("bytes", pa.int64()),
        ("rejects", pa.int64()),
        ("day", pa.int32()),
        ("day_records", pa.int64()),
        ("day_bytes", pa.int64()),
        ("day_rejects", pa.int64()),
    ]
)


class CountTables(Tables):
    """``watching_port.MiningCountsKept``; see there for the contract."""

    def put(self, counts: Mapping[TopicId, Counts]) -> None:
        rows = pa.Table.from_pylist(
            [_count_row(topic, kept) for topic, kept in counts.items()], _COUNTS
        )
        if rows.num_rows:
            with self._transaction():
                self._run_with("new_counts", rows, "put_mining_counts")

    def all(self) -> dict[TopicId, Counts]:
        return {
            TopicId(*row[:3]): Counts(Tally(*row[3:6]), row[6], Tally(*row[7:]))
            for row in self._run("list_mining_counts")
        }


class AlarmTables(Tables):
    """``watching_port.Alarms``; see there for the contract."""

    def put(self, alarms: Sequence[AlarmRecord], *, notify: bool) -> None:
        with self._transaction():
            for alarm in alarms:
                key = alarm.key
                self._run(
                    "put_alarm",
                    alarm.id,
                    int(key.kind),
                    key.connection,
                    key.topic,
                    key.partition,
                    key.subscription,
                    alarm.message,
                    alarm.raised_ms,
                    alarm.cleared_ms,
                )
                if notify:
                    self._run("put_alarm_notice", alarm.id, alarm.cleared_ms is not None)
            if notify:
                self._run("trim_alarm_notices", ALARM_NOTICES_MAX)
            self._run("trim_alarms", PAST_ALARMS_MAX)

    def list(self, connection: str, limit: int, *, past: bool) -> Sequence[AlarmRecord]:
        return [_alarm(row) for row in self._run("list_alarms", connection, past, limit)]

    def last_id(self) -> int:
        return int(self._run("last_alarm")[0][0])

    def first_notice(self) -> Notice | None:
        rows = self._run("first_alarm_notice")
        if not rows:
            return None
        number, cleared, *row, cleared_ms = rows[0]
        return Notice(number, _alarm((*row, cleared_ms if cleared else None)))

    def drop_notice(self, number: int) -> None:
        self._run("drop_alarm_notice", number)

    def count_notices(self) -> int:
        return int(self._run("count_alarm_notices")[0][0])


def _count_row(topic: TopicId, counts: Counts) -> dict[str, object]:
    return {
        "connection": topic.connection,
        "topic": topic.topic,
        "incarnation": topic.incarnation,
        "records": counts.total.records,
        "bytes": counts.total.bytes,
        "rejects": counts.total.rejects,
        "day": counts.day,
        "day_records": counts.of_day.records,
        "day_bytes": counts.of_day.bytes,
        "day_rejects": counts.of_day.rejects,
    }


def _alarm(row: Sequence[Any]) -> AlarmRecord:
    number, kind, connection, topic, partition, subscription, message, *times = row
    key = AlarmKey(AlarmKind(kind), connection, topic, partition, subscription)
    return AlarmRecord(number, key, message, *times)
