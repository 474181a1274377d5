"""Blocked partitions: what one may stop at, what a reader's deaths mean, and when to try again.

A partition is *blocked* where it cannot go on at one record while all others do. Its reader tells
most of that: it stops the partition and stays. What ends the whole reader is told by the reader
after it (``mining.black_box``): a partition at which readers have died in a row, each time within
what the one before had in hand there, is kept from readers. What a reader has in hand need not be
what it dies of, and anybody may kill a reader at any place; so two of them have to have begun
nothing else, and to have died at the same offset. Where that is being tried again, one more death
is enough.

Where the cause may pass, it is tried again by itself, the more seldom the more often that failed.
"""

from dataclasses import dataclass, replace
from enum import Enum

ALONE_DEATHS_MAX = 2
"""So many readers that had begun nothing else may die at one offset."""

# What an append of a reader that looks for the record has at most.
_NEAR_OFFSETS = 64
_FIRST_RETRY_MS = 60_000
_FIRST_RETRY_OF_DEADLY_MS = 300_000
_RETRY_MS_MAX = 6 * 3_600_000
_GROWTH = 4


class BlockReason(Enum):
    """Why a partition is blocked; the words of ``cachesvc.v1.Blocked.reason``."""

    NOT_AN_OBJECT = "NOT_AN_OBJECT"
    MALFORMED_JSON = "MALFORMED_JSON"
    INVALID_UTF8 = "INVALID_UTF8"
    NESTED_TOO_DEEP = "NESTED_TOO_DEEP"
    TOO_LARGE = "TOO_LARGE"
    UNDECODABLE = "UNDECODABLE"
    APPEND_REFUSED = "APPEND_REFUSED"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    READER_DIED = "READER_DIED"

    @property
    def may_pass(self) -> bool:
        """Whether it may succeed another time, with nothing changed by anybody."""
        return self in _MAY_PASS


_MAY_PASS = frozenset(
    {
        BlockReason.UNDECODABLE,
        BlockReason.APPEND_REFUSED,
        BlockReason.OUT_OF_MEMORY,
        BlockReason.READER_DIED,
    }
)


@dataclass(frozen=True, slots=True)
class Blockage:
    """What a partition has stopped at.

    Attributes:
        reason: Why.
        offset: Of the record, or where what cannot be decoded begins; -1 for wherever the source
            begins.
        bytes: Size of the record, or of what was fetched from there on; 0 where nobody knows.
        detail: For people.
    """

    reason: BlockReason
    offset: int
    bytes: int
    detail: str

    def told(self, topic: str, partition: int) -> str:
        """All of it in a sentence."""
        size = f" ({self.bytes:,} bytes)" if self.bytes else ""
        return (
            f"PARTITION_BLOCKED: mining of {topic}, partition {partition}, stops at offset"
            f" {self.offset}{size}: {self.reason.value}: {self.detail}"
        )


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is known of a partition that is blocked, or at which readers have died.

    Attributes:
        blockage: What it stopped at, or where readers have died.
        blocked: Whether it is blocked.
        since_ms: Since when it is what it is.
        deaths: How many readers in a row have died at this place.
        alone: How many of them, the last ones, had begun nothing else and died at its very offset.
        tries: How often it was tried again by itself.
        retry_ms: When that happens the next time; 0 for never.
        end: Where that ends at which readers have died; 0 where nobody knows.
    """

    blockage: Blockage
    blocked: bool
    since_ms: int
    deaths: int = 0
    tries: int = 0
    retry_ms: int = 0
    end: int = 0
    alone: int = 0

    @property
    def last_offset(self) -> int:
        """Behind it a partition is over its trouble."""
        return max(self.blockage.offset, self.end - 1)

    @property
    def withheld(self) -> bool:
        """Whether no reader is to have the partition."""
        return self.blocked and self.blockage.reason is BlockReason.READER_DIED


def after_death(
    before: Trouble | None, place: tuple[int, int], size: int, now_ms: int, *, alone: bool
) -> Trouble:
    """What a reader's death means for a partition that it was working on.

    Args:
        before: What was known of the partition.
        place: Where what the reader had in hand began, and ended; 0 where nobody knows the end.
        size: Bytes that it had in hand; 0 where nobody knows.
        now_ms: The present.
        alone: Whether the reader had begun nothing else.
    """
    offset, end = place
    # A reader that knows of a death goes on in smaller appends, so it may have come further.
    same = (
        before is not None
        and before.deaths > 0
        and before.blockage.offset <= offset <= before.last_offset
    )
    deaths, alone_deaths, tries = 1, int(alone), 0
    if same and before is not None:
        # Where it had come on well, readers may die of something else.
        deaths = before.deaths + (offset <= before.blockage.offset + _NEAR_OFFSETS)
        if alone and offset == before.blockage.offset:
            alone_deaths += before.alone
        tries = before.tries
    blocked = alone_deaths >= ALONE_DEATHS_MAX or tries > 0
    detail = "readers that come here die; the log of the service, or of its host, tells of what"
    blockage = Blockage(BlockReason.READER_DIED, offset, size, detail)
    after = Trouble(blockage, blocked, now_ms, deaths, tries, end=end, alone=alone_deaths)
    return scheduled(after, now_ms) if blocked else after


def after_report(before: Trouble | None, blockage: Blockage, now_ms: int) -> Trouble:
    """What a reader's word means that it has stopped a partition."""
    if before is not None and before.blocked and before.blockage == blockage and before.retry_ms:
        return before
    same = before is not None and before.blockage.offset == blockage.offset
    tries = before.tries if same and before is not None else 0
    since_ms = before.since_ms if same and before is not None and before.blocked else now_ms
    return scheduled(Trouble(blockage, True, since_ms, 0, tries), now_ms)


def scheduled(trouble: Trouble, now_ms: int) -> Trouble:
    """A blocked partition with the time of the next try."""
    reason = trouble.blockage.reason
    if not reason.may_pass:
        return replace(trouble, retry_ms=0)
    deadly = reason is BlockReason.READER_DIED
    first_ms = _FIRST_RETRY_OF_DEADLY_MS if deadly else _FIRST_RETRY_MS
    wait_ms = min(first_ms * _GROWTH ** min(trouble.tries, 10), _RETRY_MS_MAX)
    return replace(trouble, retry_ms=now_ms + wait_ms)


def tried(trouble: Trouble, now_ms: int) -> Trouble:
    """A blocked partition that a reader gets to try once more; one death blocks it again."""
    return replace(trouble, blocked=False, since_ms=now_ms, tries=trouble.tries + 1, retry_ms=0)
