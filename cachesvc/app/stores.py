"""Opens the stores that the settings name. Nothing is asked of them yet."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

import msgspec

from cachesvc.errors import CacheError, NotFound
from cachesvc.log.log_store import LogStore
from cachesvc.mining.connections import Connections
from cachesvc.model import LOCAL_STORE
from cachesvc.settings.config import Config
from cachesvc.settings.connection import ConnectionConfig
from cachesvc.settings.stores import StoreEntry
from cachesvc.store import layout
from cachesvc.store.file_store import FileStore
from cachesvc.store.late_files import LateFiles
from cachesvc.store.local_files import LocalFiles
from cachesvc.store.stores_port import StoreRecord
from cachesvc.stores import KnownStores, entry_of

_log = logging.getLogger(__name__)


def open_stores(config: Config) -> Mapping[str, FileStore]:
    """Every store of ``[[stores]]`` by name. Blocking.

    Raises:
        ConnectionUnusable: Credentials are not where the settings say (``SECRET_MISSING``).
    """
    caches = Path(config.store.path) / layout.CACHE
    return {store.name: open_one(store, caches / store.name) for store in config.stores}


def open_made(config: Config) -> Callable[[Sequence[StoreRecord]], Mapping[str, FileStore]]:
    """Opens those that were made over Admin; one that cannot be opened yet keeps no other away."""
    caches = Path(config.store.path) / layout.CACHE
    in_file = {store.name for store in config.stores}

    def open_all(records: Sequence[StoreRecord]) -> Mapping[str, FileStore]:
        found: dict[str, FileStore] = {}
        for record in records:
            entry = entry_of(record)
            if record.name in in_file:
                _log.warning(
                    "a store of the file hides one that was made over Admin",
                    extra={"event": "store_hidden", "store": record.name},
                )
            elif entry is not None:
                found[record.name] = _open_or_later(entry, caches / record.name)
        return found

    return open_all


def all_stores(config: Config) -> Callable[[Sequence[StoreRecord]], Mapping[str, FileStore]]:
    """Opens those of the settings, and of records those that were made over Admin."""
    return lambda records: {**open_stores(config), **open_made(config)(records)}


def _open_or_later(entry: StoreEntry, cache: Path) -> FileStore:
    try:
        return open_one(entry, cache)
    except CacheError as error:
        _log.error(
            "a store cannot be opened; it is tried again when it is used",
            extra={"event": "store_not_opened", "store": entry.name, "error": str(error)},
        )
        return LateFiles(partial(open_one, entry, cache))


def known_stores(config: Config, store: LogStore, connections: Connections) -> KnownStores:
    """All stores of a service, for operators and for what is sealed."""
    caches = Path(config.store.path) / layout.CACHE
    local = StoreEntry(
        name=LOCAL_STORE, kind="directory", path=str(store.path), bytes_max=config.store.bytes_max
    )

    def connection(name: str) -> ConnectionConfig | None:
        try:
            return connections.get(name).config
        except NotFound:
            return None

    return KnownStores(
        [local, *config.stores],
        store,
        lambda entry: open_one(entry, caches / entry.name),
        lambda entry: open_for_test(entry, caches / "test"),
        lambda: (each.config for each in connections.all()),
        connection,
    )


def open_for_test(entry: StoreEntry, cache: Path) -> FileStore:
    """One store of which nothing is kept: what is read has to come from there."""
    return open_one(msgspec.structs.replace(entry, cache_bytes_max=0), cache)


def open_one(store: StoreEntry, cache: Path) -> FileStore:
    """One store; see ``open_stores``.

    Args:
        store: What the settings say.
        cache: The directory for what was read of it.
    """
    if store.kind == "directory":
        return LocalFiles(Path(store.path))
    opened: FileStore = import_module("cachesvc.app.s3").open_s3(store, cache)
    return opened
