"""What a stream has received, handed out and committed: the arithmetic of its promises.

Three positions per partition, of which each only grows and none lies behind what was received:

- *received* is where a new connection goes on. So the caller sees no record twice within one
  stream, however often the connection is lost.
- *handed out* is what ``commit()`` covers. A record that is still in the caller's hands is not.
- *committed* is what the service has answered for; committing it again costs no call.

Pure: no waiting, no clock.
"""

from cachesvc.client.batch import Batch
from cachesvc.client.errors import DataLoss, PositionNotDelivered
from cachesvc.client.events import Ended, Event, PartitionAdded, Progress, Started
from cachesvc.client.positions import PartitionKey, Position, Positions


class Ledger:
    """The positions of one stream, over all its connections."""

    def __init__(self) -> None:
        self._received: dict[PartitionKey, Position] = {}
        self._handed_out: dict[PartitionKey, Position] = {}
        self._committed: dict[PartitionKey, Position] = {}
        self._end: Positions | None = None

    @property
    def received(self) -> Positions:
        """Where the next connection goes on."""
        return Positions(self._received.values())

    @property
    def end(self) -> Positions | None:
        """Where the stream ends, as its first connection resolved it; None before that."""
        return self._end

    @property
    def handed_out(self) -> Positions:
        """What the caller has been given and has let go of."""
        return Positions(self._handed_out.values())

    def receive(self, event: Event) -> Event | None:
        """Takes note of an event as it arrives.

        Returns:
            What to pass on: the event, without records that were received before; None for
            nothing.

        Raises:
            DataLoss: The service goes on behind the position it was asked to go on at.
            DamagedBatch: The bytes of a batch that has to be trimmed do not decode.
        """
        match event:
            case Batch():
                return self._receive_batch(event)
            case Started():
                if self._end is None:
                    self._end = event.end
                for start in event.positions.values():
                    self._receive_start(start)
            case PartitionAdded():
                known = self._received.get(event.start.key)
                if known is None or event.start.incarnation > known.incarnation:
                    self._add(event.start)
            case Progress():
                for each in event.partitions:
                    _advance_within_incarnation(self._received, each.position)
        return event

    def hand_out(self, event: Event) -> None:
        """Takes note that the caller now has an event, and all of it."""
        match event:
            case Batch():
                self._advance(event.position)
            case Ended():
                for position in event.positions.values():
                    self._advance(position)
            case Progress():
                # Ranges without a record, such as holes at the end, are told in no other way.
                for each in event.partitions:
                    _advance_within_incarnation(self._handed_out, each.position)

    def to_commit(self, wanted: Positions, delivered: Positions) -> Positions:
        """The positions a commit has to send; those already committed are left out.

        Args:
            wanted: What the caller asks for; incarnation 0 means that of the stream.
            delivered: How far a commit may go.

        Raises:
            PositionNotDelivered: It asks for more than it was given.
        """
        sent = []
        for position in wanted.values():
            limit = delivered.get(position.key)
            if limit is None or position.is_after(limit):
                raise _not_delivered(position, limit)
            if not position.incarnation:
                position = Position(*position.key, position.offset, limit.incarnation)  # noqa: PLW2901
            committed = self._committed.get(position.key)
            if committed is None or position.is_after(committed):
                sent.append(position)
        return Positions(sent)

    def committed(self, positions: Positions) -> None:
        """Takes note that the service has stored positions."""
        for position in positions.values():
            known = self._committed.get(position.key)
            if known is None or position.is_after(known):
                self._committed[position.key] = position

    def _receive_batch(self, batch: Batch) -> Batch | None:
        position = batch.position
        known = self._received.get(position.key)
        if known is None:
            of = batch.topic_partition
            self._add(Position(of.topic, of.partition, batch.base_offset, of.incarnation))
        elif not position.is_after(known):
            return None
        elif known.incarnation == position.incarnation and batch.base_offset < known.offset:
            batch = batch.starting_at(known.offset)
        self._received[position.key] = position
        return batch

    def _receive_start(self, start: Position) -> None:
        known = self._received.get(start.key)
        if known is None:
            self._add(start)
        elif start.is_after(known):
            raise DataLoss(
                f"{start.topic}/{start.partition} went on at offset {start.offset} of incarnation "
                f"{start.incarnation} instead of {known.offset} of {known.incarnation}",
                reason="NOT_RESUMED",
                metadata={"topic": start.topic, "partition": str(start.partition)},
            )

    def _add(self, start: Position) -> None:
        self._received[start.key] = start
        self._handed_out.setdefault(start.key, start)

    def _advance(self, position: Position) -> None:
        known = self._handed_out.get(position.key)
        if known is None or position.is_after(known):
            self._handed_out[position.key] = position


def _advance_within_incarnation(positions: dict[PartitionKey, Position], reached: Position) -> None:
    known = positions.get(reached.key)
    if known is not None and known.incarnation == reached.incarnation and reached.is_after(known):
        positions[reached.key] = reached


def _not_delivered(position: Position, limit: Position | None) -> PositionNotDelivered:
    where = f"{position.topic}/{position.partition}"
    has = "does not read it" if limit is None else f"has handed out up to {limit.offset}"
    return PositionNotDelivered(
        f"cannot commit {where} at offset {position.offset}: the stream {has}",
        metadata={"topic": position.topic, "partition": str(position.partition)},
    )
