"""Where records of a partition lie: in memory, in a journal, in a segment."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cachesvc.model import Segment
from cachesvc.store.frames import Frame
from cachesvc.store.journal import JournalFile, JournalIndex


@dataclass(slots=True)
class JournalEntry:
    """A journal of the partition.

    Attributes:
        path: The file.
        base_offset: Begin of its range.
        end_offset: End of its range; follows the appends while it is active.
        bytes: Size of the file; follows the appends while it is active.
        created_ms: When it was begun.
        index: Its chunks; None until somebody reads a journal that was sealed before this start.
        file: Open for appends; None once it is sealed.
        sealed: Whether its segment is live; it is then only kept for fast reading.
        damaged: Whether a read found damage, so that it has to be sealed as far as it is whole.
        due: Whether somebody wants it sealed now, however little is in it.
    """

    path: Path
    base_offset: int
    end_offset: int
    bytes: int
    created_ms: int
    index: JournalIndex | None = None
    file: JournalFile | None = None
    sealed: bool = False
    damaged: bool = False
    due: bool = False


@dataclass(frozen=True, slots=True)
class InMemory:
    """The frames that begin with the one that covers the offset."""

    place: ClassVar[str] = "memory"
    frames: list[Frame]


@dataclass(frozen=True, slots=True)
class InJournal:
    """The offset lies in this journal."""

    place: ClassVar[str] = "journal"
    journal: JournalEntry


@dataclass(frozen=True, slots=True)
class InSegment:
    """The offset lies in this segment."""

    place: ClassVar[str] = "segment"
    segment: Segment


Location = InMemory | InJournal | InSegment
