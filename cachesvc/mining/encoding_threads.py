"""Decoding and encoding beside the event loop, with a note of what is in hand."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from cachesvc.mining.black_box import NoRecorder, Recorder, WorkedOn
from cachesvc.mining.encode import Encoded, EncodingRules, encode, encode_batch
from cachesvc.mining.failures import in_thread
from cachesvc.mining.holdings import HeldPartition
from cachesvc.mining.source import RecordColumns, SourceBatch

_LARGE_BYTES = 16 << 20
"""Above this a batch holds little but large records: two at once would take too much memory."""

Work = tuple[SourceBatch, HeldPartition, int]
"""A batch, whose it is, and the generation of that when it was fetched."""


class EncodingThreads:
    """Decodes in one thread and encodes in another.

    So the two overlap wherever they leave the interpreter lock: in decompression, Arrow and
    compression.

    Args:
        rules: How to encode.
        records_max: In one chunk.
        recorder: Is told what is in hand.
        slots: Of the recorder, for decoding and for encoding.
        large: Is held while something large is in hand; one for all threads of a process.
    """

    def __init__(
        self,
        rules: EncodingRules,
        records_max: int,
        recorder: Recorder | None = None,
        slots: tuple[int, int] = (0, 1),
        large: asyncio.Lock | None = None,
    ) -> None:
        self._rules = rules
        self._records_max = records_max
        self._recorder = recorder or NoRecorder()
        self._decoding, self._encoding = slots
        self._large = large or asyncio.Lock()
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="encode")

    def close(self) -> None:
        """Lets the threads end. Idempotent."""
        for thread in (self._decoder, self._encoder):
            thread.shutdown(wait=False, cancel_futures=True)

    def done(self) -> None:
        """What was in hand is on its way."""
        self._recorder.clear(self._decoding)
        self._recorder.clear(self._encoding)

    async def small(self, work: Sequence[Work]) -> list[tuple[list[Encoded], Exception | None]]:
        """Decodes and encodes some batches in one go; of each, how far that went."""

        def encode_all() -> list[tuple[list[Encoded], Exception | None]]:
            results = []
            for batch, held, _ in work:
                records_max = held.rows_max(self._records_max)
                at = partial(self._note, self._encoding, held, batch, records_max)
                results.append(encode_batch(batch, self._rules, records_max, at))
            return results

        return await asyncio.get_running_loop().run_in_executor(self._encoder, encode_all)

    async def one(self, batch: SourceBatch, held: HeldPartition) -> AsyncGenerator[Encoded]:
        """Decodes and encodes a batch, chunk by chunk. Close it, unless it came to its end.

        Raises:
            WorkFailed: That goes no further.
        """
        records_max = held.rows_max(self._records_max)
        chunks = batch.chunks(records_max)
        decoding_at = partial(self._note, self._decoding, held, batch, records_max)
        encoding_at = partial(self._note, self._encoding, held, batch, records_max)
        decoding_at(batch.base_offset)
        if batch.encoded_bytes > _LARGE_BYTES or records_max < self._records_max:
            async with self._large:
                while (encoded := await self._next(chunks)) is not None:
                    yield encoded
                    decoding_at(encoded.end_offset)
            return
        chunk = await in_thread(self._decoder, next, chunks, None)
        while chunk is not None:
            decoding_at(chunk.end_offset)
            encoding_at(chunk.base_offset)
            encoding = in_thread(self._encoder, encode, chunk, self._rules)
            decoding = in_thread(self._decoder, next, chunks, None)
            try:
                yield await encoding
            finally:
                await asyncio.wait({decoding})
                decoding.exception()  # is told below, unless nobody goes on
            chunk = decoding.result()

    async def _next(self, chunks: Iterator[RecordColumns]) -> Encoded | None:
        """The next chunk, with nothing else of the batch decoded meanwhile."""

        def encode_next() -> Encoded | None:
            chunk = next(chunks, None)
            return None if chunk is None else encode(chunk, self._rules)

        return await in_thread(self._encoder, encode_next)

    def _note(
        self, slot: int, held: HeldPartition, batch: SourceBatch, rows: int, offset: int
    ) -> None:
        end, size = batch.end_offset, batch.encoded_bytes
        work = WorkedOn(held.partition, held.incarnation, offset, size, end, rows)
        self._recorder.note(slot, work)
