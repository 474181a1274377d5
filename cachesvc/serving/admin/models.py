"""Models of topics: looking at them."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from cachesvc.clusters.sources import Sources
from cachesvc.errors import NotFound
from cachesvc.log.log_store import LogStore
from cachesvc.policy.models import ELEMENT, Field, Path, path_text
from cachesvc.serving.admin.topics import check_known
from cachesvc.serving.status import errors_as_status
from cachesvc.store.model_port import ModelRecord, ModelSummary, NotedChange
from cachesvc.v1 import models_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]
_PAGE = 500


class ModelAdmin:
    """The calls of ``cachesvc.v1.Admin`` about models; see the .proto for the contract.

    Args:
        store: Has them in its catalogue.
        sources: The connections.
    """

    def __init__(self, store: LogStore, sources: Sources) -> None:
        self._store = store
        self._sources = sources

    async def ListModels(
        self, request: pb.ListModelsRequest, context: Context
    ) -> AsyncIterator[pb.ListModelsResponse]:
        async with errors_as_status(context):
            named = request.connection
            chosen = [self._sources.resolve(named)] if named else self._sources.all()
            for source in chosen:
                async for page in self._pages(source.name):
                    yield pb.ListModelsResponse(models=[_summary(found) for found in page])

    async def _pages(self, connection: str) -> AsyncIterator[list[ModelSummary]]:
        after = None
        while True:
            page = await self._store.catalogue.call(
                lambda port, after=after: port.models.page(connection, after, _PAGE)  # type: ignore[misc]
            )
            if page:
                yield page
            if len(page) < _PAGE:
                return
            after = page[-1].topic

    async def DescribeModel(
        self, request: pb.DescribeModelRequest, context: Context
    ) -> pb.DescribeModelResponse:
        async with errors_as_status(context):
            connection = self._sources.resolve(request.connection).name
            topic = self._store.topic_id(connection, request.topic)
            record, changes = await self._store.catalogue.call(
                lambda port: (port.models.get(topic), port.models.changes(topic))
            )
            if record is None:
                check_known(self._sources, self._store, connection, request.topic)
                raise NotFound(
                    f"there is no model of topic {request.topic!r}: none of its records were "
                    "looked at yet; `cachesvc jobs run models` does that now",
                    reason="UNKNOWN_MODEL",
                    metadata={"connection": connection, "topic": request.topic},
                )
            return pb.DescribeModelResponse(model=_model(record, changes))


def _model(record: ModelRecord, changes: list[NotedChange]) -> pb.Model:
    return pb.Model(
        summary=_summary(record.summary),
        fields=[_field(path, field) for path, field in sorted(record.model.fields.items())],
        changes=[_change(noted) for noted in changes],
    )


def _summary(found: ModelSummary) -> pb.ModelSummary:
    return pb.ModelSummary(
        connection=found.topic.connection,
        topic=found.topic.topic,
        incarnation=found.topic.incarnation,
        field_count=found.field_count,
        truncated=found.truncated,
        records_seen=found.records_seen,
        first_seen_ms=found.first_ms,
        last_seen_ms=found.last_ms,
        refreshed_ms=found.refreshed_ms,
        changed_ms=found.changed_ms,
    )


def _field(path: Path, field: Field) -> pb.ModelField:
    return pb.ModelField(
        path=path_text(path),
        name=_name(path),
        depth=len(path),
        types=[
            pb.ModelType(
                type=int(kind),  # type: ignore[arg-type]
                first_seen_ms=seen.first_ms,
                last_seen_ms=seen.last_ms,
                example=seen.example,
            )
            for kind, seen in sorted(field.types.items())
        ],
        nullable=field.nullable,
        absent_seen=field.absent,
        first_seen_ms=field.first_ms,
        last_seen_ms=field.last_ms,
        example=field.example,
    )


def _name(path: Path) -> str:
    if not path:
        return "$"
    return "[*]" if path[-1] == ELEMENT else path[-1][1:]


def _change(noted: NotedChange) -> pb.ModelChange:
    change = noted.change
    return pb.ModelChange(
        noted_ms=noted.noted_ms,
        kind=int(change.kind),  # type: ignore[arg-type]
        path=path_text(change.path),
        types=[int(kind) for kind in change.types],  # type: ignore[misc]
        first_seen_ms=change.first_ms,
    )
