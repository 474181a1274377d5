"""What a member of a shared subscription has received, handed out and may commit.

Partitions come and go, each time under an epoch of its own, and begin at what is committed. Epochs
are taken note of as the caller is told of them, not as they arrive: what the caller commits before
it was told goes out under the old epoch, which the service refuses if another member has the
partition. Such positions are left out in silence, as nothing is lost: whoever has the partition now
has begun at its stored position.

Pure: no waiting, no clock.
"""

from collections.abc import Iterable

from cachesvc.client.events import Ended, Event, PartitionsAssigned, PartitionsRevoked, Started
from cachesvc.client.ledger import Ledger
from cachesvc.client.positions import PartitionKey, Position, Positions


class SharedLedger(Ledger):
    """The positions of one member, over all its connections."""

    def __init__(self) -> None:
        super().__init__()
        self._epochs: dict[PartitionKey, int] = {}
        self._former: dict[PartitionKey, Position] = {}  # handed out under epochs before
        self.ended = False
        """Whether the caller knows that the stream is complete."""

    def epoch(self, key: PartitionKey) -> int:
        """Under which a partition is committed; 0 for one that is lost."""
        return self._epochs.get(key, 0)

    def receive(self, event: Event) -> Event | None:
        """Takes note of an event as it arrives; see ``Ledger``."""
        match event:
            case Started():
                self._received.clear()
            case PartitionsAssigned():
                self._received.update((each.key, each) for each in event.positions.values())
            case PartitionsRevoked():
                for key in event.positions:
                    self._received.pop(key, None)
            case _:
                return super().receive(event)
        return event

    def hand_out(self, event: Event) -> None:
        """Takes note that the caller now has an event, and all of it."""
        match event:
            case Started():
                for key in list(self._handed_out):
                    self._leave(key)
            case PartitionsAssigned():
                for key, start in event.positions.items():
                    self._leave(key)
                    self._handed_out[key] = self._committed[key] = start
                    self._epochs[key] = event.epochs[key]
            case Ended():
                self.ended = True
                super().hand_out(event)
            case PartitionsRevoked():
                # Beyond the last record only holes were passed.
                for position in event.positions.values():
                    self._advance(position)
            case _:
                super().hand_out(event)

    def to_commit(self, wanted: Positions, delivered: Positions) -> Positions:
        """The positions a commit has to send; those of partitions that are lost are left out.

        Raises:
            PositionNotDelivered: It asks for more than it was ever given.
        """
        return super().to_commit(Positions(self._ours(wanted, delivered)), delivered)

    def lost(self, epochs: dict[PartitionKey, int], keys: Iterable[PartitionKey]) -> None:
        """Takes note that the service has refused partitions under these epochs."""
        for key in keys:
            if self._epochs.get(key, 0) == epochs.get(key, 0):
                self._leave(key)

    def _ours(self, wanted: Positions, delivered: Positions) -> Iterable[Position]:
        for key, position in wanted.items():
            limit = delivered.get(key)
            if limit is not None and not position.is_after(limit):
                yield position
            elif key not in self._former or position.is_after(self._former[key]):
                yield position  # refused, for it was never handed out

    def _leave(self, key: PartitionKey) -> None:
        """What was handed out of a partition is another member's to commit, or comes again."""
        self._epochs.pop(key, None)
        self._committed.pop(key, None)
        reached = self._handed_out.pop(key, None)
        known = self._former.get(key)
        if reached is not None and (known is None or reached.is_after(known)):
            self._former[key] = reached
