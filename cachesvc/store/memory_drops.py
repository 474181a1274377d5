"""What retention has dropped, without files: a part of ``memory_catalogue.MemoryCatalogue``."""

from collections.abc import Sequence

from cachesvc.store.drops_port import DROPS_MAX, DropRecord


class MemoryDrops:
    """``drops_port.Drops`` in a list."""

    def __init__(self) -> None:
        self._drops: list[DropRecord] = []

    def add(self, drops: Sequence[DropRecord]) -> None:
        self._drops.extend(drops)
        del self._drops[:-DROPS_MAX]

    def list(self, connection: str, topic: str, limit: int) -> Sequence[DropRecord]:
        found = [
            drop
            for drop in reversed(self._drops)
            if connection in ("", drop.connection) and topic in ("", drop.topic)
        ]
        return found[:limit]
