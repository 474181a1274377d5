"""What retention has dropped, in a table of ``catalogue.DuckDBCatalogue``."""

from collections.abc import Sequence

from cachesvc.store.drops_port import DROPS_MAX, DropCause, DropRecord
from cachesvc.store.execution import Tables


class DropTables(Tables):
    """``drops_port.Drops``; see there for the contract."""

    def add(self, drops: Sequence[DropRecord]) -> None:
        with self._transaction():
            for drop in drops:
                self._run(
                    "add_drop",
                    drop.at_ms,
                    drop.connection,
                    drop.topic,
                    drop.cause.value,
                    drop.store,
                    drop.segments,
                    drop.records,
                    drop.bytes,
                    drop.detail,
                )
            self._run("trim_drops", DROPS_MAX)

    def list(self, connection: str, topic: str, limit: int) -> Sequence[DropRecord]:
        return [
            DropRecord(at_ms, of, name, DropCause(cause), *rest)
            for at_ms, of, name, cause, *rest in self._run("list_drops", connection, topic, limit)
        ]
