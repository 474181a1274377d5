"""Kafka's Metadata request with leader epochs and topic ids, without creating what it asks for.

aiokafka 0.14 speaks versions up to 5 of it and lets brokers create missing topics. Version 7
(Kafka 2.1) adds the epoch of each partition's leader, version 10 (Kafka 2.8) the id that tells a
topic from a later one of the same name. The layouts are those of Kafka's MetadataRequest.json and
MetadataResponse.json.
"""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import Any

from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v4, MetadataRequest_v5
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    String,
    TaggedFields,
)

from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH

_API_KEY = 3
_VERSION_WITH_EPOCHS = 7
_VERSION_WITH_IDS = 10
# From thousands of partitions on.
_REMEMBERED_BYTES_MIN = 64 << 10


class _Uuid(AbstractType):
    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


class _Remembered(Response):
    """An answer that is not decoded again where the one before was the same.

    All topics are asked for every few seconds, and hardly ever change; decoding them takes ten
    microseconds a partition, while nothing else happens.
    """

    @classmethod
    def decode(cls, data: BytesIO | bytes) -> Any:
        rest = data if isinstance(data, bytes) else data.read()
        kind: Any = cls
        if len(rest) < _REMEMBERED_BYTES_MIN:
            return _decoded(kind, rest)
        return _remembered(kind, rest)


def _decoded(kind: Any, data: bytes) -> Any:
    fields = BytesIO(data)
    return kind(*[field.decode(fields) for field in kind.SCHEMA.fields])


@lru_cache(maxsize=2)
def _remembered(kind: Any, data: bytes) -> Any:
    return _decoded(kind, data)


class _MetadataResponse_v7(_Remembered):  # noqa: N801
    API_KEY = _API_KEY
    API_VERSION = _VERSION_WITH_EPOCHS
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(
                ("node_id", Int32),
                ("host", String("utf-8")),
                ("port", Int32),
                ("rack", String("utf-8")),
            ),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("name", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
            ),
        ),
    )


class _MetadataRequest_v7(RequestStruct):  # noqa: N801
    API_KEY = _API_KEY
    API_VERSION = _VERSION_WITH_EPOCHS
    RESPONSE_TYPE = _MetadataResponse_v7
    SCHEMA = MetadataRequest_v5.SCHEMA


class _MetadataResponse_v10(_Remembered):  # noqa: N801
    API_KEY = _API_KEY
    API_VERSION = _VERSION_WITH_IDS
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString()),
                ("port", Int32),
                ("rack", CompactString()),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString()),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequest_v10(RequestStruct):  # noqa: N801
    API_KEY = _API_KEY
    API_VERSION = _VERSION_WITH_IDS
    RESPONSE_TYPE = _MetadataResponse_v10
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString()), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicMetadataRequest(
    Request[MetadataRequest_v4 | MetadataRequest_v5 | _MetadataRequest_v7 | _MetadataRequest_v10]
):
    """Asks for some topics, or for all with None. Creates none.

    Args:
        topics: Their names.
    """

    API_KEY = _API_KEY

    def __init__(self, topics: Collection[str] | None) -> None:
        self._topics = None if topics is None else list(topics)

    def build(self, request_struct_class: Any) -> Any:
        """The request in a version that the broker speaks."""
        if request_struct_class.API_VERSION < _VERSION_WITH_IDS:
            return request_struct_class(self._topics, False)
        named: list[tuple[uuid.UUID, str, dict[int, bytes]]] | None = None
        if self._topics is not None:
            named = [(uuid.UUID(int=0), topic, {}) for topic in self._topics]
        return request_struct_class(named, False, False, False, {})


@dataclass(frozen=True, slots=True)
class TopicMetadata:
    """A topic as the cluster describes it.

    Attributes:
        error_code: Kafka's; 0 if all is well.
        topic_id: The cluster's id of it; empty if the cluster has no such ids.
        is_internal: Whether it is one of Kafka's own.
        leaders: The leading node per partition; -1 where there is none at the moment.
        leader_epochs: The epoch of each leader; empty where the cluster does not tell them.
        replicas: How many copies each partition has.
        in_sync: How many of them are in sync.
    """

    error_code: int
    topic_id: str
    is_internal: bool
    leaders: Mapping[int, int]
    leader_epochs: Mapping[int, int] = field(default_factory=dict)
    replicas: Mapping[int, int] = field(default_factory=dict)
    in_sync: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metadata:
    """Brokers and topics of a cluster.

    Attributes:
        brokers: Host and port per node.
        topics: By name.
        cluster_id: What the cluster calls itself; empty if it tells no id.
    """

    brokers: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    topics: Mapping[str, TopicMetadata] = field(default_factory=dict)
    cluster_id: str = ""


def parse_metadata(response: Any) -> Metadata:
    """What a response of any version says; it is read once."""
    known: Metadata | None = vars(response).get("metadata")
    if known is None:
        known = vars(response)["metadata"] = _parse(response)
    return known


def _parse(response: Any) -> Metadata:
    with_ids = response.API_VERSION >= _VERSION_WITH_IDS
    with_epochs = response.API_VERSION >= _VERSION_WITH_EPOCHS
    brokers = {node: (host, port) for node, host, port, *_ in response.brokers}
    copies = 4 if with_epochs else 3
    topics = {}
    for error_code, name, *rest in response.topics:
        topic_id = rest.pop(0) if with_ids else uuid.UUID(int=0)
        is_internal, partitions, *_ = rest
        leaders = {number: leader for _, number, leader, *_ in partitions}
        epochs = {number: epoch for _, number, _, epoch, *_ in partitions} if with_epochs else {}
        topics[name] = TopicMetadata(
            error_code,
            str(topic_id) if topic_id.int else "",
            is_internal,
            leaders,
            {number: epoch for number, epoch in epochs.items() if epoch != UNKNOWN_EPOCH},
            {each[1]: len(each[copies]) for each in partitions},
            {each[1]: len(each[copies + 1]) for each in partitions},
        )
    return Metadata(brokers, topics, response.cluster_id or "")
