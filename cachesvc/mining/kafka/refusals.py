"""Brokers that turned this client away are left alone for a while.

A wrong password is wrong for every caller, and brokers and directories count failed logins.
"""

import time
from dataclasses import dataclass, field

from cachesvc.errors import ConnectionUnusable
from cachesvc.mining.backoff import Backoff

_PAUSE_FIRST_S = 1.0
_PAUSE_MAX_S = 30.0


@dataclass(slots=True)
class _Refusal:
    error: ConnectionUnusable
    until_s: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(_PAUSE_FIRST_S, _PAUSE_MAX_S))


class Refusals:
    """The last refusal of each broker, and until when it stands without asking again."""

    def __init__(self) -> None:
        self._refusals: dict[tuple[str, int], _Refusal] = {}

    def check(self, host: str, port: int) -> None:
        """Repeats a refusal while it stands: for 1 s at first, twice as long each time, up to 30 s.

        Raises:
            ConnectionUnusable: As the broker was found to be.
        """
        refusal = self._refusals.get((host, port))
        if refusal is not None and time.monotonic() < refusal.until_s:
            before = refusal.error
            raise ConnectionUnusable(str(before), reason=before.reason, metadata=before.metadata)

    def note(self, host: str, port: int, error: ConnectionUnusable) -> None:
        """Remembers a refusal."""
        refusal = self._refusals.setdefault((host, port), _Refusal(error))
        refusal.error = error
        refusal.until_s = time.monotonic() + refusal.backoff.next()

    def forget(self, host: str, port: int) -> None:
        """The broker let this client in."""
        self._refusals.pop((host, port), None)
