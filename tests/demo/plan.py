"""What each sync task of a run is like. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

_NAMES = ("billing", "search", "warehouse", "audit", "fraud", "reports", "loyalty", "support")

SLOW_S = 14.0
"""Seconds that a slow task takes for everything."""
LATE_SHARE = 0.6
"""How much has to be mined before those join that join late."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one task is like.

    Attributes:
        name: Of the task and of its subscription.
        arrow: Takes Arrow batches as they are; else makes a Python object of each record.
        slow: Is the slower one on purpose.
        late: Joins when most was mined already.
    """

    name: str
    arrow: bool
    slow: bool
    late: bool

    @property
    def kind(self) -> str:
        """What is special about it, in a few words."""
        return "Arrow batches" if self.arrow else "Python records"


def plans(count: int) -> list[Plan]:
    """So many tasks, as different as possible; those that join late come last."""
    kinds = sorted(_kind(number) for number in range(count))
    return [
        Plan(_name(number), arrow, slow, late) for number, (late, slow, arrow) in enumerate(kinds)
    ]


def _kind(number: int) -> tuple[bool, bool, bool]:
    """Whether a task is late, is slow and takes Arrow batches; the first ones differ most."""
    match number:
        case 0:
            return False, False, False
        case 1:
            return True, False, True
        case 2:
            return False, True, False
    return number % 4 == 1, False, number % 2 == 1


def _name(number: int) -> str:
    return _NAMES[number] if number < len(_NAMES) else f"task-{number + 1}"
