"""Kafka's Produce request in the versions that brokers from 2.3 to the newest speak.

aiokafka has the layouts up to version 8 and sends 7 at most; version 8 (KIP-467, Kafka 2.4) tells
which records of a batch are refused, and why.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Any

from aiokafka.protocol.api import Request
from aiokafka.protocol.produce import (
    ProduceRequest_v3,
    ProduceRequest_v4,
    ProduceRequest_v5,
    ProduceRequest_v6,
    ProduceRequest_v7,
    ProduceRequest_v8,
)

from cachesvc.mining.kafka.producing.answers import Answer

_API_KEY = 0
_VERSION_WITH_RECORD_ERRORS = 8
_NO_TEXT = struct.pack(">h", -1)
_TEXT_SIZE, _COUNT = struct.Struct(">h"), struct.Struct(">i")
# acks, time to wait, number of topics; number of a partition, size of its batch.
_HEAD, _PARTITION = struct.Struct(">hii"), struct.Struct(">ii")

TopicData = Sequence[tuple[str, Sequence[tuple[int, bytes]]]]
"""Per topic: partition number and one record batch."""


class BatchesRequest(
    Request[
        ProduceRequest_v3
        | ProduceRequest_v4
        | ProduceRequest_v5
        | ProduceRequest_v6
        | ProduceRequest_v7
        | ProduceRequest_v8
    ]
):
    """Hands over one record batch per partition.

    Args:
        acks: Kafka's: 0, 1, or -1 for all in-sync replicas.
        wait_ms: How long the leader may wait for them.
        topics: The batches.
        transactional_id: Of the transaction they belong to.
    """

    API_KEY = _API_KEY

    def __init__(
        self, acks: int, wait_ms: int, topics: TopicData, transactional_id: str | None = None
    ) -> None:
        self._acks, self._wait_ms = acks, wait_ms
        self._topics = topics
        self._transactional_id = transactional_id

    def build(self, request_struct_class: Any) -> Any:
        """The request in a version that the broker speaks, without batches."""
        return request_struct_class(self._transactional_id, self._acks, self._wait_ms, [])

    def pieces(self) -> Iterator[bytes]:
        """See ``InPieces``: batches as they are, in the layout of ProduceRequest.json."""
        transactional_id = self._transactional_id
        begin = _NO_TEXT if transactional_id is None else _text(transactional_id)
        begin += _HEAD.pack(self._acks, self._wait_ms, len(self._topics))
        for topic, batches in self._topics:
            begin += _text(topic) + _COUNT.pack(len(batches))
            for number, batch in batches:
                yield begin + _PARTITION.pack(number, len(batch))
                yield batch
                begin = b""


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _TEXT_SIZE.pack(len(encoded)) + encoded


def parse_answers(response: Any) -> dict[tuple[str, int], Answer]:
    """What a response says of each partition."""
    answers = {}
    for topic, partitions in response.topics:
        for number, error_code, *rest in partitions:
            records: dict[int, str] = {}
            message = ""
            if response.API_VERSION >= _VERSION_WITH_RECORD_ERRORS:
                refused, message = rest[-2], rest[-1] or ""
                records = {place: detail or "" for place, detail in refused or ()}
            answers[topic, number] = Answer(error_code, message, records)
    return answers
