"""What is cached of a partition, as a bar over its offsets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cachesvc.units import show_bytes
from cachesvc.v1.admin_pb2 import Journal, JournalState, Segment
from cachesvc.v1.log_cache_pb2 import GapCause, MiningState, PartitionOffsets, Subscription
from cachesvc.web.words import mood_of, word_of

PIECES_MAX = 200
MARKS_MAX = 40
SCALE = 1_000.0
"""Width of a bar."""
_LEAST = 1.5
"""Of a piece, so that it can be seen."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a bar: offsets ``[begin, end)``.

    Attributes:
        kind: ``segment``, ``journal``, ``backfill`` or ``gap``.
        begin: Its first offset.
        end: The first one behind it.
        records: How many it has or had turned away; None where that is not known.
        bytes: How large it is.
        files: How many there are in it.
        cause: Of a gap, in words.
        x: Where it begins in the bar.
        width: Of it there.
    """

    kind: str
    begin: int
    end: int
    records: int | None = None
    bytes: int = 0
    files: int = 1
    cause: str = ""
    x: float = 0.0
    width: float = 0.0

    @property
    def holes(self) -> int:
        """Offsets in it that have no record."""
        return 0 if self.records is None else max(0, self.end - self.begin - self.records)

    @property
    def title(self) -> str:
        """What it is, for people."""
        name = self.kind if self.files == 1 else f"{self.files:,} {self.kind}s"
        parts = [f"{name}: offsets {self.begin:,} to {self.end:,}"]
        if self.cause:
            parts.append(self.cause)
        if self.records is not None:
            parts += [f"{self.records:,} records", show_bytes(self.bytes)]
        if self.holes:
            parts.append(f"offsets without a record: {self.holes:,}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Mark:
    """Where somebody is.

    Attributes:
        name: Of the subscription.
        offset: The next one that it reads.
        lag: How far that is from the log's end.
        x: Where in the bar.
    """

    name: str
    offset: int
    lag: int
    x: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A partition.

    Attributes:
        told: What the service says of it.
        begin: The bar's first offset.
        end: The first one behind the bar.
        pieces: What is cached, in offset order, and what is being mined of what is missing.
        missing: Ranges between what is cached.
        marks: Where subscriptions are, some of them where they are many.
        marks_left: How many more there are.
        state: What mining of it does.
        mood: How that looks.
    """

    told: PartitionOffsets
    begin: int
    end: int
    pieces: Sequence[Piece]
    missing: Sequence[tuple[int, int]]
    marks: Sequence[Mark]
    marks_left: int
    state: str
    mood: str

    @property
    def lag(self) -> int | None:
        """Offsets that the source has and the log has not; None where its end is not known."""
        if not self.told.HasField("source_high_watermark"):
            return None
        return max(0, self.told.source_high_watermark - self.told.log_end_offset)

    @property
    def holes(self) -> int:
        """Offsets without a record in what is sealed."""
        return sum(piece.holes for piece in self.pieces if piece.kind == "segment")

    @property
    def label(self) -> str:
        """The bar in words."""
        cached = f"partition {self.told.partition}: offsets {self.told.log_start_offset:,} to "
        cached += f"{self.told.log_end_offset:,} are cached"
        missing = f", {len(self.missing)} ranges below are missing" if self.missing else ""
        lost = f", {len(self.told.lost)} are lost" if self.told.lost else ""
        lag = f", {self.lag:,} more are at the source" if self.lag else ""
        return cached + missing + lost + lag


def bar_of(
    told: PartitionOffsets,
    segments: Iterable[Segment],
    journals: Iterable[Journal],
    positions: Mapping[str, int],
) -> Bar:
    """The bar of a partition.

    Args:
        told: What the service says of it.
        segments: Those of its incarnation, in any order.
        journals: Likewise; those that are sealed lie under a segment.
        positions: Offsets by the names of subscriptions.
    """
    pieces = [
        Piece(
            "segment",
            each.base_offset,
            each.end_offset,
            each.record_count + each.reject_count,
            each.bytes,
        )
        for each in segments
    ]
    pieces += [
        Piece("journal", each.base_offset, each.end_offset, each.record_count, each.bytes)
        for each in journals
        if each.state != JournalState.WARM
    ]
    if told.HasField("backfill"):
        pieces.append(Piece("backfill", told.backfill.begin_offset, told.backfill.end_offset))
    pieces += [
        Piece("gap", each.begin_offset, each.end_offset, cause=word_of(GapCause, each.cause))
        for each in told.lost
    ]
    pieces = sorted((each for each in pieces if each.end > each.begin), key=lambda each: each.begin)
    begin = min([told.log_start_offset, *(each.begin for each in pieces)])
    end = max(told.log_end_offset, told.source_high_watermark, *(each.end for each in pieces), 0)
    size = max(1, end - begin)

    def x(offset: int) -> float:
        return round(SCALE * min(max(offset - begin, 0), size) / size, 2)

    placed = [
        replace(each, x=x(each.begin), width=max(_LEAST, round(x(each.end) - x(each.begin), 2)))
        for each in joined(pieces, PIECES_MAX)
    ]
    marks = [
        Mark(name, offset, max(0, told.log_end_offset - offset), x(offset))
        for name, offset in sorted(positions.items(), key=lambda item: (item[1], item[0]))
    ]
    state = told.mining_state
    return Bar(
        told,
        begin,
        end,
        placed,
        missing_of(told),
        marks[:MARKS_MAX],
        max(0, len(marks) - MARKS_MAX),
        word_of(MiningState, state),
        mood_of(state),
    )


def missing_of(told: PartitionOffsets) -> list[tuple[int, int]]:
    """The ranges between what is cached of a partition."""
    ends = [each.end_offset for each in told.older]
    begins = [*(each.begin_offset for each in told.older[1:]), told.log_start_offset]
    return [(end, begin) for end, begin in zip(ends, begins, strict=False) if begin > end]


def joined(pieces: Sequence[Piece], count_max: int) -> list[Piece]:
    """As many pieces at most, by joining neighbours of one kind, about the same number each."""
    if len(pieces) <= count_max:
        return list(pieces)
    together = -(-len(pieces) // (count_max // 2))
    found: list[Piece] = []
    for piece in pieces:
        last = found[-1] if found else None
        if (
            last is None
            or last.kind != piece.kind
            or last.end != piece.begin
            or last.files >= together
        ):
            found.append(piece)
            continue
        found[-1] = replace(
            last,
            end=piece.end,
            records=(last.records or 0) + (piece.records or 0),
            bytes=last.bytes + piece.bytes,
            files=last.files + 1,
        )
    return found[:count_max]


def positions_of(
    subscriptions: Iterable[Subscription], topic: str, incarnation: int
) -> dict[int, dict[str, int]]:
    """Where subscriptions are in a topic, by partition and their names: delivered, else stored."""
    found: dict[int, dict[str, int]] = {}
    for subscription in subscriptions:
        for row in (*subscription.partitions, *subscription.delivering):
            position = row.position
            if position.topic == topic and position.incarnation == incarnation:
                found.setdefault(position.partition, {})[subscription.name] = position.offset
    return found
