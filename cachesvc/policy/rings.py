"""Figures of many subjects as they were of late, for charts that begin filled.

All subjects are measured at the same moments. A subject of which nothing is put at a moment had 0
in all figures there, so that what is idle costs neither time nor memory.
"""

from array import array
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Ring:
    """The newest figures of a subject, moment by moment, as single-precision numbers.

    Attributes:
        end: The number of the moment behind its last one.
        values: All figures of a moment, then those of the next; without gaps up to ``end``.
    """

    end: int
    values: "array[float]" = field(default_factory=lambda: array("f"))


class Rings(Generic[K]):
    """The newest moments, and what subjects had there.

    Takes 4 bytes for each figure and moment of a subject that was put within these moments, and
    nothing for others.

    Args:
        figures: How many each subject has.
        moments_max: How many moments are kept.
        subjects_max: How many subjects are kept; of others there is nothing until some of these
            were not put for as many moments as are kept.
    """

    def __init__(self, figures: int, moments_max: int, subjects_max: int) -> None:
        self._figures = figures
        self._moments_max = moments_max
        self._subjects_max = subjects_max
        self._moments: deque[int] = deque(maxlen=moments_max)
        self._end = 0
        self._told = 0
        self._rings: dict[K, _Ring] = {}
        self._cleared_at = 0

    def __len__(self) -> int:
        """How many subjects are kept."""
        return len(self._rings)

    def begin(self) -> None:
        """Begins the next moment, which is not told before its end."""
        self._end += 1

    def end(self, at_ms: int) -> None:
        """What was put since ``begin`` was so then."""
        self._moments.append(at_ms)
        self._told = self._end

    def put(self, subject: K, values: Sequence[float]) -> None:
        """What a subject has at the moment that has begun, once a moment."""
        ring = self._rings.get(subject)
        if ring is None:
            if len(self._rings) >= self._subjects_max and not self._clear():
                return
            ring = self._rings[subject] = _Ring(self._end - 1)
        missed = self._end - 1 - ring.end
        if missed > self._moments_max:
            del ring.values[:]
        else:
            ring.values.extend([0.0] * (missed * self._figures))
        ring.values.extend(values)
        ring.end = self._end
        excess = len(ring.values) - (self._moments_max + 1) * self._figures
        if excess > 0:
            del ring.values[:excess]

    def of(self, subject: K, since_ms: int = 0) -> Iterator[tuple[int, tuple[float, ...]]]:
        """Each moment, the oldest first, with what a subject had there.

        Args:
            subject: Whichever; one that was never put had 0 all the time.
            since_ms: Moments before that are left out.
        """
        ring = self._rings.get(subject)
        values: array[float] = array("f") if ring is None else ring.values
        end = self._end if ring is None else ring.end
        number = len(values) // self._figures
        nothing = (0.0,) * self._figures
        oldest = self._told - len(self._moments)
        for moment, at_ms in enumerate(self._moments, oldest):
            if at_ms < since_ms:
                continue
            at = moment - (end - number)
            known = 0 <= at < number
            yield (
                at_ms,
                tuple(values[at * self._figures : (at + 1) * self._figures]) if known else nothing,
            )

    def _clear(self) -> bool:
        """Forgets those that were not put in all the moments; whether there is room then.

        Goes over all subjects, once a moment at most.
        """
        if self._cleared_at != self._end:
            self._cleared_at = self._end
            oldest = self._end - self._moments_max
            for subject in [each for each, ring in self._rings.items() if ring.end <= oldest]:
                del self._rings[subject]
        return len(self._rings) < self._subjects_max
