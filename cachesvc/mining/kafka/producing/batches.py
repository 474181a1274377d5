"""What is written, cut into record batches on their way. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from cachesvc.mining.kafka.producing.answers import (
    INVALID_TIMESTAMP,
    Answer,
    Outcome,
    RecordRefused,
    name_of,
)
from cachesvc.mining.kafka.producing.encoding import AnyColumns
from cachesvc.mining.source import SourcePartition

_REQUEST_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """Records for one partition, in their order."""

    partition: SourcePartition
    columns: AnyColumns


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows ``[begin, end)`` of a part, encoded."""

    number: int
    part: Part
    begin: int
    end: int
    sequence: int
    data: bytes


@dataclass(slots=True)
class Work:
    """What is left of a part."""

    number: int
    part: Part
    begin: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing is."""
        return self.begin >= len(self.part.columns)


def in_requests(batches: Sequence[Batch]) -> list[list[Batch]]:
    """Batches for one broker, in requests of bounded size."""
    requests: list[list[Batch]] = []
    size = _REQUEST_BYTES_MAX
    for batch in batches:
        if size >= _REQUEST_BYTES_MAX:
            requests.append([])
            size = 0
        requests[-1].append(batch)
        size += len(batch.data)
    return requests


def refused_records(batch: Batch, answer: Answer) -> list[RecordRefused]:
    """Which records of a batch are refused; none where the broker does not tell."""
    if answer.outcome is Outcome.TOO_LARGE:
        detail = f"{batch.part.partition}: {len(batch.data):,} bytes, more than the topic takes"
        detail += " (max.message.bytes)"
        return [RecordRefused(batch.number, batch.begin, "RECORD_TOO_LARGE", detail)]
    places = answer.records or ({0: ""} if batch.end - batch.begin == 1 else {})
    reason = {INVALID_TIMESTAMP: "INVALID_TIMESTAMP"}.get(answer.error_code, "INVALID_RECORD")
    return [
        RecordRefused(
            batch.number,
            batch.begin + place,
            reason,
            f"{batch.part.partition}: {detail or answer.message or name_of(answer.error_code)}",
        )
        for place, detail in sorted(places.items())
    ]
