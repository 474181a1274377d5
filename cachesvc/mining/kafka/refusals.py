"""Brokers that turned this client away, or did not answer, are left alone for a while.

A wrong password is wrong for every caller, and brokers and directories count failed logins. A
broker that is silent takes its time limit from everybody who asks it.
"""

import time
from dataclasses import dataclass

from cachesvc.backoff import Backoff
from cachesvc.errors import SourceUnreachable


@dataclass(slots=True)
class _Failure:
    error: SourceUnreachable
    backoff: Backoff
    until_s: float = 0.0


class LeftAlone:
    """The last failure of each broker, and until when it stands without asking again.

    Args:
        pause_first_s: How long a first failure stands; twice as long each time after that.
        pause_max_s: No failure stands longer.
    """

    def __init__(self, pause_first_s: float, pause_max_s: float) -> None:
        self._pauses = pause_first_s, pause_max_s
        self._failures: dict[tuple[str, int], _Failure] = {}

    def check(self, host: str, port: int) -> None:
        """Repeats a failure while it stands.

        Raises:
            SourceUnreachable: As it was noted, of the same kind.
        """
        failure = self._failures.get((host, port))
        if failure is not None and time.monotonic() < failure.until_s:
            before = failure.error
            raise type(before)(str(before), reason=before.reason, metadata=before.metadata)

    def last(self, host: str, port: int) -> SourceUnreachable | None:
        """How a broker failed the last time; None if that is over."""
        failure = self._failures.get((host, port))
        return failure.error if failure is not None else None

    def note(self, host: str, port: int, error: SourceUnreachable) -> None:
        """Remembers a failure."""
        failure = self._failures.setdefault((host, port), _Failure(error, Backoff(*self._pauses)))
        failure.error = error
        failure.until_s = time.monotonic() + failure.backoff.next()

    def forget(self, host: str, port: int) -> None:
        """The broker answered."""
        self._failures.pop((host, port), None)
