"""How far apart a reader's fetches of few records are.

Every append is a message to every stream, and a message costs its task about 0.3 ms of CPU however
few records it brings. So the more streams there are, the longer records are gathered: up to 20
streams get about 200 messages a second and partition together, and with more of them no record
waits for longer than is noticed in a copy. A fetch that brings much is never followed by a pause.
"""

SPACING_MS = 20
"""Without many streams."""

_STREAMS_PER_STEP = 4
_SPACING_MS_MAX = 100


def fetch_spacing_ms(streams: int) -> int:
    """Milliseconds between the begins of two fetches, for so many streams: 20 to 100, in steps."""
    steps = -(-streams // _STREAMS_PER_STEP)
    return min(max(1, steps) * SPACING_MS, _SPACING_MS_MAX)
