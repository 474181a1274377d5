"""How many bytes a fetch may bring, so that no answer takes long, whatever the way to a broker is.

A link may be slow, and a broker may have a quota: one that holds its answers back tells for how
long, and Kafka before 2.6 answers nothing at all to a fetch that is larger than what its quota
gives in ten seconds, however long one waits (KAFKA-9677). So the size begins small, doubles while
that goes well, and shrinks to what comes within a few seconds. One broker's partitions share an
answer, so short answers also let none of them wait for long.
"""

FIRST_BYTES = 256 << 10
BYTES_MIN = 64 << 10
"""Not less, however slow it is; a single record batch comes all the same."""

_LONG_S = 3.0
_GOOD_S = 1.5
# A wait that is no longer than this is no reason to ask for less: so long are those of a quota for
# requests, which do not depend on bytes. Another one right behind it is: what is asked for is a
# little more than a quota ever gives.
_SHORT_THROTTLE_S = 1.0
_CAREFUL_SHARE = 8


class FetchSize:
    """The size of the next fetch from one broker.

    Invariant: ``BYTES_MIN <= bytes <= max(bytes_max, BYTES_MIN)``.

    Args:
        bytes_max: The most that makes sense.

    Attributes:
        bytes: The size.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = max(bytes_max, BYTES_MIN)
        self.bytes = min(FIRST_BYTES, self._bytes_max)
        self._careful = False
        self._throttled = False

    @property
    def scarce(self) -> bool:
        """Whether a fetch might bring more if it were asked for it."""
        return self.bytes < self._bytes_max

    def brought(self, brought_bytes: int, asked_bytes: int, took_s: float) -> None:
        """A fetch was answered, and not held back.

        Args:
            brought_bytes: How much.
            asked_bytes: What it was allowed to bring.
            took_s: How long it took, without what the broker waited for records.
        """
        self._throttled = False
        if took_s > _LONG_S:
            self._careful = True
            self._set(min(self.bytes, int(brought_bytes * _GOOD_S / took_s)))
        elif took_s <= _GOOD_S and 2 * brought_bytes >= min(asked_bytes, self.bytes):
            self._set(self.bytes + (self.bytes // _CAREFUL_SHARE if self._careful else self.bytes))

    def fitting(self, batch_bytes: int) -> int:
        """The size for whole record batches of so many bytes, while it is scarce.

        What is cut off at the end of an answer is sent in vain.
        """
        if not self.scarce or not batch_bytes:
            return self.bytes
        return max(self.bytes // batch_bytes, 1) * batch_bytes

    def throttled(self, throttle_s: float) -> None:
        """The broker held the answer back, or will hold back the next one, for so long."""
        if throttle_s > _SHORT_THROTTLE_S or self._throttled:
            self._careful = True
            self._set(self.bytes // 2)
        self._throttled = True

    def failed(self) -> None:
        """No answer came."""
        self._careful = True
        self._set(self.bytes // 2)

    def _set(self, size: int) -> None:
        self.bytes = min(max(size, BYTES_MIN), self._bytes_max)
