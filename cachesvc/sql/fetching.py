"""Segments of other stores, brought to this machine for as long as a query needs them.

What is read comes through the cache of the store, so that a query after another one is fast. All of
it blocks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from cachesvc.errors import PreconditionFailed
from cachesvc.store.file_store import ReadableFile

_PIECE_BYTES = 1 << 20
_UNFINISHED = ".unfinished"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of another store, and where it has to be.

    Attributes:
        file: To read from.
        bytes: Its size.
        place: Where it goes.
    """

    file: ReadableFile
    bytes: int
    place: Path


def check_size(wanted: Iterable[Wanted], bytes_max: int) -> None:
    """Refuses what is more than a query may have brought.

    Raises:
        PreconditionFailed: As said (``QUERY_FETCHES_TOO_MUCH``).
    """
    size = sum(each.bytes for each in wanted)
    if size > bytes_max:
        raise PreconditionFailed(
            f"the logs of the query have {size:,} bytes in other stores, and {bytes_max:,} may be "
            "brought here for one; raise sql.fetch_bytes_max, or query those files where they are",
            reason="QUERY_FETCHES_TOO_MUCH",
        )


def fetch(wanted: Iterable[Wanted], given_up: Event) -> bool:
    """Brings files; False if one is gone meanwhile, or it was given up. Those here already stay.

    Raises:
        StoreUnreadable: A store does not give one for now.
        OSError: This machine does not take it.
    """
    for each in wanted:
        if each.place.exists():
            continue
        each.place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = each.place.with_name(each.place.name + _UNFINISHED)
        try:
            source = each.file.open("rb", 0)
        except FileNotFoundError:
            return False
        with source, unfinished.open("wb") as sink:
            try:
                while not given_up.is_set() and (piece := source.read(_PIECE_BYTES)):
                    sink.write(piece)
            except FileNotFoundError:
                return False
        if given_up.is_set():
            return False
        unfinished.rename(each.place)
    return True
