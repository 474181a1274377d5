"""Records of a topic, as they are cached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.responses import Response

from cachesvc.units import parse_time_ms, printable
from cachesvc.v1.admin_pb2 import CachedRecord, ListRecordsRequest, ListRecordsResponse
from cachesvc.v1.log_cache_pb2 import TimestampType
from cachesvc.web.pages.topic import tabs_of, topic_of
from cachesvc.web.visit import Visit
from cachesvc.web.words import word_of

RECORDS = 50
_SHORT = 140
_PARTITION_MAX = 2**31 - 1
_OFFSET_MAX = 2**63 - 1
_STARTS = ("newest", "offset", "time")


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A record.

    Attributes:
        offset: Its identity.
        time_ms: Of it; -1 without.
        time_type: Who set that.
        key: As text; None without.
        value: As it is read best; None for a tombstone.
        short: The value in one line.
        value_bytes: How long it is.
        is_cut: Whether less of it is here.
        headers: Names and texts; None where one has no value.
    """

    offset: int
    time_ms: int
    time_type: str
    key: str | None
    value: str | None
    short: str
    value_bytes: int
    is_cut: bool
    headers: Sequence[tuple[str, str | None]]


def record_row(found: CachedRecord) -> RecordRow:
    """The row of a record."""
    record = found.record
    value = pretty(record.value) if record.HasField("value") else None
    short = "" if value is None else printable(text_of(record.value[: 4 * _SHORT]))
    return RecordRow(
        record.offset,
        record.timestamp_ms,
        word_of(TimestampType, record.timestamp_type),
        text_of(record.key) if record.HasField("key") else None,
        value,
        short if len(short) <= _SHORT else f"{short[: _SHORT - 1]}…",
        found.value_bytes,
        found.value_bytes > len(record.value),
        [
            (header.key, text_of(header.value) if header.HasField("value") else None)
            for header in record.headers
        ],
    )


def pretty(value: bytes) -> str:
    """JSON over several lines; anything else as text."""
    try:
        return msgspec.json.format(value.decode(), indent=2)
    except (UnicodeDecodeError, msgspec.DecodeError):
        return text_of(value)


def text_of(data: bytes) -> str:
    """Bytes as text; those that are none of UTF-8 escaped."""
    return data.decode(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records somebody wants to see.

    Attributes:
        partition: Of which partition.
        start: ``newest``, ``offset`` or ``time``.
        at: The offset, or the time, as it was written.
        wrong: What is wrong with that; empty if nothing is.
    """

    partition: int
    start: str
    at: str
    wrong: str = ""

    def request(self, connection: str, topic: str) -> ListRecordsRequest:
        """The call for it."""
        request = ListRecordsRequest(
            connection=connection, topic=topic, partition=self.partition, limit=RECORDS
        )
        if self.wrong:
            return request
        if self.start == "offset":
            request.offset = int(self.at)
        elif self.start == "time":
            request.timestamp_ms = parse_time_ms(self.at)
        return request


def wanted_of(fields: Mapping[str, str]) -> Wanted:
    """What the query of an address wants."""
    text = fields.get("partition", "")
    partition = min(int(text), _PARTITION_MAX) if text.isascii() and text.isdigit() else 0
    start = fields.get("from", _STARTS[0])
    at = fields.get("at", "").strip()
    if start == "offset":
        is_offset = at.isascii() and at.isdigit() and int(at) <= _OFFSET_MAX
        return Wanted(partition, start, at, "" if is_offset else "give an offset: a number")
    if start == "time":
        try:
            in_range = 0 <= parse_time_ms(at) <= _OFFSET_MAX
        except (ValueError, OverflowError):
            in_range = False
        wrong = "give a time, such as 2026-11-30T12:00, or milliseconds since 1970"
        return Wanted(partition, start, at, "" if in_range else wrong)
    return Wanted(partition, _STARTS[0], "")


def around(answer: ListRecordsResponse) -> tuple[int | None, int | None]:
    """Offsets to ask for the records before and behind an answer; None where there are none."""
    first = answer.records[0].record.offset if answer.records else answer.log_end_offset
    before = max(answer.first_offset, first - RECORDS) if first > answer.first_offset else None
    behind = answer.next_offset if answer.next_offset < answer.log_end_offset else None
    return before, behind


async def show(visit: Visit) -> Response:
    """The page."""
    topic = await topic_of(visit)
    wanted = wanted_of(visit.asked.fields)
    part = await visit.attempt(wanted.request(topic.connection, topic.name))
    answer: Any = part.answer
    before, behind = (None, None) if answer is None else around(answer)
    return visit.render(
        "topic_records.html",
        topic=topic,
        tabs=tabs_of(topic),
        wanted=wanted,
        starts=_STARTS,
        part=part,
        rows=[] if answer is None else [record_row(each) for each in answer.records],
        before=before,
        behind=behind,
    )
