"""Journals: the append-only files of a partition's newest frames.

A journal is written by one thread, read by many. Its index lists *chunks*: runs of whole frames of
about ``CHUNK_BYTES``, the unit in which a journal is read and shared between subscribers. Chunk
boundaries depend on the file's bytes alone, so every subscriber meets the same ones.
"""

import json
import os
import struct
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from crc32c import crc32c

from cachesvc.errors import DamagedFile, StoreFormatUnsupported
from cachesvc.model import PartitionId
from cachesvc.store.frames import Frame, encode_frame, frame_bytes, iterate_frames
from cachesvc.store.open_files import OpenFiles
from cachesvc.store.record_schema import FORMAT_VERSION

CHUNK_BYTES = 1 << 20
JOURNAL_MAGIC = b"CDCJRNL\n"
_PREFIX = struct.Struct("<8sII")
_CHECKSUM = struct.Struct("<I")
_SCAN_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class ChunkEntry:
    """Where a chunk begins.

    Attributes:
        base_offset: Of its first frame.
        file_position: Byte of the journal file at which it begins.
        min_timestamp_ms: Of its first frame that has records; 0 as long as there is none.
    """

    base_offset: int
    file_position: int
    min_timestamp_ms: int


@dataclass(slots=True)
class JournalIndex:
    """What a journal holds. Grows by ``add``; everything else only reads.

    Invariant: ``chunks`` is sorted by offset and by file position, and covers
    ``[base_offset, end_offset)``.
    """

    base_offset: int
    end_offset: int
    file_bytes: int
    record_count: int = 0
    reject_count: int = 0
    min_timestamp_ms: int = 0
    max_timestamp_ms: int = 0
    chunks: list[ChunkEntry] = field(default_factory=list)
    max_timestamps_ms: list[int] = field(default_factory=list)
    oldest_mined_ms: int = field(default=0, compare=False)
    """When its first frame was appended."""
    newest_mined_ms: int = field(default=0, compare=False)
    """When its last frame was; whoever appends says so."""

    def add(self, frame: Frame) -> None:
        """Enters the frame that was written at the end of the file."""
        if not self.chunks or self.file_bytes - self.chunks[-1].file_position >= CHUNK_BYTES:
            self.chunks.append(
                ChunkEntry(frame.base_offset, self.file_bytes, frame.min_timestamp_ms)
            )
            self.max_timestamps_ms.append(frame.max_timestamp_ms)
        if frame.record_count:
            if not self.chunks[-1].min_timestamp_ms:
                self.chunks[-1] = replace(self.chunks[-1], min_timestamp_ms=frame.min_timestamp_ms)
            self.max_timestamps_ms[-1] = max(self.max_timestamps_ms[-1], frame.max_timestamp_ms)
            low, high = frame.min_timestamp_ms, frame.max_timestamp_ms
            self.min_timestamp_ms = min(low, self.min_timestamp_ms) if self.record_count else low
            self.max_timestamp_ms = max(high, self.max_timestamp_ms) if self.record_count else high
        self.file_bytes += frame.encoded_bytes
        self.end_offset = frame.end_offset
        self.record_count += frame.record_count
        self.reject_count += frame.reject_count

    def locate(self, offset: int) -> int:
        """The number of the chunk that covers ``offset``, which lies in the journal's range."""
        return max(0, bisect_right(self.chunks, offset, key=lambda chunk: chunk.base_offset) - 1)

    def extent(self, number: int) -> tuple[int, int]:
        """The bytes ``[begin, end)`` of a chunk."""
        begin = self.chunks[number].file_position
        last = number + 1 == len(self.chunks)
        return begin, self.file_bytes if last else self.chunks[number + 1].file_position

    def bytes_before(self, offset: int) -> int:
        """Bytes of the file before the chunk that covers ``offset``."""
        return self.chunks[self.locate(offset)].file_position if self.chunks else 0


