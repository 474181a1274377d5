"""Who changed what, as a catalogue keeps it; a part of ``ports.Catalogue``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

AUDIT_MAX = 100_000
"""The newest entries that a catalogue keeps."""
STARTED = "STARTED"
"""The outcome of a call that is under way."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A call that changes something, or would have.

    Attributes:
        number: Rises with every call of a store, from 1.
        at_ms: When it began.
        principal: Who called.
        proof: How it showed that.
        credential: What it showed, for people; never a secret.
        address: Where it called from.
        call: The name of the method.
        request: What was asked for, as JSON, secrets masked.
        outcome: The name of the gRPC status; ``STARTED`` while it is under way.
        reason: Of a refusal; empty without one.
        took_ms: How long it took; None while it is under way, and where nobody knows.
    """

    number: int
    at_ms: int
    principal: str
    proof: str
    credential: str
    address: str
    call: str
    request: str
    outcome: str = STARTED
    reason: str = ""
    took_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are meant; empty texts and 0 mean all.

    Attributes:
        principal: Who called.
        call: The name of the method.
        since_ms: Began then or later.
    """

    principal: str = ""
    call: str = ""
    since_ms: int = 0


class Audit(Protocol):
    """Entries; every method is one transaction, see ``ports``."""

    def put(self, entries: Sequence[AuditEntry]) -> None:
        """Enters these, in place of those with their numbers; the newest ``AUDIT_MAX`` are kept."""

    def list(self, wanted: AuditFilter, limit: int) -> Sequence[AuditEntry]:
        """Those that are wanted, the newest first."""

    def started(self) -> Sequence[AuditEntry]:
        """Those under way, in order."""

    def last_number(self) -> int:
        """The greatest; 0 without any."""
