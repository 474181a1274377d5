"""What sinks may ask of a task's source: the models of its topics, and which cluster it is."""

import re
from collections.abc import Callable, Sequence

from cachesvc.client import Client, ClientError, NotFound, PartitionOffsets, TopicModel
from cachesvc.sync.config import SourceConfig
from cachesvc.sync.errors import TargetFailed, TargetUnavailable


class SourceModels:
    """Asks the service for the models of all topics of a source.

    Args:
        source: Of the task.
        client: Makes a client that is not open yet.
    """

    def __init__(self, source: SourceConfig, client: Callable[[], Client]) -> None:
        self._source = source
        self._client = client

    async def __call__(self) -> Sequence[TopicModel]:
        """See ``TaskContext.models``."""
        connection = self._source.connection
        try:
            async with self._client() as client:
                topics = await source_topics(client, self._source)
                return [
                    await client.describe_model(topic, connection=connection) for topic in topics
                ]
        except NotFound as error:
            raise TargetFailed(
                f"the columns are to be those of the topic's model, and {error}",
                reason="MODEL_MISSING",
            ) from error
        except ClientError as error:
            words = f"{self._source.service} does not tell the model of the topic: {error}"
            failure = TargetUnavailable if error.retriable else TargetFailed
            raise failure(words, reason=error.reason) from error


class SourceCluster:
    """Asks the service which cluster a source is.

    Args:
        source: Of the task.
        client: Makes a client that is not open yet.
    """

    def __init__(self, source: SourceConfig, client: Callable[[], Client]) -> None:
        self._source = source
        self._client = client

    async def __call__(self) -> str:
        """See ``SourceView.cluster_id``."""
        source = self._source
        async with self._client() as client:
            first = source.topics[0] if source.topics else ""
            return await client.cluster_id(first, connection=source.connection)


async def source_topics(client: Client, source: SourceConfig) -> dict[str, list[PartitionOffsets]]:
    """The topics of a source that the service knows, with their partitions.

    Raises:
        NotFound: It does not know one that is named.
        ClientError: It does not answer.
    """
    found: dict[str, list[PartitionOffsets]] = {}
    for topic in source.topics:
        found[topic] = await client.list_offsets(topic, connection=source.connection)
    if source.topic_expression:
        for each in await client.list_offsets(connection=source.connection):
            if _matches(source.topic_expression, each.topic):
                found.setdefault(each.topic, []).append(each)
    return found


def _matches(expression: str, topic: str) -> bool:
    """As good as the service's RE2 for what both understand."""
    try:
        return re.fullmatch(expression, topic) is not None
    except re.error:
        return True
