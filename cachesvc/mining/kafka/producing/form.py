"""What record batches are written like."""

from dataclasses import dataclass

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
"""Kafka's number for each compression."""


@dataclass(frozen=True, slots=True)
class Form:
    """What all batches of a producer have in common.

    Attributes:
        codec: Kafka's number of the compression.
        bytes_max: Size of a batch before compression; a single record may be larger.
        producer_id: -1 without idempotence.
        producer_epoch: Likewise.
        is_transactional: Whether they belong to a transaction.
    """

    codec: int
    bytes_max: int
    producer_id: int = -1
    producer_epoch: int = -1
    is_transactional: bool = False
