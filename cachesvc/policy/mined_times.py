"""Times of mining, put right where the machine's clock was set.

Retention counts from when something was mined, told by a clock that people and machines set. Two
rules keep an age close to the time that has really passed, and never below it by more than
``JUMP_MS_MIN`` for each time that the clock is set while the service runs:

* *Set forward* by some amount: what was mined by the clock as it was has its time moved along by
  that amount.
* *Set back*: what was mined in the future by then counts as mined now. So everything stays longer
  by no more than the clock was set back, or by its retention once more where that is less.

Forward is told from time that passes by a second clock that nobody sets. It begins anew with the
machine, so what happens to the clock while the service is away counts as time that has passed.
"""

from dataclasses import dataclass

JUMP_MS_MIN = 60_000
"""Less than this is no jump: clocks drift, and are set right by a little all the time."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """Both clocks at one moment.

    Attributes:
        wall_ms: What the machine takes for the time, since the Unix epoch.
        steady_ms: Grows with the time that passes, by nothing else; its zero means nothing.
    """

    wall_ms: int
    steady_ms: int


def put_right(mined_ms: int, earlier: ClockReading, now: ClockReading) -> int:
    """When something was mined, by the wall clock as it goes now.

    Args:
        mined_ms: The same by the wall clock as it was then.
        earlier: The reading before, up to which all times have been put right.
        now: The present.
    """
    by_old_clock_ms = earlier.wall_ms + now.steady_ms - earlier.steady_ms
    jump_ms = now.wall_ms - by_old_clock_ms
    if jump_ms >= JUMP_MS_MIN and mined_ms <= by_old_clock_ms:
        mined_ms += jump_ms
    return min(mined_ms, now.wall_ms)
