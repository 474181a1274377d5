"""A batch that is handed out record by record."""

from collections.abc import Iterator
from operator import length_hint

from cachesvc.client.batch import Batch
from cachesvc.client.errors import DamagedBatch
from cachesvc.client.positions import Position
from cachesvc.client.record import Record


class RecordCursor:
    """How far the records of a batch have been handed out.

    The place is read off the list iterator that hands them out, so keeping it costs nothing per
    record. The record handed out last is *in hand*: it counts as dealt with once another is asked
    for.

    Args:
        batch: With at least one record.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self._pieces = batch.pieces()
        self._piece: list[Record] = []
        self._left: Iterator[Record] = iter(())
        self._damaged: DamagedBatch | None = None

    def runs(self) -> Iterator[Iterator[Record]]:
        """Iterators that together give the records not yet handed out.

        May be left at any point and asked for again: the new ones go on there.

        Raises:
            DamagedBatch: The bytes do not decode; so from then on every time.
        """
        if self._damaged is not None:
            raise self._damaged
        yield self._left
        try:
            for piece in self._pieces:
                self._piece, self._left = piece, iter(piece)
                yield self._left
        except DamagedBatch as error:
            self._damaged = error
            raise

    @property
    def in_hand(self) -> Record | None:
        """The record handed out last; None before the first."""
        handed_out = len(self._piece) - length_hint(self._left)
        return self._piece[handed_out - 1] if handed_out else None

    @property
    def covered(self) -> Position | None:
        """The position that covers all records handed out but the one in hand; None if none was."""
        record = self.in_hand
        if record is None:
            return None
        of = record.topic_partition
        return Position(of.topic, of.partition, record.offset, of.incarnation)

    def rest(self) -> Batch:
        """The records not yet handed out, as a batch, perhaps an empty one.

        Raises:
            DamagedBatch: The bytes do not decode.
        """
        record = self.in_hand
        return self.batch if record is None else self.batch.starting_at(record.offset + 1)
