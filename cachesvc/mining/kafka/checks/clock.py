"""How far the cluster's clock is from the one here, without writing a record.

A KRaft controller that is asked for its quorum (KIP-836, Kafka 3.3) gives the time now as the time
at which it itself was last up to date. The layouts are those of Kafka's DescribeQuorumRequest.json
and DescribeQuorumResponse.json. Nothing else in Kafka's protocol tells the time.
"""

import time
from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema
from aiokafka.protocol.types import TaggedFields as Tags

from cachesvc.errors import SourceUnreachable
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.links import Channel
from cachesvc.policy.connection_checks import Finding, judge_clock, skipped

DESCRIBE_QUORUM = 55
_VERSION = 1
_METADATA_TOPIC = "__cluster_metadata"
_CLUSTER_AUTHORIZATION_FAILED = 31

_REPLICAS = CompactArray(
    ("replica_id", Int32),
    ("log_end_offset", Int64),
    ("last_fetch_ms", Int64),
    ("last_caught_up_ms", Int64),
    ("tags", Tags),
)


class _DescribeQuorumResponse_v1(Response):  # noqa: N801
    API_KEY = DESCRIBE_QUORUM
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "topics",
            CompactArray(
                ("name", CompactString()),
                (
                    "partitions",
                    CompactArray(
                        ("number", Int32),
                        ("error_code", Int16),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("high_watermark", Int64),
                        ("voters", _REPLICAS),
                        ("observers", _REPLICAS),
                        ("tags", Tags),
                    ),
                ),
                ("tags", Tags),
            ),
        ),
        ("tags", Tags),
    )


class _DescribeQuorumRequest_v1(RequestStruct):  # noqa: N801
    API_KEY = DESCRIBE_QUORUM
    API_VERSION = _VERSION
    RESPONSE_TYPE = _DescribeQuorumResponse_v1
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("name", CompactString()),
                ("partitions", CompactArray(("number", Int32), ("tags", Tags))),
                ("tags", Tags),
            ),
        ),
        ("tags", Tags),
    )


class _QuorumRequest(Request[_DescribeQuorumRequest_v1]):
    API_KEY = DESCRIBE_QUORUM

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class([(_METADATA_TOPIC, [(0, {})], {})], {})


async def check_clock(cluster: Cluster, node: int) -> Finding:
    """Compares the controller's clock with this one.

    Raises:
        SourceUnreachable: The broker does not answer.
    """
    before_s = time.time()
    response = await cluster.send(node, Channel.CONTROL, _QuorumRequest())
    after_s = time.time()
    if response.error_code == _CLUSTER_AUTHORIZATION_FAILED:
        return skipped("only users who may DESCRIBE the cluster are told the time")
    told_ms = _time_of_leader(response)
    if told_ms is None or told_ms <= 0:
        raise SourceUnreachable(f"the controller does not tell the time ({response.error_code})")
    middle_ms = (before_s + after_s) * 500
    return judge_clock(told_ms - middle_ms, (after_s - before_s) * 500)


def _time_of_leader(response: Any) -> int | None:
    if not response.topics:
        return None
    (_, ((_, _, leader, _, _, voters, *_), *_), *_), *_ = response.topics
    told = {replica: caught_up_ms for replica, _, _, caught_up_ms, *_ in voters}
    return told.get(leader)
