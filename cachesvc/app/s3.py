"""Opens a store on S3. Imported where there is one, for the sake of obstore."""

from pathlib import Path

from cachesvc.mining.kafka.secrets import read_secret
from cachesvc.settings.stores import StoreEntry
from cachesvc.store.block_cache import BlockCache
from cachesvc.store.s3_files import S3Files, S3Settings


def open_s3(store: StoreEntry, cache: Path) -> S3Files:
    """One store; nothing is asked of it yet.

    Args:
        store: What the settings say.
        cache: The directory for what was read of it.

    Raises:
        ConnectionUnusable: Credentials are not where the settings say (``SECRET_MISSING``).
    """
    return S3Files(_settings(store), BlockCache(cache, store.cache_bytes_max))


def _settings(store: StoreEntry) -> S3Settings:
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
