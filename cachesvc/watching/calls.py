"""Which calls the service answers, how they end, and how long they take."""

from collections import Counter
from dataclasses import dataclass, field

from cachesvc.policy.histogram import Histogram

_CALL_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
Method = tuple[str, str]
"""A service's full name and its method's."""


@dataclass(slots=True)
class Calls:
    """Counts calls since the service started. Belongs to one event loop.

    Attributes:
        ended: By method and the name of the status.
        open: Under way.
        took: Seconds of calls whose answer is a single message.
        unknown_callers: Calls of whom nobody knows, by how they were answered: ``at_once``,
            ``kept_back`` as their address had too many, or ``too_many`` to keep them back.
        hung_up: Connections that were ended as they sent calls without waiting for answers.
    """

    ended: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    open: Counter[Method] = field(default_factory=Counter)
    took: dict[Method, Histogram] = field(default_factory=dict)
    unknown_callers: Counter[str] = field(
        default_factory=lambda: Counter(at_once=0, kept_back=0, too_many=0)
    )
    hung_up: int = 0

    def over(self, method: Method, status: str, took_s: float | None) -> None:
        """Counts a call that has ended; ``took_s`` is None for a stream."""
        self.ended[(*method, status)] += 1
        if took_s is not None:
            if method not in self.took:
                self.took[method] = Histogram(_CALL_S)
            self.took[method].add(took_s)
