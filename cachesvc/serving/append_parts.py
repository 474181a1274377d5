"""Appends that come in several messages, put together within a bound."""

from dataclasses import dataclass

from cachesvc.errors import CacheError, InvalidRequest
from cachesvc.v1 import mining_pb2 as pb

# What an append has beside one record of the largest size: the other records that may be in it, and
# what compression that finds nothing to compress and the format add.
_BESIDE_BYTES = 16 << 20
_ADDED_SHARE = 64


def append_bytes_max(record_bytes_max: int) -> int:
    """The most that an append carries in which no record is larger than that."""
    return record_bytes_max + record_bytes_max // _ADDED_SHARE + _BESIDE_BYTES


@dataclass(frozen=True, slots=True)
class WholeAppend:
    """An append with all its bytes, or why it is refused.

    Attributes:
        request: Its last message; payload and rejects are elsewhere.
        payload: Records.
        rejects: Records that were turned away.
        refused: Why it cannot be taken whatever it holds; None if it can.
    """

    request: pb.AppendRequest
    payload: bytes | memoryview
    rejects: bytes | memoryview
    refused: CacheError | None = None


class AppendParts:
    """Puts together the appends of one call, of which at most one is incomplete.

    Args:
        bytes_max: Of an append; what is larger is refused without being kept.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._payload: _Growing | None = None
        self._rejects: _Growing | None = None
        self._refused: CacheError | None = None

    def take(self, request: pb.AppendRequest) -> WholeAppend | None:
        """The append that a message completes; None while there is more of it to come."""
        first = self._payload is None and self._rejects is None and self._refused is None
        if first and not request.more:
            size = len(request.payload) + len(request.rejects)
            refused = self._too_large(request, size) if size > self._bytes_max else None
            return WholeAppend(request, request.payload, request.rejects, refused)
        if first:
            self._begin(request)
        if self._payload is not None and self._rejects is not None:
            fits = self._payload.add(request.payload) and self._rejects.add(request.rejects)
            if not fits or not (request.more or (self._payload.full and self._rejects.full)):
                self._refuse(_contradictory(request))
        return None if request.more else self._finish(request)

    def _begin(self, request: pb.AppendRequest) -> None:
        sizes = request.payload_bytes, request.rejects_bytes
        if min(sizes) < 0 or max(sizes) > 0xFFFF_FFFF:
            self._refuse(_contradictory(request))
        elif sum(sizes) > self._bytes_max:
            self._refuse(self._too_large(request, sum(sizes)))
        else:
            self._payload, self._rejects = _Growing(sizes[0]), _Growing(sizes[1])

    def _refuse(self, error: CacheError) -> None:
        self._refused, self._payload, self._rejects = error, None, None

    def _finish(self, request: pb.AppendRequest) -> WholeAppend:
        payload, rejects, refused = self._payload, self._rejects, self._refused
        self._payload = self._rejects = self._refused = None
        if payload is None or rejects is None:
            return WholeAppend(request, b"", b"", refused)
        return WholeAppend(request, payload.view, rejects.view)

    def _too_large(self, request: pb.AppendRequest, size: int) -> CacheError:
        return InvalidRequest(
            f"an append to {request.topic}/{request.partition} from offset {request.base_offset} "
            f"on has {size} bytes, {self._bytes_max} are the limit",
            reason="TOO_LARGE",
        )


class _Growing:
    """Bytes of a known number that come one piece after the other; copied once."""

    def __init__(self, size: int) -> None:
        self._bytes = bytearray(size)
        self._filled = 0

    def add(self, piece: bytes) -> bool:
        """Takes a piece; False if that is more than there was to be."""
        end = self._filled + len(piece)
        if end > len(self._bytes):
            return False
        self._bytes[self._filled : end] = piece
        self._filled = end
        return True

    @property
    def full(self) -> bool:
        return self._filled == len(self._bytes)

    @property
    def view(self) -> memoryview:
        return memoryview(self._bytes).toreadonly()


def _contradictory(request: pb.AppendRequest) -> CacheError:
    return InvalidRequest(
        f"the parts of an append to {request.topic}/{request.partition} from offset "
        f"{request.base_offset} on are not what the first one says",
        reason="INVALID_APPEND",
    )
