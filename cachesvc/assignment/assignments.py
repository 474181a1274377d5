"""Who mines what: needed topics, and joined readers.

A topic is needed as long as a subscription wants it; whether it is mined then, its mining task
says. Each topic to be mined is given to one reader of its connection; every change of hands raises
the topic's epoch durably before the new reader learns of it, so that whatever the old one still
sends is refused.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from cachesvc.assignment.log_creation import LogCreation
from cachesvc.assignment.mining import Mining
from cachesvc.assignment.mining_tasks import Use
from cachesvc.assignment.planning import Planning
from cachesvc.assignment.readers import Assigned, JoinedReader
from cachesvc.assignment.reports import Reports
from cachesvc.assignment.topic_epochs import TopicEpochs
from cachesvc.assignment.uses import uses_of
from cachesvc.clusters.sources import Source, Sources
from cachesvc.errors import PreconditionFailed, SourceUnreachable
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import MiningState, StartKind, TopicId
from cachesvc.policy.assignment import assign
from cachesvc.policy.mining_task import TopicEvent, report_event
from cachesvc.policy.spacing import fetch_spacing_ms
from cachesvc.subscriptions.subscriptions import Subscriptions

_log = logging.getLogger(__name__)
_NOT_MINED = (MiningState.IDLE, MiningState.STOPPED, MiningState.PAUSED)


class Assignments:
    """Spreads needed topics over readers. Belongs to one event loop; ``run`` has to run.

    Args:
        store: Holds the logs and the epochs.
        sources: What topics there are.
        subscriptions: What topics are wanted.
        reader_timeout_s: A reader not heard of for this long loses its topics; so does one that has
            not reached the brokers for this long, while others do.
        matching: The topics of a connection that a topic expression means.
        mining: Which topics are mined, which are pinned, and how much comes of each.
    """

    def __init__(
        self,
        store: LogStore,
        sources: Sources,
        subscriptions: Callable[[], Subscriptions],
        reader_timeout_s: float,
        matching: Callable[[Source, str], Sequence[str]],
        mining: Mining,
    ) -> None:
        self._store = store
        self._sources = sources
        self._subscriptions = subscriptions
        self._reader_timeout_s = reader_timeout_s
        self._matching = matching
        self._tasks = mining.tasks
        self._pins = mining.pins
        self.blocked = mining.blocked
        self._readers: dict[str, list[JoinedReader]] = {}
        self.epochs = TopicEpochs(store)
        """Under which each topic is appended to."""
        self._log_creation = LogCreation(store, sources, self._tasks.start_of, self._is_over)
        self._planning = Planning(sources, self, reader_timeout_s / 4, self._tasks.look_interval_s)
        self._cut_off_before: set[JoinedReader] = set()
        self.reports = Reports(store, sources, self._log_creation, self.plan_again, mining.blocked)
        self.closing = False
        """Whether the service is about to end, so that readers have to come back later."""
        self.loads = mining.loads
        self.on_silent: Callable[[int], None] = lambda pid: None
        """Called with the process id of a reader of this machine that has gone silent."""
        self.on_needed: Callable[[str], None] = lambda connection: None
        """Called with the name of a connection of which something is to be mined."""
        sources.subscribe(self.plan_again)
        store.backfill.on_change = self.plan_again
        mining.on_change(self.plan_again)

    # What is needed

    def needed(self, source: Source) -> set[str]:
        """Topics of a connection that some subscription wants and the cluster has."""
        return set(self._uses(source, 0))

    def _uses(self, source: Source, now_ms: int) -> dict[str, Use]:
        subscriptions = self._subscriptions().all() if source.mined else []
        return uses_of(source, subscriptions, self._matching, now_ms)

    def plan_again(self) -> None:
        """Has the assignment looked at again soon."""
        self._planning.again()

    # Readers

    def readers(self, connection: str = "") -> list[JoinedReader]:
        """Joined readers of a connection, or of all, in the order in which they joined."""
        return [
            reader
            for name, readers in sorted(self._readers.items())
            if connection in ("", name)
            for reader in readers
        ]

    def join(self, name: str, connection: str, pid: int, host: str = "") -> JoinedReader:
        """Enters a reader; an older one of the same name loses its topics.

        Raises:
            NotFound: There is no such connection.
        """
        source = self._sources.resolve(connection)
        readers = self._readers.setdefault(source.name, [])
        for older in [reader for reader in readers if reader.name == name]:
            self.leave(older)
        now_ms = time.time_ns() // 1_000_000
        reader = JoinedReader(name, source.name, pid, now_ms, time.monotonic(), host)
        readers.append(reader)
        self.plan_again()
        return reader

    def leave(self, reader: JoinedReader) -> None:
        """Takes a reader out; its topics go to others. Idempotent."""
        readers = self._readers.get(reader.connection, [])
        if reader in readers:
            readers.remove(reader)
            self.plan_again()
        reader.assigned = {}
        reader.tell()

    def dismiss(self, connection: str) -> None:
        """Takes the readers of a connection out; they join again, and learn its settings."""
        for reader in list(self._readers.get(connection, ())):
            self.leave(reader)

    def end_all(self) -> None:
        """Takes all readers out, because the service ends."""
        self.closing = True
        for reader in self.readers():
            self.leave(reader)

    def joined(self, reader: JoinedReader) -> bool:
        """Whether the reader still counts."""
        return reader in self._readers.get(reader.connection, [])

    # Planning

    async def run(self) -> None:
        """Plans whenever something has changed, and takes out silent readers, until cancelled."""
        await self._planning.run()

    @property
    def size(self) -> int:
        """See ``Planned``."""
        return len(self._store.logs) + len(self._subscriptions())

    @property
    def waits(self) -> bool:
        """See ``Planned``."""
        return bool(self._store.waiting)

    def tick(self) -> bool:
        """See ``Planned``."""
        self._drop_silent()
        limit_s = time.monotonic() - self._reader_timeout_s
        before = self._cut_off_before
        self._cut_off_before = {each for each in self.readers() if each.cut_off_s < limit_s}
        # Where there is one reader alone, nothing moves whatever it weighs.
        several = any(len(readers) > 1 for readers in self._readers.values())
        return (self.loads.weigh() and several) or self._cut_off_before != before

    async def retry(self, source: Source) -> None:
        """See ``Planned``. Who mines new logs is planned then."""
        waiting = {topic.topic for topic in self._store.waiting.topics(source.name)}
        with contextlib.suppress(SourceUnreachable, PreconditionFailed):  # they go on waiting
            await self.create_logs(source, waiting & self._tasks.to_be_mined(source.name))

    def _drop_silent(self) -> None:
        limit = time.monotonic() - self._reader_timeout_s
        for reader in self.readers():
            if reader.heard_s < limit:
                _log.warning(
                    "a reader was not heard of and loses its topics",
                    extra={"event": "reader_silent", "reader": reader.name, "pid": reader.pid},
                )
                self.leave(reader)
                if not reader.host:
                    self.on_silent(reader.pid)

    async def plan(self, source: Source) -> bool:
        """See ``Planned``."""
        now_ms = time.time_ns() // 1_000_000
        uses = self._uses(source, now_ms)
        self._tasks.look(source.name, uses, now_ms)
        needed = self._tasks.to_be_mined(source.name) & source.topics.keys()
        self._store.waiting.keep(source.name, uses)
        if needed:
            self.on_needed(source.name)
        complete = True
        try:
            await self.create_logs(source, needed)
        except SourceUnreachable as error:
            complete = False
            fields = {"connection": source.name, "error": str(error)}
            _log.warning(
                "new topics cannot be mined yet", extra={"event": "source_unreachable", **fields}
            )
        readers = {reader.name: reader for reader in self._readers.get(source.name, [])}
        allowed = [name for name in readers if source.agent in ("", name)]
        current = {topic: r.name for r in readers.values() for topic in r.assigned}
        weights = {
            topic: self.loads.weight(self._store.topic_id(source.name, topic))
            for topic in sorted(needed)
            if self._log_creation.partitions(source, topic)
        }
        pins, cut_off = self._pins.of(source.name), self._cut_off(source, readers.values())
        target = assign(weights, allowed, current, pins, cut_off)
        before = {name: dict(reader.assigned) for name, reader in readers.items()}
        try:
            await self._hand_over(source, readers, target)
        finally:  # what has changed hands before a failure has to be known too
            for name, reader in readers.items():
                if reader.assigned != before[name]:
                    reader.tell()
        self._space(source, readers.values())
        mined = {self._store.topic_id(source.name, topic) for topic in target}
        self.epochs.keep(source.name, mined)
        self._follow(source, target, now_ms)
        return complete

    def _space(self, source: Source, readers: Iterable[JoinedReader]) -> None:
        """Tells readers how far apart to fetch, by the number of streams there are."""
        streams = sum(
            each.connected and each.record.connection == source.name
            for each in self._subscriptions().all()
        )
        spacing_ms = fetch_spacing_ms(streams)
        for reader in readers:
            if reader.fetch_spacing_ms != spacing_ms:
                reader.fetch_spacing_ms = spacing_ms
                reader.tell()

    def _cut_off(self, source: Source, readers: Iterable[JoinedReader]) -> set[str]:
        """Readers that do not reach the brokers, though these answer the service."""
        if source.error:
            return set()
        limit = time.monotonic() - self._reader_timeout_s
        return {reader.name for reader in readers if reader.cut_off_s < limit}

    async def _hand_over(
        self, source: Source, readers: Mapping[str, JoinedReader], target: Mapping[str, str]
    ) -> None:
        cluster_id = self._store.incarnations.cluster_of(source.name)
        for reader in readers.values():
            for topic, assigned_topic in list(reader.assigned.items()):
                over = assigned_topic.topic != self._store.topic_id(source.name, topic)
                if over or target.get(topic) != reader.name:
                    del reader.assigned[topic]
            if reader.cluster_id != cluster_id:
                # At once, for what it has left is of this cluster.
                reader.cluster_id = cluster_id
                reader.tell()
        incarnations = {
            topic: self._store.incarnations.present(source.name, topic) for topic in target
        }
        await self.epochs.rise(
            [
                incarnation.topic
                for topic, incarnation in incarnations.items()
                if (known := readers[target[topic]].assigned.get(topic)) is None
                or known.topic != incarnation.topic
            ]
        )
        from_earliest = self._tasks.start_of(source.name).kind is StartKind.EARLIEST
        for topic, incarnation in incarnations.items():
            assigned = readers[target[topic]].assigned
            before = assigned.get(topic)
            numbers = self.blocked.allowed(
                incarnation.topic, self._log_creation.partitions(source, topic)
            )
            missing = self._missing(incarnation.topic, numbers)
            attempts = self.blocked.attempts(incarnation.topic, numbers)
            epoch = self.epochs.of(incarnation.topic)
            if epoch is None:
                continue  # its incarnation is over by now
            rest = incarnation.source_id, from_earliest, missing, attempts
            now = Assigned(incarnation.topic, epoch, numbers, *rest)
            if before is None or _differs(before, now):
                assigned[topic] = now

    def _missing(self, topic: TopicId, numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
        incomplete = self._store.ranges.numbers_below(topic)
        wanted = [
            (n, self._store.backfill.wanted(topic.partition(n))) for n in numbers if n in incomplete
        ]
        return tuple((number, missing.end) for number, missing in wanted if missing is not None)

    async def create_logs(self, source: Source, topics: Iterable[str]) -> None:
        """Makes the logs of these topics' partitions, those that are new; see ``LogCreation``."""
        await self._log_creation.create(source, topics)

    def _is_over(self, topic: TopicId) -> None:
        """Nothing is appended to an incarnation of a topic that is over."""
        self.epochs.over(topic)
        self.blocked.over(topic)

    def _follow(self, source: Source, target: Mapping[str, str], now_ms: int) -> None:
        """Tells tasks what readers report, and subscribers why nobody mines."""
        reports: dict[str, tuple[TopicEvent, str]] = {}
        said: dict[str, list[tuple[MiningState, str]]] = {}
        for topic in self._tasks.to_be_mined(source.name):
            waiting = self._store.waiting.of_topic(self._store.topic_id(source.name, topic))
            if topic in target:
                said[topic] = [(MiningState.SOURCE_UNREACHABLE, why) for why in waiting.values()]
                continue
            pin = self._pins.of(source.name).get(topic)
            away = f"reader {pin.reader!r}, which it is pinned to, is away" if pin else ""
            event = TopicEvent.SOURCE_LOST if waiting else TopicEvent.NO_READER
            why = source.error or next(iter(waiting.values()), "") or away or "no reader is there"
            reports[topic] = event, why
        for log in self._store.present(source.name):
            topic = log.id.topic
            if topic not in target:
                why = reports[topic][1] if topic in reports else ""
                state, error = self._tasks.shown(source.name, topic)
                self.reports.note(log.id, None, state, error or why)
                self.reports.note_backfill(log.id, state, error or why)
                continue
            if why := self.blocked.withheld(log.id):
                self.reports.note(log.id, None, MiningState.BLOCKED, why)
            elif log.source.state in _NOT_MINED or _lacked_reader(log):
                self.reports.note(log.id, None, MiningState.STARTING, "")
                self.reports.note_backfill(log.id, MiningState.STARTING, "")
            said.setdefault(topic, []).append((log.source.state, log.source.error))
        for topic, states in said.items():
            event, error = report_event(states)
            reports[topic] = event, error or f"reader {target[topic]!r} has it"
        self._tasks.report(source.name, reports, now_ms)


def _lacked_reader(log: PartitionLog) -> bool:
    """Whether it was waiting for a reader; those say of what they begin with that, and no more."""
    return log.source.state is MiningState.STARTING and bool(log.source.error)


def _differs(before: Assigned, now: Assigned) -> bool:
    """Whether a reader has to learn of another assignment of a topic."""
    known = before.topic, before.epoch, before.partitions, before.missing, before.attempts
    return known != (now.topic, now.epoch, now.partitions, now.missing, now.attempts)
