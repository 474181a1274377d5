"""Opens the stores that the settings name. Nothing is asked of them yet."""

from collections.abc import Mapping
from pathlib import Path

from cachesvc.mining.kafka.secrets import read_secret
from cachesvc.settings.config import Config
from cachesvc.settings.stores import StoreEntry
from cachesvc.store import layout
from cachesvc.store.block_cache import BlockCache
from cachesvc.store.file_store import FileStore
from cachesvc.store.local_files import LocalFiles
from cachesvc.store.s3_files import S3Files, S3Settings


def open_stores(config: Config) -> Mapping[str, FileStore]:
    """Every store of ``[[stores]]`` by name. Blocking.

    Raises:
        ConnectionUnusable: Credentials are not where the settings say (``SECRET_MISSING``).
    """
    caches = Path(config.store.path) / layout.CACHE
    return {store.name: open_one(store, caches / store.name) for store in config.stores}


def open_one(store: StoreEntry, cache: Path) -> FileStore:
    """One store; see ``open_stores``.

    Args:
        store: What the settings say.
        cache: The directory for what was read of it.
    """
    if store.kind == "directory":
        return LocalFiles(Path(store.path))
    return S3Files(_s3_settings(store), BlockCache(cache, store.cache_bytes_max))


def _s3_settings(store: StoreEntry) -> S3Settings:
    place = f"stores.{store.name}"
    return S3Settings(
        bucket=store.bucket,
        prefix=store.prefix,
        endpoint=store.endpoint,
        region=store.region,
        access_key=read_secret(store.access_key_env, store.access_key_file, f"{place}.access_key")
        or "",
        secret_key=read_secret(store.secret_key_env, store.secret_key_file, f"{place}.secret_key")
        or "",
        session_token=read_secret(
            store.session_token_env, store.session_token_file, f"{place}.session_token"
        )
        or "",
        timeout_s=store.request_timeout_s,
        retry_s=store.retry_s,
    )
