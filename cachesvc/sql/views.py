"""One consistent view of logs: what they are at one moment, kept for as long as a query needs it.

All logs are looked at within one turn of the event loop, so a view is of one moment across topics
and partitions. Segments and unsealed journals are then linked into the query's directory: files are
only ever appended to or deleted, never changed, so what a view names of them stays, whatever
compaction, retention, sealing and the sweep do meanwhile. So are snapshots. Files of other stores
are copied there.
"""

import asyncio
import difflib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from cachesvc.errors import InvalidRequest, NotFound, PreconditionFailed
from cachesvc.log.locations import JournalEntry
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import LOCAL_STORE, PartitionId, Segment, Snapshot, TopicId
from cachesvc.sql.fetching import Wanted, check_size, fetch
from cachesvc.sql.messages import Cut, JournalPart, LogView, NamedLog, SnapshotEnd
from cachesvc.sql.typed_columns import structure_of
from cachesvc.store.refusals import unreadable

_TRIES = 10
_NAMES_MAX = 5


@dataclass(slots=True)
class _Picture:
    """A log as it was, and which files have to be linked and brought where for that."""

    view: LogView
    links: list[tuple[Path, Path]] = field(default_factory=list)
    fetches: list[Wanted] = field(default_factory=list)


class LogViews:
    """Takes views of a store's logs. Belongs to one event loop.

    Args:
        store: Whose.
        fetch_bytes_max: Bytes that may be brought from other stores for one query.
        newest: Answers the newest snapshot of a partition.
    """

    def __init__(
        self,
        store: LogStore,
        fetch_bytes_max: int,
        newest: Callable[[PartitionId], Snapshot | None] = lambda _: None,
    ) -> None:
        self._store = store
        self._newest = newest
        self._fetch_bytes_max = fetch_bytes_max

    async def take(
        self, named: Sequence[NamedLog], connection: str, directory: Path
    ) -> list[LogView]:
        """A view of logs, in the order of their names.

        Args:
            named: As the query names them.
            connection: Of those that name none; may be empty.
            directory: Where what it needs is linked; belongs to the query.

        Raises:
            NotFound: There is no such log, or no model of it (``UNKNOWN_TOPIC``,
                ``UNKNOWN_MODEL``).
            InvalidRequest: Several connections have a topic of that name.
            PreconditionFailed: There is no snapshot (``SNAPSHOT_UNAVAILABLE``), the store's file
                system cannot link files, too much lies in other stores
                (``QUERY_FETCHES_TOO_MUCH``), or one of them is away.
        """
        topics = [self._topic(each, connection) for each in named]
        structures = [
            await self._structure(topic) if each.typed else ""
            for each, topic in zip(named, topics, strict=True)
        ]
        wanted = list(zip(named, topics, structures, strict=True))
        for _ in range(_TRIES):
            pictures = [
                self._picture(*each, directory / str(number)) for number, each in enumerate(wanted)
            ]
            if await self._bring(pictures):
                return [picture.view for picture in pictures]
        raise PreconditionFailed(
            "files of the log go faster than they can be looked at; try again",
            reason="QUERY_VIEW_GONE",
        )

    async def _bring(self, pictures: Sequence[_Picture]) -> bool:
        """Links and fetches what pictures need; False if something is gone meanwhile."""
        links = [link for picture in pictures for link in picture.links]
        fetches = [each for picture in pictures for each in picture.fetches]
        check_size(fetches, self._fetch_bytes_max)
        if not await asyncio.to_thread(_link, links):
            return False
        given_up = Event()
        try:
            return await asyncio.to_thread(fetch, fetches, given_up)
        except OSError as error:
            raise unreadable(self._store.path, error) from error
        finally:
            given_up.set()

    def _topic(self, named: NamedLog, connection: str) -> TopicId:
        logs = self._store.logs
        wanted = named.connection or connection
        having = [name for name in logs.connections() if logs.has_topic(name, named.topic)]
        if wanted in having:
            return self._store.topic_id(wanted, named.topic)
        if not wanted and len(having) > 1:
            raise InvalidRequest(
                f"several connections have a topic {named.topic!r}: {', '.join(having)}; "
                f"write log({named.topic!r}, connection := {having[0]!r}), or name one for all",
                reason="CONNECTION_REQUIRED",
            )
        if not wanted and having:
            return self._store.topic_id(having[0], named.topic)
        raise self._unknown(named.topic, wanted)

    def _unknown(self, topic: str, connection: str) -> NotFound:
        logs = self._store.logs
        names = [connection] if connection else logs.connections()
        known = sorted({each for name in names for each in logs.topics(name)})
        near = difflib.get_close_matches(topic, known, _NAMES_MAX, cutoff=0.5)
        where = f" of connection {connection!r}" if connection else ""
        if near:
            advice = f"did you mean {', '.join(map(repr, near))}?"
        else:
            advice = f"{len(known)} topics are: `cachesvc topics` lists them"
        return NotFound(
            f"nothing of a topic {topic!r}{where} is cached; {advice}",
            reason="UNKNOWN_TOPIC",
            metadata={"topic": topic, "connection": connection},
        )

    async def _structure(self, topic: TopicId) -> str:
        record = await self._store.catalogue.call(lambda port: port.models.get(topic))
        if record is None:
            raise NotFound(
                f"log_table({topic.topic!r}) has the columns of the topic's model, and there is "
                "none yet; `cachesvc jobs run models` infers it now, and log(…) needs none",
                reason="UNKNOWN_MODEL",
                metadata={"connection": topic.connection, "topic": topic.topic},
            )
        return json.dumps(structure_of(record.model))

    def _picture(
        self, named: NamedLog, topic: TopicId, structure: str, directory: Path
    ) -> _Picture:
        if named.snapshot:
            return self._picture_of_snapshots(named, topic, directory)
        picture = _Picture(LogView(named, topic.connection, "", [], [], structure))
        logs = self._store.in_order(topic.connection, topic.topic)
        for log in logs:
            self._add(picture, log, directory)
        segments = str(directory) if any(log.segments for log in logs) else ""
        picture.view = LogView(
            named,
            topic.connection,
            segments,
            picture.view.journals,
            picture.view.cuts,
            structure,
        )
        return picture

    def _picture_of_snapshots(self, named: NamedLog, topic: TopicId, directory: Path) -> _Picture:
        partitions = [topic.partition(number) for number in self._store.logs.numbers(topic)]
        found = [each for each in map(self._newest, partitions) if each is not None]
        if not found:
            raise PreconditionFailed(
                f"there is no snapshot of {topic.topic!r}; `cachesvc jobs run snapshot` makes "
                "those that snapshot_expression of the connection names",
                reason="SNAPSHOT_UNAVAILABLE",
                metadata={"connection": topic.connection, "topic": topic.topic},
            )
        ends = [
            SnapshotEnd(topic.incarnation, each.partition.partition, each.end_offset)
            for each in found
        ]
        view = LogView(named, topic.connection, str(directory), [], [], "", ends)
        picture = _Picture(view)
        for snapshot in found:
            self._add_file(picture, snapshot.file, _place(directory, snapshot.partition))
        return picture

    def _add_file(self, picture: _Picture, segment: Segment, place: Path) -> None:
        if segment.store == LOCAL_STORE:
            path = self._store.path / segment.path
            picture.links.append((path, place / path.name))
        else:
            file = self._store.stores.file(segment)
            picture.fetches.append(Wanted(file, segment.bytes, place / file.name))

    def _add(self, picture: _Picture, log: PartitionLog, directory: Path) -> None:
        place = _place(directory, log.id)
        for segment in log.segments:
            self._add_file(picture, segment, place)
        if log.segments and log.segments[0].base_offset < log.log_start_offset:
            cut = Cut(log.id.incarnation, log.id.partition, log.log_start_offset)
            picture.view.cuts.append(cut)
        for entry in _unsealed(log):
            link = place / entry.path.name
            picture.links.append((entry.path, link))
            assert entry.index is not None
            pieces = [entry.index.extent(number) for number in range(len(entry.index.chunks))]
            part = JournalPart(str(link), log.id.incarnation, log.id.partition, pieces)
            picture.view.journals.append(part)


def _place(directory: Path, partition: PartitionId) -> Path:
    return directory / f"incarnation={partition.incarnation}/partition={partition.partition}"


def _unsealed(log: PartitionLog) -> list[JournalEntry]:
    """The journals whose records no segment has; the moment between two states counts as sealed."""
    return [
        entry
        for entry in log.journals
        if not entry.sealed
        and entry.index is not None
        and entry.base_offset >= log.sealed_end_offset
    ]


def _link(links: Iterable[tuple[Path, Path]]) -> bool:
    """Links files; False if one is gone meanwhile. Those that are linked already stay. Blocking."""
    made: set[Path] = set()
    for path, link in links:
        if link.parent not in made:
            link.parent.mkdir(parents=True, exist_ok=True)
            made.add(link.parent)
        try:
            os.link(path, link)
        except FileExistsError:
            continue
        except FileNotFoundError:
            return False
        except OSError as error:
            raise PreconditionFailed(
                f"queries need hard links to the files of the store, and {link.parent} cannot have "
                f"them: {error.strerror}",
                reason="QUERY_LINK_FAILED",
            ) from error
    return True
