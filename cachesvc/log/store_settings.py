"""What a log store needs to know."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cachesvc.policy.sealing import SealLimits
from cachesvc.store.file_store import FileStore
from cachesvc.store.open_files import OPEN_FILES_MAX
from cachesvc.store.stores_port import StoreRecord


@dataclass(frozen=True, slots=True)
class LogStoreSettings:
    """What a log store needs to know.

    Attributes:
        path: Its directory; made if missing.
        memory_bytes_max: Newest frames in memory.
        chunk_cache_bytes_max: Older frames in memory after use.
        warm_bytes_max: Sealed journals on disk.
        seal: When a journal is full.
        open_journals_max: Journals that hold a descriptor at a time, of all that take appends.
        waiting_bytes_max: Journals that may wait for one store.
        stores: Those beside the directory, by name.
        open_stores: Opens those that were made over Admin, by their records.
    """

    path: Path
    memory_bytes_max: int
    chunk_cache_bytes_max: int
    warm_bytes_max: int
    seal: SealLimits
    open_journals_max: int = OPEN_FILES_MAX
    waiting_bytes_max: int = 16 << 30
    stores: Mapping[str, FileStore] = field(default_factory=dict)
    open_stores: Callable[[Sequence[StoreRecord]], Mapping[str, FileStore]] = lambda _: {}
