"""Looks at records for the job ``models``, beside the event loop."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.policy.models import Model, model_of
from cachesvc.store.frames import Frame
from cachesvc.store.queries import RecordQueries
from cachesvc.store.record_schema import decode_payloads

_QUERY_BYTES = 1 << 20
# Taking a larger value apart would need more memory than there is for it; it is left out.
_VALUE_BYTES_MAX = 16 << 20


class Observer:
    """Looks at records in a thread of its own. A context manager; the thread ends with it."""

    async def __aenter__(self) -> "Observer":
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="models")
        self._queries = await asyncio.wrap_future(self._thread.submit(RecordQueries))
        return self

    async def __aexit__(self, *error: object) -> None:
        # A look that was cancelled ends soon, and nobody waits for it.
        self._thread.submit(self._queries.close)
        self._thread.shutdown(wait=False)

    async def observe(self, frames: Sequence[Frame], begin: int, end: int) -> tuple[Model, int]:
        """The model of the records in ``[begin, end)``, and how many these are."""
        payloads = [frame.payload for frame in frames if frame.record_count]
        if not payloads:
            return Model(), 0
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, _observe, self._queries, payloads, begin, end
        )


def _observe(
    queries: RecordQueries, payloads: Sequence[bytes | memoryview], begin: int, end: int
) -> tuple[Model, int]:
    table: pa.Table = decode_payloads(payloads)
    offsets = table.column("offset")
    table = table.filter(pc.and_(pc.greater_equal(offsets, begin), pc.less(offsets, end)))
    if table.nbytes > _VALUE_BYTES_MAX:
        lengths = pc.binary_length(table.column("value"))
        table = table.filter(pc.less_equal(lengths, _VALUE_BYTES_MAX))
    found = model_of(queries.observe(table))
    return found, table.num_rows - table.column("value").null_count


def first_piece(frames: Sequence[Frame]) -> list[Frame]:
    """The first frames: as many as are looked at in one go."""
    size, piece = 0, []
    for frame in frames:
        piece.append(frame)
        size += frame.encoded_bytes
        if size >= _QUERY_BYTES:
            break
    return piece
