"""The bytes of requests about leader epochs."""

from __future__ import annotations

import struct

from cachesvc.mining.kafka.leader_epochs import EpochEndsRequest
from cachesvc.mining.source import SourcePartition

A0, A1 = SourcePartition("a", 0), SourcePartition("a", 1)
KAFKA_2_3 = {1: (0, 11), 23: (0, 3)}
KAFKA_4 = {1: (4, 18), 23: (2, 4)}


def test_asks_where_epochs_end() -> None:
    for versions in (KAFKA_2_3, KAFKA_4):
        request = EpochEndsRequest({A0: (5, 3), A1: (6, 4)}).prepare(versions)

        assert (request.API_KEY, request.API_VERSION) == (23, 2)
        head = b"\x00\x00\x00\x01" + b"\x00\x01a" + b"\x00\x00\x00\x02"
        assert request.encode() == head + struct.pack(">iiiiii", 0, 5, 3, 1, 6, 4)


def test_reads_where_they_end() -> None:
    request = EpochEndsRequest({A0: (5, 3)}).prepare(KAFKA_4)
    data = struct.pack(">ii", 0, 1) + b"\x00\x01a" + struct.pack(">ihiiq", 1, 74, 9, 3, 1_234)

    assert request.RESPONSE_TYPE.decode(data).topics == [("a", [(74, 9, 3, 1_234)])]
