"""The sink: deliveries into topics of a cluster, confirmed before ``write`` returns."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from cachesvc.client import Positions
from cachesvc.mining.kafka.producing import CODECS, Form, RecordsRefused, TargetTopic, encode
from cachesvc.sync.errors import (
    BatchRefused,
    ChangesRefused,
    Refusal,
    SyncError,
    TargetFailed,
    TargetUnavailable,
)
from cachesvc.sync.sink import Check, Delivery, TaskContext
from cachesvc.sync.sinks.kafka.checks import check_target
from cachesvc.sync.sinks.kafka.failures import as_target_errors
from cachesvc.sync.sinks.kafka.naming import TopicNames
from cachesvc.sync.sinks.kafka.planning import Plan, columns_of, known_refusals, plan, suspects
from cachesvc.sync.sinks.kafka.session import Session
from cachesvc.sync.sinks.kafka.settings import KafkaSettings
from cachesvc.sync.sinks.kafka.target import Target, check_settings, target_of

_SHOWN_MAX = 3


class KafkaSink:
    """Writes to Kafka; see ``Sink``. With ``exactly_once`` it keeps the task's positions.

    Args:
        settings: Of the target.
        context: The task's.
    """

    def __init__(self, settings: KafkaSettings, context: TaskContext) -> None:
        self._settings = settings
        self._context = context
        self._names = TopicNames(settings.topic, context.connection)
        self._target: Target | None = None
        self._session: Session | None = None

    async def open(self) -> Positions | None:
        await self.close()
        self._target = await self._resolved()
        session = Session(self._target, self._settings, self._context)
        self._session = session
        with as_target_errors():
            await session.refuse_own_source(self._names.known(self._context))
            if self._names.only is not None:
                await session.topic(self._names.only)
            if self._settings.exactly_once:
                return await session.take_over()
            await session.producer.begin_anew()
        return None

    async def write(self, delivery: Delivery) -> None:
        session, target = self._session, self._target
        if session is None or target is None:
            raise TargetUnavailable("the target is not open")
        with as_target_errors():
            topics = await self._topics(session, delivery)
        planned = await asyncio.to_thread(self._plan, delivery, topics)
        try:
            with as_target_errors():
                if self._settings.exactly_once:
                    await session.write_with_positions(planned.parts, delivery.positions)
                else:
                    await session.write(planned.parts)
        except RecordsRefused as error:
            raise self._refusal(delivery, planned, error) from error

    async def forget(self) -> None:
        """Without ``exactly_once`` there is nothing to forget."""
        session = self._session
        if session is None:
            raise TargetUnavailable("the target is not open")
        if self._settings.exactly_once:
            with as_target_errors():
                await session.forget()

    async def check(self) -> Sequence[Check]:
        return await check_target(
            await self._resolved(), self._settings, self._names, self._context
        )

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _resolved(self) -> Target:
        return await asyncio.to_thread(target_of, self._settings)

    async def _topics(self, session: Session, delivery: Delivery) -> dict[str, TargetTopic]:
        """The target of each topic of the source that has records in a delivery."""
        wanted = {changes.source.topic for changes in delivery.changes if len(changes)}
        return {topic: await session.topic(self._names.of(topic)) for topic in sorted(wanted)}

    def _plan(self, delivery: Delivery, topics: Mapping[str, TargetTopic]) -> Plan:
        """What is written; what is known to be refused is, before anything was written."""
        refusals = known_refusals(delivery, topics)
        refusals += [
            refusal
            for number, row in suspects(delivery, topics)
            if (refusal := self._too_large(delivery, topics, number, row)) is not None
        ]
        if refusals:
            raise self._allowed(delivery, refusals)
        now_ms = time.time_ns() // 1_000_000 if self._settings.timestamp == "now" else None
        by_key = self._settings.partitioner == "key"
        return plan(delivery, topics, by_key=by_key, timestamp_ms=now_ms)

    def _too_large(
        self, delivery: Delivery, topics: Mapping[str, TargetTopic], number: int, row: int
    ) -> Refusal | None:
        """Whether a large record is too large, compressed as it will be."""
        assert self._target is not None, "it is open"
        changes = delivery.changes[number]
        target = topics[changes.source.topic]
        form = Form(CODECS[self._target.compression], self._settings.batch_bytes_max)
        data, _ = encode(columns_of([changes.rows.slice(row, 1)]), 0, 1, form)
        if target.bytes_max is None or len(data) <= target.bytes_max:
            return None
        detail = f"{len(data):,} bytes; topic {target.name} takes {target.bytes_max:,} "
        detail += "(max.message.bytes)"
        return Refusal(number, row, "RECORD_TOO_LARGE", detail)

    def _refusal(self, delivery: Delivery, planned: Plan, error: RecordsRefused) -> SyncError:
        refusals = []
        for each in error.refused:
            changes, row = planned.origin(each.part, each.row)
            refusals.append(Refusal(changes, row, each.reason, each.detail))
        if refusals:
            return self._allowed(delivery, refusals)
        assert self._target is not None, "it is open"
        if not self._target.ignore_push_errors:
            return _stops(str(error))
        return BatchRefused(str(error))

    def _allowed(self, delivery: Delivery, refusals: Sequence[Refusal]) -> SyncError:
        """Refused records, where the settings allow to go on without them; else the end."""
        assert self._target is not None, "it is open"
        if self._target.ignore_push_errors:
            return ChangesRefused(refusals)
        return _stops("; ".join(_told(delivery, each) for each in refusals[:_SHOWN_MAX]))


def _told(delivery: Delivery, refusal: Refusal) -> str:
    changes = delivery.changes[refusal.changes]
    offset = changes.rows.column("offset")[refusal.row].as_py()
    of = changes.source
    return f"{of.topic}/{of.partition} at offset {offset}: {refusal.reason}: {refusal.detail}"


def _stops(details: str) -> TargetFailed:
    return TargetFailed(
        f"Kafka refuses {details}; mend the record or the topic's settings, or keep such records "
        'apart: sink.ignore_push_errors = true and errors.policy = "dead-letter"',
        reason="PUSH_REFUSED",
    )


def make(settings: KafkaSettings, context: TaskContext) -> KafkaSink:
    """A sink; see ``SinkKind``."""
    check_settings(settings)
    if settings.exactly_once:
        context.check_sole_owner()
    return KafkaSink(settings, context)
