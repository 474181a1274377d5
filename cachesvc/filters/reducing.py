"""From the frames of a log to those that a subscriber is sent."""

from collections.abc import Iterable, Sequence
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.filters.conditions import Condition
from cachesvc.filters.evaluation import Evaluator, columns_before_values
from cachesvc.filters.projection import Projection
from cachesvc.filters.times import may_hold
from cachesvc.store.frames import Frame
from cachesvc.store.recoding import empty_frame, frame_of
from cachesvc.store.record_schema import decode_payloads


class Reduction:
    """A filter and a projection together. Immutable; several threads may use one.

    Args:
        condition: What a record has to meet; None for all records.
        projection: What is left out of those that do.
    """

    def __init__(self, condition: Condition | None, projection: Projection) -> None:
        self._condition = condition
        self._projection = projection

    @cached_property
    def _evaluator(self) -> Evaluator | None:
        """Made by the first thread that needs it, for it may take a while."""
        return None if self._condition is None else Evaluator(self._condition)

    @cached_property
    def text(self) -> str:
        """The same for two that make the same of every record: what is made can be shared."""
        condition = "" if self._condition is None else self._condition.text
        return f"{condition}\n{self._projection.text}"

    def may_pass(self, oldest_ms: int, newest_ms: int) -> bool:
        """Whether one of some records can pass, of which only the range of their times is known."""
        return self._condition is None or may_hold(self._condition, oldest_ms, newest_ms)

    @cached_property
    def columns(self) -> Sequence[str]:
        """What ``any_pass`` looks at; empty where that is not enough to rule a record out."""
        return () if self._condition is None else columns_before_values(self._condition)

    def any_pass(self, records: pa.Table) -> bool:
        """Whether one of these records can pass, by ``columns``, which they have. Blocking."""
        if self._evaluator is None:
            return True
        batches = records.combine_chunks().to_batches()
        return any(self._evaluator.by_columns(each).num_rows for each in batches)

    def reduce(self, frame: Frame) -> Frame:
        """A frame of the same range with what is left of its records. Blocking.

        Raises:
            DamagedFile: The payload does not decode.
        """
        times = frame.min_timestamp_ms, frame.max_timestamp_ms
        if not frame.record_count or not self.may_pass(*times):
            return empty_frame(frame.base_offset, frame.end_offset)
        batch = self._left(frame)
        if batch is None:
            return frame
        if not batch.num_rows:
            return empty_frame(frame.base_offset, frame.end_offset)
        return frame_of(batch, frame.base_offset, frame.end_offset)

    def _left(self, frame: Frame) -> pa.RecordBatch | None:
        """What is left of a frame; None if that is all of it."""
        evaluator = self._evaluator
        chosen = None
        if evaluator is not None and evaluator.columns:
            # Of most frames nothing may be left, which is known without decoding values.
            chosen = evaluator.by_columns(_decoded(frame, ("offset", *evaluator.columns)))
            if not chosen.num_rows:
                return chosen
        whole = batch = _decoded(frame)
        if chosen is not None and chosen.num_rows < whole.num_rows:
            offsets = chosen.column("offset")
            batch = whole.filter(pc.is_in(whole.column("offset"), value_set=offsets))
        if evaluator is not None:
            batch = evaluator.by_values(batch)
        if batch.num_rows:
            batch = self._projection.applied(batch)
        return None if batch is whole else batch


def _decoded(frame: Frame, columns: Iterable[str] | None = None) -> pa.RecordBatch:
    table = decode_payloads([frame.payload], columns=columns)
    return table.combine_chunks().to_batches()[0]
