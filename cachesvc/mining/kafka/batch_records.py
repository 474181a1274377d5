"""The records of one stored batch, a part at a time, by whichever decoder can.

aiokafka's compiled decoder is the fast one. What it refuses, and what it gets wrong, is decoded
again by the plain one.
"""

from collections.abc import Iterator
from itertools import chain, islice, pairwise
from operator import attrgetter, eq
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

from cachesvc.mining.kafka.plain_decoder import has_odd_attributes, plain_records
from cachesvc.mining.kafka.stored_batch import StoredBatch

_MAGIC_MAX = 2
_INT64_MAX = (1 << 63) - 1
# Faster than a comprehension.
_OFFSET, _TIMESTAMP = attrgetter("offset"), attrgetter("timestamp")


Part = tuple[list[Any], list[int], list[int]]
"""Some records of a batch, their offsets, and their times.

Records have key, value and headers. Header keys are text, with lone surrogates for bytes that are
not UTF-8 (``surrogateescape``). Offsets rise strictly and lie in the batch's range. A record
without a time has -1.
"""


def all_records(batch: StoredBatch) -> Part | None:
    """All records of a batch of few by the fast decoder; None where that cannot."""
    try:
        part = _part(list(_compiled(batch)))
        return part if _is_sound(batch, part) else None
    except Exception:  # of whatever kind: damaged bytes make any
        return None


class BatchRecords:
    """Goes once through a batch whose checksum holds."""

    def __init__(self, batch: StoredBatch) -> None:
        self.ended = False
        """Whether nothing is left to take."""
        self._batch = batch
        self._taken = 0
        self._last = -1
        self._compiled: Iterator[Any] | None = None
        self._plain: Iterator[Any] | None = None
        self._error: Exception | None = None

    def take(self, count: int) -> Part:
        """The next records, at most so many; perhaps none at the end.

        Raises:
            Exception: The next record cannot be decoded. What came before is right.
        """
        part = self._take_compiled(count) if self._plain is None else None
        if part is None:
            part = self._take_plain(count)
        records, offsets, _ = part
        self.ended = len(records) < count and self._error is None
        if records:
            self._taken += len(records)
            self._last = offsets[-1]
        return part

    def _take_compiled(self, count: int) -> Part | None:
        """None where the other decoder has to have the last word, from here on."""
        try:
            if self._compiled is None:
                # `chain` stands between, for the decoder can neither be taken up again by `iter`
                # nor be asked once more after its end.
                self._compiled = chain(_compiled(self._batch))
            part = _part(list(islice(self._compiled, count)))
            return part if _is_sound(self._batch, part, self._taken, self._last) else None
        except Exception:  # of whatever kind: damaged bytes make any
            return None

    def _take_plain(self, count: int) -> Part:
        """As many as there are before an error, which comes when nothing is left before it."""
        if self._error is not None:
            raise self._error
        if self._plain is None:
            self._plain = islice(plain_records(self._batch), self._taken, None)
        records: list[Any] = []
        try:
            records.extend(islice(self._plain, count))
        except Exception as error:
            if not records:
                raise
            self._error = error
        return _part(records)


def _compiled(batch: StoredBatch) -> Any:
    if batch.magic == _MAGIC_MAX:
        return DefaultRecordBatch(batch.data)
    if 0 <= batch.magic < _MAGIC_MAX:
        return LegacyRecordBatch(batch.data, batch.magic)
    raise ValueError(f"record format {batch.magic} is not known")


def _part(records: list[Any]) -> Part:
    timestamps = list(map(_TIMESTAMP, records))
    if None in timestamps:  # the compiled decoder's word for -1
        timestamps = [-1 if time is None else time for time in timestamps]
    return records, list(map(_OFFSET, records)), timestamps


def _is_sound(batch: StoredBatch, part: Part, taken: int = 0, last: int = -1) -> bool:
    """Whether these are the records behind so many, the last of which is at ``last``.

    They are not where a producer numbered its records as it liked, nor where the compiled decoder
    took an attribute above 127 for two bytes, and the rest of the record for what it is not.
    """
    offsets = part[1]
    if not offsets:
        return True
    if batch.is_dense:
        begin = batch.base_offset + taken
        if offsets != list(range(begin, begin + len(offsets))):
            return False
        doubtful = _doubtful(batch, part, taken)
        return not doubtful or not has_odd_attributes(batch, doubtful)
    if batch.magic >= _MAGIC_MAX and not (
        batch.base_offset <= offsets[0] and offsets[-1] < batch.next_offset
    ):
        return False
    return offsets[0] > last and all(before < behind for before, behind in pairwise(offsets))


def _doubtful(batch: StoredBatch, part: Part, taken: int) -> int:
    """Up to where in the batch a record may be another, whose attribute was taken for two bytes.

    Such a one has for its time, against the first, what is really its place; and for its place,
    which is checked already, the length of its key. That of the first one is nothing special; its
    value begins with what is really the size of a header's key, which no object begins with.
    """
    records, _, timestamps = part
    begin = batch.first_timestamp + taken
    if begin + len(records) > _INT64_MAX:  # a place added to the first time wraps around
        return taken + len(records)
    # Behind these the place is more than any time can be.
    end = min(len(records), max(timestamps) - begin + 1)
    if end <= 0:
        return 0
    suspects = list(map(eq, timestamps[:end], range(begin, begin + end)))
    if not taken and suspects[0]:
        value = records[0].value
        suspects[0] = bool(value) and not value[0] & 1
    if True not in suspects:
        return 0
    suspects.reverse()
    return taken + end - suspects.index(True)
