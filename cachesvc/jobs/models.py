"""Models: infers which fields the JSON objects of each topic have, from what was mined."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from cachesvc.errors import CacheError
from cachesvc.jobs.job import Progress
from cachesvc.jobs.local_time import load_times
from cachesvc.jobs.model_news import News, news_of
from cachesvc.jobs.model_observer import Observer, first_piece
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import TopicId
from cachesvc.policy.model_refresh import next_refresh_ms
from cachesvc.policy.models import Model, changes, merge
from cachesvc.store.model_port import ModelRecord, ModelSummary, NotedChange

_log = logging.getLogger(__name__)
LOAD_TIME = "02:00"
"""When a connection with many models is refreshed by default, on this machine's clock."""
_SAMPLE_BYTES_MAX = 16 << 20
_WRITE_MODELS = 100


@dataclass(frozen=True, slots=True)
class _Look:
    """What was found in the new records of a topic, and up to where they were looked at."""

    model: Model
    records: int
    offsets: dict[int, int]


class RefreshModels:
    """Merges what new records show into the models of their topics.

    Of each topic at most about ``records_max`` records a refresh are looked at, the newest ones,
    and as many of older ranges that were mined since; what else was mined after the last refresh is
    skipped for good. Nothing is asked of the source.

    Args:
        store: Whose records.
        interval_s: Between refreshes of a connection with few models.
        records_max: Per topic and refresh.
        load_time: HH:MM of a connection, at which it is refreshed once it has many models.
        zone: Whose clock that is; None is this machine's.
    """

    name = "models"
    description = "infer the models of topics from new records"

    def __init__(
        self,
        store: LogStore,
        interval_s: float,
        records_max: int,
        load_time: Callable[[str], str],
        zone: tzinfo | None = None,
    ) -> None:
        self.interval_s = interval_s
        self._store = store
        self._records_max = records_max
        self._load_time = load_time
        self._zone = zone

    async def next_run_ms(self, now_ms: int) -> int:
        """See ``OwnSchedule``."""
        due = await self._due(now_ms)
        return min(due.values(), default=now_ms + int(self.interval_s * 1000))

    async def run(self, progress: Progress) -> Mapping[str, int]:
        """See ``Job.run``: refreshes all connections."""
        return await self._run(self._connections(), progress)

    async def run_due(self, progress: Progress) -> Mapping[str, int]:
        """Refreshes the connections whose time it is."""
        now_ms = time.time_ns() // 1_000_000
        due = await self._due(now_ms)
        return await self._run([name for name, at_ms in due.items() if at_ms <= now_ms], progress)

    def _connections(self) -> list[str]:
        return self._store.logs.connections()

    async def _due(self, now_ms: int) -> dict[str, int]:
        """When each connection has to be refreshed next."""
        counts, refreshes = await self._store.catalogue.call(
            lambda port: (port.models.counts(), port.models.refreshes())
        )
        return {
            name: next_refresh_ms(
                counts.get(name, 0),
                refreshes.get(name),
                now_ms,
                load_times(now_ms, self._load_time(name), self._zone),
                int(self.interval_s * 1000),
            )
            for name in self._connections()
        }

    async def _run(self, connections: Sequence[str], progress: Progress) -> Mapping[str, int]:
        counts = Counter(models_refreshed=0, models_new=0, records_seen=0, changes=0, failures=0)
        progress(0, 0, "looking for new records")
        # What is mined from here on is for the next refresh, if not for this one too.
        started_ms = time.time_ns() // 1_000_000
        work = [(name, await news_of(self._store, name)) for name in connections]
        total = sum(len(topics) for _, topics in work)
        done = 0
        async with Observer() as observer:
            for connection, topics in work:
                refresh = _Refresh(self._store, started_ms, counts)
                for topic, news in topics.items():
                    progress(done, total, f"{connection}/{topic.topic}")
                    found = await self._look(observer, topic, news, counts)
                    if found is not None:
                        await refresh.add(topic, found)
                    done += 1
                await refresh.finish(connection)
        progress(total, total, "")
        return counts

    async def _look(
        self,
        observer: Observer,
        topic: TopicId,
        news: Sequence[News],
        counts: Counter[str],
    ) -> _Look | None:
        """What is new in a topic; None, and counted, where it cannot be read."""
        model, records = Model(), 0
        offsets = {}
        records_max = max(1, self._records_max // len(news))
        bytes_max = _SAMPLE_BYTES_MAX // len(news)
        try:
            for each in news:
                end = each.log.log_end_offset
                for begin, stop in each.spans(end, records_max, bytes_max):
                    found, count = await self._look_at(observer, each.log, begin, stop)
                    model, records = merge(model, found), records + count
                offsets[each.log.id.partition] = end
        except CacheError as error:
            counts["failures"] += 1
            _log.warning(
                "a topic's records cannot be looked at",
                extra={"event": "model_failed", "topic": topic.topic, "error": str(error)},
            )
            return None
        return _Look(model, records, offsets)

    async def _look_at(
        self, observer: Observer, log: PartitionLog, begin: int, stop: int
    ) -> tuple[Model, int]:
        """The model of the records of a partition in ``[begin, stop)``, and how many these are."""
        model, records, at = Model(), 0, begin
        while at < stop:
            covering = self._store.ranges.at(log.id, at) or log
            # Retention may have passed it meanwhile.
            at = max(at, covering.log_start_offset)
            piece = first_piece(await self._store.reader.read(covering, at))
            found, count = await observer.observe(piece, at, stop)
            model, records = merge(model, found), records + count
            at = piece[-1].end_offset if piece else stop
        return model, records


class _Refresh:
    """The refresh of one connection: writes models, some at a time."""

    def __init__(self, store: LogStore, started_ms: int, counts: Counter[str]) -> None:
        self._catalogue = store.catalogue
        self._started_ms = started_ms
        self._counts = counts
        self._models: list[ModelRecord] = []
        self._changes: list[NotedChange] = []

    async def add(self, topic: TopicId, found: _Look) -> None:
        """Merges what was found into the topic's model."""
        before = await self._catalogue.call(lambda port: port.models.get(topic))
        known = before.model if before else Model()
        model = merge(known, found.model)
        if not model.fields:
            return  # tombstones and holes so far
        new = changes(known, model)
        changed = bool(new) or before is None
        root = model.fields[()]
        summary = ModelSummary(
            topic,
            len(model.fields),
            model.truncated,
            found.records + (before.summary.records_seen if before else 0),
            root.first_ms,
            root.last_ms,
            self._started_ms,
            self._started_ms if changed or before is None else before.summary.changed_ms,
        )
        offsets = {**(before.offsets if before else {}), **found.offsets}
        self._models.append(ModelRecord(summary, model, offsets))
        self._changes.extend(NotedChange(topic, self._started_ms, each) for each in new)
        self._counts["models_refreshed"] += 1
        self._counts["models_new"] += before is None
        self._counts["records_seen"] += found.records
        self._counts["changes"] += len(new)
        if len(self._models) >= _WRITE_MODELS:
            await self._write()

    async def finish(self, connection: str) -> None:
        """Writes what is left, and that the connection was refreshed."""
        await self._write()
        await self._catalogue.call(
            lambda port: port.models.note_refresh(connection, self._started_ms)
        )

    async def _write(self) -> None:
        models, self._models = self._models, []
        noted, self._changes = self._changes, []
        await self._catalogue.call(lambda port: port.models.put(models, noted))
