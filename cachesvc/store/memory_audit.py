"""Who changed what, without files: a part of ``memory_catalogue.MemoryCatalogue``."""

from collections.abc import Sequence

from cachesvc.store.audit_port import AUDIT_MAX, STARTED, AuditEntry, AuditFilter


class MemoryAudit:
    """``audit_port.Audit`` in a dictionary."""

    def __init__(self) -> None:
        self._entries: dict[int, AuditEntry] = {}

    def put(self, entries: Sequence[AuditEntry]) -> None:
        self._entries.update({entry.number: entry for entry in entries})
        oldest = self.last_number() - AUDIT_MAX
        self._entries = {n: self._entries[n] for n in sorted(self._entries) if n > oldest}

    def list(self, wanted: AuditFilter, limit: int) -> Sequence[AuditEntry]:
        found = [
            entry
            for entry in reversed(self._entries.values())
            if wanted.principal in ("", entry.principal)
            and wanted.call in ("", entry.call)
            and entry.at_ms >= wanted.since_ms
        ]
        return found[:limit]

    def started(self) -> Sequence[AuditEntry]:
        return [entry for entry in self._entries.values() if entry.outcome == STARTED]

    def last_number(self) -> int:
        return max(self._entries, default=0)
