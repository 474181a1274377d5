"""Copies of segments from one store to another, proved to be the same. Blocking."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from crc32c import crc32c

from cachesvc.errors import CacheError, DamagedFile
from cachesvc.model import Segment
from cachesvc.store import layout
from cachesvc.store.file_store import FileStore
from cachesvc.store.salvage import damage_of
from cachesvc.store.segments import data_paths

_PIECE_BYTES = 1 << 20


def copy_segment(
    segment: Segment, source: FileStore, target: FileStore, name: str, directory: Path
) -> Segment:
    """Puts copies of a segment's files into another store, under names that no file has had.

    What was fetched is read whole first, with every checksum in it; what was put is read back and
    compared. Durable on return, and named by nobody: commit it to the manifest, or the sweep takes
    it. Where it fails nothing is left, or what the sweep takes.

    Args:
        segment: Which.
        source: Where its files are.
        target: Where they go.
        name: Of the target.
        directory: An empty one of this machine, for the files meanwhile.

    Raises:
        DamagedFile: The segment is damaged, or what came back is not what was put.
        FileNotFoundError: A file of the segment is gone.
        StoreUnreadable: A store does not give a file for now.
        StoreUnwritable: The target does not take one for now.
        OSError: This machine does not take them.
    """
    for path in data_paths(segment):
        source.fetch(path.as_posix(), directory / path)
    damage = damage_of(directory, segment)
    if damage:
        raise DamagedFile(damage)
    copied = _renamed(segment, name)
    for path, new in zip(data_paths(segment), data_paths(copied), strict=True):
        target.put(new.as_posix(), directory / path)
        _check(directory / path, target, new.as_posix(), directory / "back")
    return copied


def _renamed(segment: Segment, store: str) -> Segment:
    """The segment with new names in another store; the checksums in the names stay."""
    stem = layout.new_file_stem(segment.base_offset, segment.end_offset)
    path, *rejects = (_with_stem(each, stem) for each in data_paths(segment))
    return replace(segment, path=path, rejects_path=rejects[0] if rejects else "", store=store)


def _with_stem(path: PurePosixPath, stem: str) -> str:
    checksum = layout.footer_checksum(path.name)
    if checksum is None:
        return path.with_name(f"{stem}{path.suffix}").as_posix()
    return path.with_name(layout.data_file_name(stem, checksum)).as_posix()


def _check(sent: Path, target: FileStore, path: str, back: Path) -> None:
    """Reads back what was put; takes it away again where it is another thing."""
    try:
        target.fetch(path, back)
        same = _checksum(sent) == _checksum(back)
    finally:
        back.unlink(missing_ok=True)
    if not same:
        with suppress(CacheError):
            target.delete(path)
        raise DamagedFile(f"what {path} has is not what was put there")


def _checksum(path: Path) -> tuple[int, int]:
    """Size and CRC-32C of a file."""
    size = checksum = 0
    for piece in _pieces(path):
        size += len(piece)
        checksum = crc32c(piece, checksum)
    return size, checksum


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
