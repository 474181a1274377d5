"""Who made which subscription, in a table of ``catalogue.DuckDBCatalogue``, and without files."""

from collections.abc import Collection, Mapping

import pyarrow as pa

from cachesvc.store.execution import Tables


class MakerTables(Tables):
    """``makers_port.MakersKept``; see there for the contract."""

    def put(self, makers: Mapping[str, str]) -> None:
        columns = {"subscription": list(makers), "maker": list(makers.values())}
        rows = pa.table(columns, pa.schema([(name, pa.string()) for name in columns]))
        with self._transaction():
            self._run_with("new_makers", rows, "put_makers")
            self._run("delete_lost_makers")

    def all(self) -> dict[str, str]:
        return dict(self._run("list_makers"))


class MemoryMakers:
    """``makers_port.MakersKept`` in a dictionary.

    Args:
        subscriptions: Names of those there are.
    """

    def __init__(self, subscriptions: Collection[str]) -> None:
        self._subscriptions = subscriptions
        self._makers: dict[str, str] = {}

    def put(self, makers: Mapping[str, str]) -> None:
        self._makers = {
            name: maker
            for name, maker in (self._makers | dict(makers)).items()
            if name in self._subscriptions
        }

    def all(self) -> dict[str, str]:
        found = sorted(self._makers.items())
        return {name: maker for name, maker in found if name in self._subscriptions}
