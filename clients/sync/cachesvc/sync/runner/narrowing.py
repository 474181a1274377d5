"""What is left of a delivery that was refused, or written in part. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cachesvc.client import Position, Positions
from cachesvc.sync.errors import Refusal
from cachesvc.sync.runner.pieces import Piece
from cachesvc.sync.sink import Delivery


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Pieces that are delivered at once.

    Attributes:
        pieces: Not empty.
    """

    pieces: Sequence[Piece]

    @property
    def row_count(self) -> int:
        """Number of changes."""
        return sum(map(len, self.pieces))

    @property
    def delivery(self) -> Delivery:
        """As a sink gets it."""
        changes = [piece.changes for piece in self.pieces]
        return Delivery(changes, _furthest(each.position for each in changes))


def _furthest(positions: Iterable[Position]) -> Positions:
    """The last one of each partition, which need not have come last: what comes twice goes back."""
    reached: dict[tuple[str, int], Position] = {}
    for position in positions:
        known = reached.get(position.key)
        if known is None or position.is_after(known):
            reached[position.key] = position
    return Positions(reached.values())


def halves(part: Part) -> tuple[Part, Part]:
    """Two parts in order, of about half of the rows each; of one with at least two rows."""
    left = part.row_count // 2
    first: list[Piece] = []
    last: list[Piece] = []
    for piece in part.pieces:
        if last or not left:
            last.append(piece)
        elif len(piece) <= left:
            first.append(piece)
            left -= len(piece)
        else:
            head, tail = _cut_exactly(piece, left)
            first.append(head)
            last.append(tail)
    return Part(first), Part(last)


def _cut_exactly(piece: Piece, row: int) -> tuple[Piece, Piece]:
    """At a row, perhaps between rows of one offset: the first position is that offset then."""
    changes = piece.changes
    head, tail = changes.slice(0, row), changes.slice(row, len(changes))
    border = head.next_position
    return (
        Piece(head, [each for each in piece.refused if each.offset < border], piece.original),
        Piece(tail, [each for each in piece.refused if each.offset >= border], piece.original),
    )


def without(part: Part, refusals: Iterable[Refusal]) -> Part:
    """The part without the rows that were refused; its positions stay what they are."""
    refused: defaultdict[int, set[int]] = defaultdict(set)
    for refusal in refusals:
        refused[refusal.changes].add(refusal.row)
    return Part(
        [
            _without_rows(piece, refused[number]) if number in refused else piece
            for number, piece in enumerate(part.pieces)
        ]
    )


def _without_rows(piece: Piece, rows: set[int]) -> Piece:
    kept = np.ones(len(piece), bool)
    kept[list(rows)] = False
    changes = piece.changes
    return Piece(
        changes.with_rows(changes.rows.filter(pa.array(kept))), piece.refused, piece.original
    )


def behind(part: Part, positions: Positions) -> Part | None:
    """What of a part lies behind positions that the target has; None if nothing does.

    What comes twice is left once: a task that lost a partition and has it again reads again what
    still waits to be written.
    """
    reached = dict(positions)
    pieces = []
    for piece in part.pieces:
        position = piece.changes.position
        left = _behind(piece, reached.get(position.key))
        if left is not None:
            pieces.append(left)
            reached[position.key] = position
    return Part(pieces) if pieces else None


def _behind(piece: Piece, reached: Position | None) -> Piece | None:
    changes = piece.changes
    if reached is None or reached.incarnation < changes.source.incarnation:
        return piece
    if reached.incarnation > changes.source.incarnation or not changes.position.is_after(reached):
        return None
    begin = int(changes.rows.column("offset").to_numpy().searchsorted(reached.offset))
    if not begin:
        return piece
    left = changes.with_rows(changes.rows.slice(begin))
    return Piece(left, [r for r in piece.refused if r.offset >= reached.offset], piece.original)


def ahead(positions: Positions, moved: Positions) -> list[Position]:
    """Those of some positions that lie behind the ones that are known."""
    return [
        position
        for key, position in moved.items()
        if key not in positions or position.is_after(positions[key])
    ]


def fell_back(reached: Positions, positions: Positions) -> Positions:
    """Where a target is in partitions of which it had more."""
    return Positions(
        positions[key]
        for key, position in reached.items()
        if key in positions and position.is_after(positions[key])
    )


def went_back(confirmed: Positions, positions: Positions) -> Position | None:
    """The first position that a target had confirmed and has no more; None if it has them all."""
    for position in confirmed.values():
        reached = positions.get(position.key)
        if reached is None or position.is_after(reached):
            return position
    return None
