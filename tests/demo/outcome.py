"""What a run has shown, as values. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.demo.crew import Member
from tests.demo.query import Answer
from tests.demo.service import Sealed


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that the summary tells.

    Attributes:
        topics: What was read.
        partitions: How many they have.
        source_records: Records that a consumer finds there, without the rejected ones.
        source_checksum: Over those.
        rejects: Records that are no JSON objects, which the service keeps apart.
        members: The tasks, all ended.
        service_bytes: What the broker has sent to the service.
        direct_bytes: What it has sent to a consumer that read everything once.
        sealed: The Parquet files.
        answer: What they say.
        seconds: From the start of the service on.
    """

    topics: Sequence[str]
    partitions: int
    source_records: int
    source_checksum: str
    rejects: int
    members: Sequence[Member]
    service_bytes: int
    direct_bytes: int
    sealed: Sealed
    answer: Answer
    seconds: float

    @property
    def equal(self) -> bool:
        """Whether every task got exactly the records that are in Kafka."""
        return all(
            (member.records, member.checksum) == (self.source_records, self.source_checksum)
            for member in self.members
        )

    @property
    def delivered(self) -> int:
        """Records that went to tasks, in all."""
        return sum(member.records for member in self.members)

    @property
    def direct_bytes_all(self) -> int:
        """What the broker would have sent, had each task read by itself."""
        return self.direct_bytes * len(self.members)

    @property
    def ratio(self) -> float:
        """How many times as much that is."""
        return self.direct_bytes_all / self.service_bytes

    def to_json(self, store: Path | None) -> dict[str, Any]:
        """As JSON types; `store` is where it stays, if it does."""
        return {
            "equal": self.equal,
            "topics": list(self.topics),
            "partitions": self.partitions,
            "source": {"records": self.source_records, "checksum": self.source_checksum},
            "rejects": self.rejects,
            "tasks": [
                {
                    "name": member.plan.name,
                    "encoding": "arrow" if member.plan.arrow else "records",
                    "slow": member.plan.slow,
                    "late": member.plan.late,
                    "mined_before": member.mined_before,
                    "records": member.records,
                    "checksum": member.checksum,
                }
                for member in self.members
            ],
            "broker_bytes": {
                "service": self.service_bytes,
                "direct_one_task": self.direct_bytes,
                "direct_all_tasks": self.direct_bytes_all,
                "ratio": round(self.ratio, 2),
            },
            "parquet": {
                "files": self.sealed.files,
                "bytes": self.sealed.bytes,
                "records": self.answer.records,
            },
            "query": {
                "sql": self.answer.sql,
                "rows": [
                    dict(zip(self.answer.columns, map(str, row), strict=True))
                    for row in self.answer.rows
                ],
            },
            "seconds": round(self.seconds, 1),
            "store": None if store is None else str(store),
        }
