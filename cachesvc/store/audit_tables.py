"""Who changed what, in a table of ``catalogue.DuckDBCatalogue``."""

from collections.abc import Sequence
from dataclasses import asdict

import pyarrow as pa

from cachesvc.store.audit_port import AUDIT_MAX, STARTED, AuditEntry, AuditFilter
from cachesvc.store.execution import Tables

_ENTRIES = pa.schema(
    [
        ("number", pa.int64()),
        ("at_ms", pa.int64()),
        ("principal", pa.string()),
        ("proof", pa.string()),
        ("credential", pa.string()),
        ("address", pa.string()),
        ("call", pa.string()),
        ("request", pa.string()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("took_ms", pa.int64()),
    ]
)


class AuditTables(Tables):
    """``audit_port.Audit``; see there for the contract."""

    def put(self, entries: Sequence[AuditEntry]) -> None:
        if not entries:
            return
        rows = pa.Table.from_pylist([asdict(entry) for entry in entries], _ENTRIES)
        with self._transaction():
            for statement in ("replace_audit", "add_audit"):
                self._run_with("new_audit", rows, statement)
            self._run("trim_audit", AUDIT_MAX)

    def list(self, wanted: AuditFilter, limit: int) -> Sequence[AuditEntry]:
        rows = self._run("list_audit", wanted.principal, wanted.call, wanted.since_ms, limit)
        return [AuditEntry(*row) for row in rows]

    def started(self) -> Sequence[AuditEntry]:
        return [AuditEntry(*row) for row in self._run("list_started_audit", STARTED)]

    def last_number(self) -> int:
        return int(self._run("last_audit")[0][0])
