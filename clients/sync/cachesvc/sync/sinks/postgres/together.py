"""Which changes may wait together: one statement writes no key twice, and room is bounded."""

from collections.abc import Collection
from typing import Any

_KEYS_MAX = 100_000
_BYTES_MAX = 64 << 20


class Together:
    """Decides for one chunk after the other whether those before it have to be merged first."""

    def __init__(self) -> None:
        self._keys: set[Any] = set()
        self._bytes = 0

    def begin(self) -> None:
        """Nothing waits any more."""
        self._keys.clear()
        self._bytes = 0

    def joins(self, keys: Collection[Any], size: int) -> bool:
        """Whether a chunk may join those that wait; if not, it is the first to wait.

        Args:
            keys: Of its changes, all different.
            size: Bytes that it takes.
        """
        wanted = len(self._keys) + len(keys)
        self._bytes += size
        self._keys.update(keys)
        if len(self._keys) == wanted <= _KEYS_MAX and self._bytes <= _BYTES_MAX:
            return True
        self._keys = set(keys)
        self._bytes = size
        return False
