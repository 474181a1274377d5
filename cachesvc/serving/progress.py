"""What a stream tells of its progress, put together anew only where that has changed."""

from collections.abc import Collection, Mapping

from cachesvc.log.log_store import LogStore
from cachesvc.model import PartitionId
from cachesvc.serving.cursor import Cursor
from cachesvc.serving.stream_events import progress


class Progress:
    """The progress event of one stream, which is the same again and again while it is quiet.

    Args:
        store: Knows when ends of the source were told.
    """

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._told: bytes | None = None  # the last one, as long as it holds
        self._told_of = 0

    def changed(self) -> None:
        """Something of the stream is not as it was told."""
        self._told = None

    def event(self, cursors: Collection[Cursor], waiting_for: Mapping[PartitionId, str]) -> bytes:
        """How things are; its client knows of everything that a filter left out then."""
        for cursor in cursors:
            cursor.untold = None
        ends_told = self._store.source_ends_told
        if self._told is not None and self._told_of == ends_told:
            return self._told
        found = progress(cursors, waiting_for)
        # Below a missing range, a log does not say that the one on top of it grows.
        if all(cursor.log.above is None for cursor in cursors):
            self._told, self._told_of = found, ends_told
        return found
