"""What operators look at: configuration, connections, readers, topics, files."""

import itertools
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, TypeVar

import grpc

from cachesvc.assignment.assignments import Assignments
from cachesvc.assignment.readers import JoinedReader
from cachesvc.clusters.sources import Source, Sources
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.rejects import read_rejects
from cachesvc.serving.admin import views
from cachesvc.serving.admin.limits import checked_limit, checked_skip
from cachesvc.serving.admin.topics import unknown_topic
from cachesvc.serving.calling import current_seen
from cachesvc.serving.status import errors_as_status
from cachesvc.store.record_schema import FORMAT_VERSION
from cachesvc.v1 import admin_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")
_PAGE = 1_000
# Well below what a client takes in one message by default, which is 4 MiB.
_PAGE_BYTES = 1 << 20
_REJECTS_DEFAULT = 1_000


class OverviewAdmin:
    """The calls of ``cachesvc.v1.Admin`` that change nothing; see the .proto for the contract.

    Args:
        store: The logs.
        sources: The connections.
        assignments: Who mines what.
        config_json: The effective configuration, secrets masked.
        version: Of this software.
    """

    def __init__(
        self,
        store: LogStore,
        sources: Sources,
        assignments: Assignments,
        config_json: str,
        version: str,
    ) -> None:
        self._store = store
        self._sources = sources
        self._assignments = assignments
        self._config_json = config_json
        self._version = version

    async def GetConfig(
        self, request: pb.GetConfigRequest, context: Context
    ) -> pb.GetConfigResponse:
        return pb.GetConfigResponse(
            config_json=self._config_json,
            version=self._version,
            store_format_version=FORMAT_VERSION,
        )

    async def ListReaders(
        self, request: pb.ListReadersRequest, context: Context
    ) -> pb.ListReadersResponse:
        return pb.ListReadersResponse(
            readers=[
                views.reader(reader, self._bytes_per_s(reader))
                for reader in self._assignments.readers()
            ]
        )

    def _bytes_per_s(self, reader: JoinedReader) -> float:
        loads = self._assignments.loads
        return sum(loads.bytes_per_s(assigned.topic) for assigned in reader.assigned.values())

    async def ListTopics(
        self, request: pb.ListTopicsRequest, context: Context
    ) -> pb.ListTopicsResponse:
        async with errors_as_status(context):
            skip = checked_skip(request.skip)
            end = skip + checked_limit(request.limit, 0) if request.limit else None
            seen = current_seen()
            found = [
                (source, name)
                for source in self._chosen(request.connection)
                for name in self._names(source, request.topic, request.search)
                if seen(pb.Topic(connection=source.name, name=name))
            ]
            if request.topic and not found:
                raise unknown_topic(request.topic)
            page = self._topics(found[skip:end])
            return pb.ListTopicsResponse(topics=page, total=len(found))

    def _names(self, source: Source, named: str, search: str) -> list[str]:
        """Of the topics of a connection, or the one that is named, in order."""
        words = search.casefold()
        return sorted(
            name
            for name in {*self._store.logs.topics(source.name), *source.topics}
            if named in ("", name) and words in name.casefold()
        )

    def _topics(self, found: Iterable[tuple[Source, str]]) -> Iterator[pb.Topic]:
        for _, group in itertools.groupby(found, lambda each: each[0].name):
            named = list(group)
            needed = self._assignments.needed(named[0][0])
            for source, name in named:
                topic = self._store.topic_id(source.name, name)
                logs = self._store.logs.of_topic(topic)
                yield views.topic(topic, logs, self._store, needed=name in needed)

    async def ListSegments(
        self, request: pb.ListSegmentsRequest, context: Context
    ) -> AsyncIterator[pb.ListSegmentsResponse]:
        async with errors_as_status(context):
            segments = [
                views.segment(segment)
                for log in self._logs(request.connection, request.topic)
                for segment in log.segments
            ]
            for page in _pages(segments):
                yield pb.ListSegmentsResponse(segments=page)

    async def ListJournals(
        self, request: pb.ListJournalsRequest, context: Context
    ) -> pb.ListJournalsResponse:
        async with errors_as_status(context):
            return pb.ListJournalsResponse(
                journals=[
                    views.journal(log, entry, self._store.path)
                    for log in self._logs(request.connection, request.topic)
                    for entry in log.journals
                ]
            )

    async def ListRejects(
        self, request: pb.ListRejectsRequest, context: Context
    ) -> AsyncIterator[pb.ListRejectsResponse]:
        async with errors_as_status(context):
            left = checked_limit(request.limit, _REJECTS_DEFAULT)
            seen = current_seen()
            for log in self._logs(request.connection, request.topic):
                if not seen(log.id):
                    continue
                async for rows in read_rejects(self._store, log):
                    wanted = rows[:left]
                    left -= len(wanted)
                    for page in _pages_by_size(views.reject(log.id, row) for row in wanted):
                        yield pb.ListRejectsResponse(rejects=page)
                    if not left:
                        return

    def _chosen(self, connection: str) -> list[Source]:
        return [self._sources.resolve(connection)] if connection else self._sources.all()

    def _logs(self, connection: str, topic: str) -> list[PartitionLog]:
        chosen = self._chosen(connection)
        found = [log for source in chosen for log in self._store.in_order(source.name, topic)]
        if topic and not found and not any(topic in source.topics for source in chosen):
            raise unknown_topic(topic)
        return found


def _pages(rows: Iterable[T]) -> Iterable[list[T]]:
    iterator = iter(rows)
    while page := list(itertools.islice(iterator, _PAGE)):
        yield page


def _pages_by_size(rows: Iterable[pb.Reject]) -> Iterable[list[pb.Reject]]:
    """Pages of at most ``_PAGE_BYTES``; a larger row comes alone."""
    page: list[pb.Reject] = []
    size = 0
    for row in rows:
        row_size = row.ByteSize()
        if page and size + row_size > _PAGE_BYTES:
            yield page
            page, size = [], 0
        page.append(row)
        size += row_size
    if page:
        yield page
