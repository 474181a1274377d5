"""What a catalogue keeps of stores, in memory."""

from collections.abc import Sequence
from dataclasses import replace

from cachesvc.store.stores_port import Placement, StoreRecord, StoreTested


class MemoryStores:
    """``stores_port.StoresKept`` in dictionaries."""

    def __init__(self) -> None:
        self._records: dict[str, StoreRecord] = {}
        self._tests: dict[str, StoreTested] = {}
        self._placements: dict[tuple[str, str], Placement] = {}

    def list_made(self) -> list[StoreRecord]:
        return sorted(self._records.values(), key=lambda record: record.name)

    def put(self, records: Sequence[StoreRecord]) -> None:
        for record in records:
            before = self._records.get(record.name, record)
            self._records[record.name] = replace(record, created_ms=before.created_ms)

    def delete(self, name: str) -> None:
        self._records.pop(name, None)
        self._tests.pop(name, None)

    def list_tests(self) -> dict[str, StoreTested]:
        return dict(self._tests)

    def put_test(self, name: str, tested: StoreTested) -> None:
        self._tests[name] = tested

    def list_placements(self) -> list[Placement]:
        return sorted(self._placements.values())

    def place(self, placement: Placement, now_ms: int) -> None:
        if not placement.topic:
            self.forget_placements(placement.connection)
        self._placements[placement.connection, placement.topic] = placement

    def forget_placements(self, connection: str) -> None:
        for key in [key for key in self._placements if key[0] == connection]:
            del self._placements[key]
