"""The catalogue's tables of stores, on DuckDB."""

from collections.abc import Sequence
from dataclasses import astuple

from cachesvc.store.execution import Tables
from cachesvc.store.stores_port import Placement, StoreRecord, StoreTested


class StoresTables(Tables):
    """``stores_port.StoresKept``."""

    def list_made(self) -> list[StoreRecord]:
        return [StoreRecord(*row) for row in self._run("list_stores")]

    def put(self, records: Sequence[StoreRecord]) -> None:
        with self._transaction():
            for record in records:
                self._run("put_store", *astuple(record))

    def delete(self, name: str) -> None:
        with self._transaction():
            self._run("delete_store", name)
            self._run("delete_store_test", name)

    def list_tests(self) -> dict[str, StoreTested]:
        return {name: StoreTested(*row) for name, *row in self._run("list_store_tests")}

    def put_test(self, name: str, tested: StoreTested) -> None:
        self._run("put_store_test", name, *astuple(tested))

    def list_placements(self) -> list[Placement]:
        return [Placement(*row) for row in self._run("list_placements")]

    def place(self, placement: Placement, now_ms: int) -> None:
        with self._transaction():
            if not placement.topic:
                self._run("delete_placements_of_topics", placement.connection)
            self._run("put_placement", *astuple(placement), now_ms)

    def forget_placements(self, connection: str) -> None:
        self._run("delete_placements", connection)