class JournalFile:
    """One journal on disk. Reading is safe from any thread, writing from one at a time.

    Appends borrow a descriptor of ``files``, so neither open journals nor those that are kept cost
    one each.

    Args:
        path: The file.
        index: What it holds.
        created_ms: When it was begun.
        files: Of this and other journals that one thread writes; without it, its own.
    """

    def __init__(
        self, path: Path, index: JournalIndex, created_ms: int, files: OpenFiles | None = None
    ) -> None:
        self.path = path
        self.index = index
        self.created_ms = created_ms
        self._files = OpenFiles(1) if files is None else files
        self._written = index.file_bytes
        self._torn = False

    @classmethod
    def create(
        cls,
        path: Path,
        partition: PartitionId,
        base_offset: int,
        now_ms: int,
        files: OpenFiles | None = None,
    ) -> Self:
        """A new, empty journal. It is in the page cache afterwards, like what is appended.

        Raises:
            FileExistsError: ``path`` exists.
            OSError: Nothing is left of it.
        """
        header = _encode_header(partition, base_offset, now_ms)
        index = JournalIndex(base_offset, base_offset, len(header))
        index.oldest_mined_ms = index.newest_mined_ms = now_ms
        journal = cls(path, index, now_ms, files)
        descriptor = journal._begin()
        try:
            write_all(descriptor, [header])
        except OSError:
            journal.close()
            path.unlink(missing_ok=True)
            raise
        return journal

    def _begin(self) -> int:
        try:
            return self._files.create(self.path)
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return self._files.create(self.path)

    @classmethod
    def recover(
        cls, path: Path, partition: PartitionId, files: OpenFiles | None = None
    ) -> tuple[Self, DamagedFile | None]:
        """Reads a journal whole, checking every frame.

        Returns:
            The journal up to its last good frame, and what is wrong behind it, if anything is.
            The file itself is not changed; ``cut`` does that.

        Raises:
            DamagedFile: Already the file's header is damaged, or it is another partition's.
            StoreFormatUnsupported: A newer version wrote it.
        """
        with path.open("rb", buffering=0) as file:
            descriptor = file.fileno()
            base_offset, created_ms, position = _read_header(descriptor, path, partition)
            index = JournalIndex(base_offset, base_offset, position)
            written_ms = os.fstat(descriptor).st_mtime_ns // 1_000_000
            index.oldest_mined_ms = created_ms
            index.newest_mined_ms = max(created_ms, written_ms)
            damage = _scan(descriptor, index)
        return cls(path, index, created_ms, files), damage

    def append(self, frames: list[Frame]) -> None:
        """Writes frames at the end. They are in the page cache afterwards, not yet durable.

        The index is not touched: ``publish`` does that, so that readers see whole appends only.

        Raises:
            OSError: Nothing of these frames counts as written; the file is as it was.
        """
        buffers = [buffer for frame in frames for buffer in encode_frame(frame)]
        size = sum(map(len, buffers))
        descriptor = self._files.descriptor(self.path)
        if self._torn:
            self._take_back(descriptor)
        try:
            write_all(descriptor, buffers)
        except OSError:
            self._torn = True
            self._take_back(descriptor)
            raise
        self._written += size

    def _take_back(self, descriptor: int) -> None:
        """Removes what a failed append left; where that fails too, the next append tries again."""
        os.ftruncate(descriptor, self._written)
        self._torn = False

    def publish(self, frame: Frame) -> None:
        """Makes an appended frame visible to readers."""
        self.index.add(frame)

    def sync(self) -> None:
        """Makes everything appended durable, if the file is still there. Safe from any thread."""
        with suppress(FileNotFoundError), self.path.open("rb", buffering=0) as file:
            os.fsync(file.fileno())

    def cut(self) -> bytes:
        """Removes what lies behind the last good frame and returns it."""
        with self.path.open("r+b", buffering=0) as file:
            descriptor = file.fileno()
            size = os.fstat(descriptor).st_size
            tail = os.pread(descriptor, size - self.index.file_bytes, self.index.file_bytes)
            os.ftruncate(descriptor, self.index.file_bytes)
            os.fsync(descriptor)
        self._written = self.index.file_bytes
        return tail

    def close(self) -> None:
        """Gives its descriptor back. Idempotent; reading goes on."""
        self._files.release(self.path)


def read_frames(path: Path, begin: int, end: int) -> list[Frame]:
    """The frames of the bytes ``[begin, end)`` of a journal, every checksum checked.

    Raises:
        DamagedFile: A frame there is damaged; nothing of the range is returned.
        FileNotFoundError: The journal is gone; its segment has the range.
    """
    with path.open("rb", buffering=0) as file:
        data = memoryview(os.pread(file.fileno(), end - begin, begin))
    if len(data) != end - begin:
        raise DamagedFile(f"{path}: only {len(data)} of {end - begin} bytes at byte {begin}")
    try:
        return [frame for _, frame in iterate_frames(data)]
    except DamagedFile as error:
        raise DamagedFile(f"{path}: from byte {begin}: {error}") from error


