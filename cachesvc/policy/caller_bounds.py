"""How much of the service one caller may have, and when it may try again.

Invariant: over any time t a caller makes at most ``burst + rate * t`` calls, and so for bytes, but
for what one message is larger than what is left: that is owed, and has to be waited for.

Time is an argument: seconds on one clock that never goes back.
"""

from dataclasses import dataclass, replace

_BURST_S = 1.0
"""A caller that was quiet may have so many seconds' worth at once."""
_DEBT_S_MAX = 5.0
"""Who owes more than so many seconds' worth of bytes begins nothing new."""
HOLD_S_MAX = 10.0
"""No answer is kept back for longer."""
_CALL_BYTES = 64 << 10
"""A request counts as a call for each so many bytes that it begins."""
_STREAM_RETRY_S = 5.0
_SUBSCRIPTION_RETRY_S = 60.0


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """What a caller may have; None: any.

    Attributes:
        streams_max: Open at a time.
        calls_per_s_max: Calls of any kind that begin; a large request counts as several.
        bytes_per_s_max: Sent to it and by it, messages alone.
        subscriptions_max: That it has made and that are there.
        request_bytes_max: Of a request.
    """

    streams_max: int
    calls_per_s_max: float
    bytes_per_s_max: int | None
    subscriptions_max: int
    request_bytes_max: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a caller gets nothing for now.

    Attributes:
        limit: The name of the limit, as in the settings.
        allowed: What it allows.
        retry_after_s: When trying again is of use.
        hold_s: For how long to keep it back.
    """

    limit: str
    allowed: float
    retry_after_s: float
    hold_s: float = 0.0


class TokenBucket:
    """An amount that refills at a rate up to a burst; it begins full.

    Args:
        per_s: The rate.
        burst: The most that it holds.
    """

    __slots__ = ("_burst", "_left", "_per_s", "_since_s")

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._since_s: float | None = None

    def take(self, amount: float, now_s: float) -> float:
        """Takes an amount where there is one at least; returns 0, or the seconds until there is."""
        self._refill(now_s)
        if self._left >= 1:
            self._left -= amount
            return 0.0
        return (1 - self._left) / self._per_s

    def spend(self, amount: float, now_s: float) -> float:
        """Takes an amount, whether it is there or not; returns the seconds until none is owed."""
        self._refill(now_s)
        self._left -= amount
        return self.owed_s(now_s)

    def owed_s(self, now_s: float) -> float:
        """Seconds until nothing is owed."""
        self._refill(now_s)
        return max(0.0, -self._left / self._per_s)

    def is_full(self, now_s: float) -> bool:
        """Whether nothing is remembered of who took from it."""
        self._refill(now_s)
        return self._left >= self._burst

    def _refill(self, now_s: float) -> None:
        if self._since_s is not None:
            passed_s = max(0.0, now_s - self._since_s)
            self._left = min(self._burst, self._left + passed_s * self._per_s)
        self._since_s = now_s


class CallerUse:
    """What one caller has now.

    Args:
        limits: What it may have.
    """

    __slots__ = ("_bytes", "_calls", "_limits", "_refusals", "held", "streams")

    def __init__(self, limits: CallerLimits) -> None:
        rate, size = limits.calls_per_s_max, limits.bytes_per_s_max
        self._limits = limits
        self._calls = TokenBucket(rate, max(1.0, rate * _BURST_S))
        self._refusals = TokenBucket(rate, max(1.0, rate * _BURST_S))
        self._bytes = None if size is None else TokenBucket(size, size * _BURST_S)
        self.streams = 0
        """Open now."""
        self.held = 0
        """Refused calls that are not answered yet."""

    def begin(self, request_bytes: int, now_s: float, *, streams: bool) -> Refusal | None:
        """Counts a call that begins, unless it is refused; a stream has to be ended later.

        Refusals are kept back so that they leave at the rate of calls too: who calls again as soon
        as it is answered is slowed down, however much it calls at a time.
        """
        calls = 1 + request_bytes // _CALL_BYTES
        refusal = self._refusal(calls, request_bytes, now_s, streams=streams)
        if refusal is None:
            self.streams += streams
            return None
        owed_s = self._refusals.owed_s(now_s)
        if owed_s < HOLD_S_MAX:
            owed_s = self._refusals.spend(calls, now_s)
        return replace(refusal, hold_s=min(owed_s, HOLD_S_MAX))

    def _refusal(
        self, calls: int, request_bytes: int, now_s: float, *, streams: bool
    ) -> Refusal | None:
        limits = self._limits
        if wait_s := self._calls.take(calls, now_s):
            return Refusal("calls_per_s_max", limits.calls_per_s_max, wait_s)
        if self._bytes is not None and limits.bytes_per_s_max is not None:
            owed_s = self._bytes.spend(request_bytes, now_s)
            if owed_s > _DEBT_S_MAX:
                return Refusal("bytes_per_s_max", limits.bytes_per_s_max, owed_s - _DEBT_S_MAX)
        if streams and self.streams >= limits.streams_max:
            return Refusal("streams_max", limits.streams_max, _STREAM_RETRY_S)
        return None

    def sent(self, size: int, now_s: float) -> float:
        """Counts bytes that were sent; returns the seconds to wait before more are."""
        return 0.0 if self._bytes is None else self._bytes.spend(size, now_s)

    def is_forgettable(self, now_s: float) -> bool:
        """Whether a caller that nothing is known of would be treated alike."""
        if self.streams or self.held:
            return False
        if not (self._calls.is_full(now_s) and self._refusals.is_full(now_s)):
            return False
        return self._bytes is None or self._bytes.is_full(now_s)


def subscription_refusal(limits: CallerLimits, made: int) -> Refusal | None:
    """Whether a caller that has made so many subscriptions may make another one."""
    if made < limits.subscriptions_max:
        return None
    return Refusal("subscriptions_max", limits.subscriptions_max, _SUBSCRIPTION_RETRY_S)
