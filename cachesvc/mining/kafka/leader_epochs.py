"""Kafka's request about leader epochs, which aiokafka lacks.

``EpochEndsRequest`` is Kafka's OffsetForLeaderEpoch in version 2, which brokers from 2.1 to the
newest speak; its layout is that of OffsetForLeaderEpochRequest.json and its response.
"""

from collections import defaultdict
from collections.abc import Mapping

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Int64, Schema, String

from cachesvc.mining.source import SourcePartition

_API_KEY = 23
_API_VERSION = 2


class _EpochEndsResponse_v2(Response):  # noqa: N801
    API_KEY = _API_KEY
    API_VERSION = _API_VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader_epoch", Int32),
                        ("end_offset", Int64),
                    ),
                ),
            ),
        ),
    )


class _EpochEndsRequest_v2(RequestStruct):  # noqa: N801
    API_KEY = _API_KEY
    API_VERSION = _API_VERSION
    RESPONSE_TYPE = _EpochEndsResponse_v2
    SCHEMA = Schema(
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(
                        ("partition", Int32),
                        ("current_leader_epoch", Int32),
                        ("leader_epoch", Int32),
                    ),
                ),
            ),
        ),
    )


class EpochEndsRequest(Request[_EpochEndsRequest_v2]):
    """Asks a leader where epochs end in its log.

    Args:
        asked: Per partition the leader's own epoch, so that no other one answers, and the epoch
            that is asked about.
    """

    API_KEY = _API_KEY

    def __init__(self, asked: Mapping[SourcePartition, tuple[int, int]]) -> None:
        self._by_topic: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for (topic, number), epochs in asked.items():
            self._by_topic[topic].append((number, *epochs))

    def build(self, request_struct_class: type[_EpochEndsRequest_v2]) -> _EpochEndsRequest_v2:
        """The request."""
        return request_struct_class(list(self._by_topic.items()))
