"""Damage that was found of late, for those who have to know that a disk loses bits.

What of it is not mended is in the catalogue (``mending``). Here is what was found, mended or not,
as long as somebody may not have looked; a restart forgets it.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from cachesvc.model import PartitionId
from cachesvc.policy.coverage import OffsetRange

_KEPT_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that was damaged, or missing.

    Attributes:
        partition: Whose.
        file: Its path.
        error: What is wrong with it.
        missing: What of it has to be mined again; the rest lies elsewhere.
        found_ms: When it was found.
    """

    partition: PartitionId
    file: str
    error: str
    missing: Sequence[OffsetRange]
    found_ms: int


class Damages:
    """The newest of them. Belongs to one event loop."""

    def __init__(self) -> None:
        self._found: deque[Damage] = deque(maxlen=_KEPT_MAX)

    def note(
        self, partition: PartitionId, file: str, error: object, missing: Sequence[OffsetRange] = ()
    ) -> None:
        """Enters one that was found now."""
        now_ms = time.time_ns() // 1_000_000
        self._found.append(Damage(partition, file, str(error), tuple(missing), now_ms))

    def since(self, begin_ms: int) -> list[Damage]:
        """Those that were found from then on, the oldest first."""
        return [damage for damage in self._found if damage.found_ms >= begin_ms]
