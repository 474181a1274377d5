"""How long the mining of older ranges lets that of new records go first.

Invariant: while new records take all the time they can get, older ones take at most the share that
is set; while there are none, older ones wait for nothing.
"""


def rest_s(busy_s: float, tail_busy_s: float, elapsed_s: float, share: float) -> float:
    """Seconds to wait after a piece of older work.

    Args:
        busy_s: What the piece took.
        tail_busy_s: Of the time since the piece before, what was spent on new records.
        elapsed_s: The time since the piece before.
        share: Of the time, what older work may take; more than 0, at most 1.
    """
    if elapsed_s <= 0 or share >= 1:
        return 0.0
    pressed = min(1.0, tail_busy_s / elapsed_s / (1 - share))
    return pressed * busy_s * (1 - share) / share
