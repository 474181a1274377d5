"""How far apart messages are that bring little: small fetches, progress of quiet streams.

What a fetch brings is a message to every stream, and a message costs service and task one to two
milliseconds of CPU however few records are in it. So the more streams there are, the longer records
are gathered: up to 30 streams get about 300 messages a second together, and with more of them no
record waits for longer than is noticed in a copy. A fetch that brings much is never followed by a
pause.
"""

SPACING_MS = 20
"""Without many streams."""

_STREAMS_PER_STEP = 6
_SPACING_MS_MAX = 100


def fetch_spacing_ms(streams: int) -> int:
    """Milliseconds between the begins of two fetches, for so many streams: 20 to 100, in steps."""
    steps = -(-streams // _STREAMS_PER_STEP)
    return min(max(1, steps) * SPACING_MS, _SPACING_MS_MAX)


_PROGRESS_PER_S_MAX = 1_000
_PROGRESS_S_MAX = 5.0


def progress_spacing_s(interval_s: float, streams: int) -> float:
    """Seconds between progress events of a quiet stream, for so many streams.

    A message costs the service a tenth of a millisecond. So with many quiet streams they come less
    often than ``interval_s`` says, up to five seconds apart, which still is "every few seconds".
    """
    return max(interval_s, min(streams / _PROGRESS_PER_S_MAX, _PROGRESS_S_MAX))