def check_frames(path: Path, partition: PartitionId, begin: int, end: int) -> int:
    """Checks frames from byte ``begin`` of a journal on, some megabytes of them. Blocking.

    Args:
        path: The journal.
        partition: Whose it is.
        begin: Where a frame begins; 0 for the file's header.
        end: Where the last frame ends.

    Returns:
        Where the next frame begins that was not looked at; ``end`` behind the last one.

    Raises:
        DamagedFile: The header or a frame is damaged, or the file ends before.
        FileNotFoundError: It is gone.
    """
    with path.open("rb", buffering=0) as file:
        descriptor = file.fileno()
        if begin == 0:
            *_, begin = _read_header(descriptor, path, partition)
        piece = _SCAN_BYTES
        while begin < end:
            wanted = min(piece, end - begin)
            data = memoryview(os.pread(descriptor, wanted, begin))
            if len(data) < wanted:
                raise DamagedFile(f"{path} ends at byte {begin + len(data)}, not at {end}")
            checked = 0
            try:
                for position, frame in iterate_frames(data):
                    checked = position + frame.encoded_bytes
            except DamagedFile as error:
                if not checked:
                    piece = frame_bytes(data)
                    if not wanted < piece <= end - begin:  # else it is larger than what was read
                        raise DamagedFile(f"{path}: from byte {begin}: {error}") from error
            if checked:
                return begin + checked
    return end


def write_all(descriptor: int, buffers: list[bytes | memoryview]) -> None:
    """Writes all of ``buffers``, however many calls it takes."""
    step = 512
    for first in range(0, len(buffers), step):
        remaining = [memoryview(buffer) for buffer in buffers[first : first + step] if len(buffer)]
        while remaining:
            written = os.writev(descriptor, remaining)
            while remaining and written >= len(remaining[0]):
                written -= len(remaining.pop(0))
            if written:
                remaining[0] = remaining[0][written:]


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _encode_header(partition: PartitionId, base_offset: int, now_ms: int) -> bytes:
    identity = json.dumps(
        {
            "connection": partition.connection,
            "topic": partition.topic,
            "incarnation": partition.incarnation,
            "partition": partition.partition,
            "base_offset": base_offset,
            "created_ms": now_ms,
        }
    ).encode()
    head = _PREFIX.pack(JOURNAL_MAGIC, FORMAT_VERSION, len(identity)) + identity
    return head + _CHECKSUM.pack(crc32c(head))


def _read_header(descriptor: int, path: Path, partition: PartitionId) -> tuple[int, int, int]:
    """Base offset, creation time, and the byte at which frames begin."""
    head = os.pread(descriptor, 8192, 0)
    if len(head) < _PREFIX.size or not head.startswith(JOURNAL_MAGIC):
        raise DamagedFile(f"{path}: not a journal")
    _, version, identity_bytes = _PREFIX.unpack_from(head)
    end = _PREFIX.size + identity_bytes
    if len(head) < end + _CHECKSUM.size:
        raise DamagedFile(f"{path}: the header is cut off")
    if crc32c(head[:end]) != _CHECKSUM.unpack_from(head, end)[0]:
        raise DamagedFile(f"{path}: the checksum of the header does not hold")
    if version > FORMAT_VERSION:
        raise StoreFormatUnsupported(
            f"{path} has journal format {version}, this version reads up to {FORMAT_VERSION}; "
            "install the version of cachesvc that wrote it, or a newer one"
        )
    identity = json.loads(head[_PREFIX.size : end])
    named = PartitionId(
        identity["connection"], identity["topic"], identity["incarnation"], identity["partition"]
    )
    if named != partition:
        raise DamagedFile(f"{path}: holds {named}, its place is that of {partition}")
    return identity["base_offset"], identity["created_ms"], end + _CHECKSUM.size


def _scan(descriptor: int, index: JournalIndex) -> DamagedFile | None:
    """Enters all good frames into ``index``, reading a bounded piece at a time."""
    size = os.fstat(descriptor).st_size
    piece = _SCAN_BYTES
    while index.file_bytes < size:
        begin = index.file_bytes
        data = memoryview(os.pread(descriptor, min(piece, size - begin), begin))
        try:
            for _, frame in iterate_frames(data):
                if frame.base_offset != index.end_offset:
                    return DamagedFile(
                        f"frame at byte {index.file_bytes} begins at offset {frame.base_offset}, "
                        f"expected {index.end_offset}"
                    )
                index.add(frame)
        except DamagedFile as error:
            if index.file_bytes > begin:
                continue  # the piece ended within a frame, or there is damage: look from there
            if begin + len(data) >= size:
                return error
            piece *= 2  # a frame larger than the piece
    return None
