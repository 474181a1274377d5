"""When a connection sends more than the calls explain that were heard on it.

A client that keeps to HTTP/2 has at most as many calls under way as it was told that it may, and
waits for answers to these: what it has sent and nobody has heard of yet is bounded. Who goes on
sending has its calls refused one by one, beneath whoever bounds callers, and each of them costs the
service more than its caller.

Time is an argument: seconds on one clock that never goes back.
"""

CALL_BYTES = 1 << 10
"""Of the frames of a call beside its request: more than they have."""
UNHEARD_BYTES_PER_S = 256 << 10
"""What a connection may have sent of whatever else: answers to pings, windows, calls given up."""
_MARGIN = 1.5
"""Frames, and TLS around them."""
_UNDER_WAY_BYTES = 16 << 20
_DISTRUSTED_BYTES = 4 << 20
"""Less is not worth it: whoever floods connects again, and what a new connection begins before it
is known costs more than refusing what fits into this."""


class Flow:
    """What one connection sends, from the moment that somebody looks at it.

    Args:
        calls_max: Calls that it may have under way.
        received: Bytes that have come over it until now.
        now_s: Now.
        distrusted: Whether others of its address did what none should.
    """

    __slots__ = ("_began_s", "_calls_max", "_distrusted", "_heard", "_largest", "_received")

    def __init__(
        self, calls_max: int, received: int, now_s: float, *, distrusted: bool = False
    ) -> None:
        self._calls_max = calls_max
        self._received = received
        self._began_s = now_s
        self._distrusted = distrusted
        self._heard = 0
        self._largest = 0

    def hear(self, request_bytes: int) -> None:
        """Counts a call that was heard, whatever became of it."""
        self._heard += request_bytes + CALL_BYTES
        self._largest = max(self._largest, request_bytes)

    def is_flood(self, received: int, now_s: float) -> bool:
        """Whether so many bytes, in all, are more than the connection had to send."""
        explained = self._heard * _MARGIN + UNHEARD_BYTES_PER_S * (now_s - self._began_s)
        return received - self._received - explained > self.under_way_max

    @property
    def under_way_max(self) -> float:
        """Bytes of calls that may be sent and not heard yet: as large as those that were heard."""
        if self._distrusted:
            return _DISTRUSTED_BYTES
        largest = max(self._largest + CALL_BYTES, _UNDER_WAY_BYTES / self._calls_max)
        return self._calls_max * largest * _MARGIN
