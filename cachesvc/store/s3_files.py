"""A bucket of an S3-compatible service as a store of sealed files: the only module with obstore.

obstore (Rust's object_store) repeats requests by itself where that is safe, with growing pauses and
jitter, and lets go of the interpreter while it waits. What is left is named here: what S3 says is
its error code, which is a part of the protocol. What is put need not be read back: the service
compares it with the SHA-256 that the request is signed with before it takes it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from errno import ENOENT
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from cachesvc.errors import CacheError, DamagedFile, StoreUnreadable, StoreUnwritable
from cachesvc.store.block_cache import BlockCache
from cachesvc.store.file_store import StoredFile
from cachesvc.store.remote_file import RemoteFile

SINGLE_PUT_BYTES_MAX = 64 << 20
"""Larger files go in parts, which no condition protects: first it is asked if the name is free."""
_PART_BYTES = 16 << 20
_PARTS_AT_A_TIME = 2
_FETCH_BYTES = 8 << 20
_LIST_CHUNK = 1_000
_BACKOFF_MAX_S = 2.0
# What is not there is Python's own error in the library, not one of its others.
_FAILURES = (BaseError, FileNotFoundError)
# What a service calls a range that a file does not have, or nothing at all.
_BEYOND_END = ("InvalidRange", "")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_ADVICE = {
    "InvalidAccessKeyId": "the access key is not known there; check the store's credentials",
    "SignatureDoesNotMatch": "the secret key does not fit the access key, or the region is another",
    "AccessDenied": "the credentials do not allow it; they need Get, Put, Delete and List",
    "RequestTimeTooSkewed": "this machine's clock differs too much; set it by NTP",
    "NoSuchBucket": "there is no such bucket; make it, or name another one",
    "ExpiredToken": "the session token has expired; give a new one",
    "XAmzContentSHA256Mismatch": "the bytes were damaged on their way; they are put again",
    "SlowDown": "the service asks for less; it is tried again",
    "ServiceUnavailable": "the service is away; it is tried again",
}


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Where a bucket is and how to open it.

    Attributes:
        bucket: Its name.
        prefix: What all names begin with, a directory; empty for the whole bucket.
        endpoint: URL of the service; empty for Amazon's.
        region: Of the bucket.
        access_key: Together with ``secret_key``; both empty: the machine's own role.
        secret_key: Never shown.
        session_token: Likewise; empty where there is none.
        timeout_s: Seconds that one request may take.
        retry_s: Seconds after which a request is not repeated any more.
    """

    bucket: str
    prefix: str
    endpoint: str
    region: str
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    timeout_s: float = 30.0
    retry_s: float = 20.0


class S3Files:
    """``file_store.FileStore`` in a bucket.

    Args:
        settings: Which, and how.
        cache: Where blocks that were read are kept.
    """

    def __init__(self, settings: S3Settings, cache: BlockCache) -> None:
        self._settings = settings
        self._cache = cache
        self._store = _open(settings)
        self._where = f"s3://{settings.bucket}/{settings.prefix}".rstrip("/")

    def put(self, path: str, source: Path) -> None:
        size = source.stat().st_size
        try:
            self._put(path, source, size)
        except (*_FAILURES, StoreUnreadable) as error:
            raise self._unwritable(path, error) from error

    def _put(self, path: str, source: Path, size: int) -> None:
        if size > SINGLE_PUT_BYTES_MAX:
            if not self._has(path, size):
                obstore.put(
                    self._store,
                    path,
                    source,
                    use_multipart=True,
                    chunk_size=_PART_BYTES,
                    max_concurrency=_PARTS_AT_A_TIME,
                )
            return
        try:
            obstore.put(self._store, path, source, mode="create", use_multipart=False)
        except AlreadyExistsError as error:
            # An earlier attempt, perhaps, whose answer was lost.
            if self.size(path) != size:
                raise FileExistsError(f"{self._where}/{path}") from error

    def _has(self, path: str, size: int) -> bool:
        try:
            found = self.size(path)
        except FileNotFoundError:
            return False
        if found != size:
            raise FileExistsError(f"{self._where}/{path}")
        return True

    def file(self, path: str, size: int | None = None) -> RemoteFile:
        return RemoteFile(self, self._cache, path, size)

    def size(self, path: str) -> int:
        """The size of an object; raises as ``ReadableFile.open``."""
        try:
            # Of a request for the head alone nobody would be told why it is refused.
            return int(obstore.get(self._store, path, options={"range": (0, 1)}).meta["size"])
        except _FAILURES as error:
            raise self._unreadable(path, error) from error

    def read(self, path: str, begin: int, end: int) -> bytes:
        """``[begin, end)`` of an object, which is not empty.

        Raises:
            FileNotFoundError: There is none.
            DamagedFile: It ends before.
            StoreUnreadable: The service does not give it for now.
        """
        try:
            data = bytes(obstore.get_range(self._store, path, start=begin, end=end))
        except _FAILURES as error:
            if _said(error)[0] in _BEYOND_END and self.size(path) < end:
                raise DamagedFile(f"{self._where}/{path} is shorter than it was") from error
            raise self._unreadable(path, error) from error
        if len(data) != end - begin:
            raise DamagedFile(f"{self._where}/{path} is shorter than it was")
        return data

    def fetch(self, path: str, target: Path) -> None:
        size = self.size(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for begin in range(0, size, _FETCH_BYTES):
                file.write(self.read(path, begin, min(begin + _FETCH_BYTES, size)))

    def list(self, prefix: str) -> Iterator[StoredFile]:
        try:
            for chunk in obstore.list(self._store, prefix, chunk_size=_LIST_CHUNK):
                for meta in chunk:
                    written_ms = int(meta["last_modified"].timestamp() * 1000)
                    yield StoredFile(meta["path"], meta["size"], written_ms)
        except _FAILURES as error:
            raise self._unreadable(prefix, error) from error

    def delete(self, path: str) -> int:
        try:
            size = self.size(path)
            obstore.delete(self._store, path)
        except FileNotFoundError:
            return 0
        except (*_FAILURES, StoreUnreadable) as error:
            raise self._unwritable(path, error) from error
        return size

    def free_bytes(self) -> int | None:
        return None

    def _unreadable(self, path: str, error: Exception) -> Exception:
        code, text = _said(error)
        if code != "NoSuchBucket" and isinstance(error, FileNotFoundError):
            return FileNotFoundError(ENOENT, "no such object", f"{self._where}/{path}")
        what = f"{self._where}/{path} cannot be read: {text}"
        return StoreUnreadable(what, metadata={"code": code})

    def _unwritable(self, path: str, error: Exception) -> CacheError:
        if isinstance(error, CacheError):
            return StoreUnwritable(str(error), metadata=error.metadata)
        code, text = _said(error)
        what = f"{self._where}/{path} cannot be written: {text}"
        return StoreUnwritable(what, metadata={"code": code})


def _open(settings: S3Settings) -> S3Store:
    config: Any = {
        # Each request is signed with the SHA-256 of its bytes, so that the service refuses what was
        # damaged on its way; whatever the environment says for other programs.
        "unsigned_payload": "false",
        "region": settings.region,
        "access_key_id": settings.access_key,
        "secret_access_key": settings.secret_key,
        "session_token": settings.session_token,
        "endpoint": settings.endpoint,
    }
    config = {name: value for name, value in config.items() if value}
    limit = timedelta(seconds=settings.timeout_s)
    return S3Store(
        settings.bucket,
        prefix=settings.prefix or None,
        config=config,
        client_options={
            "allow_http": settings.endpoint.startswith("http://"),
            "timeout": limit,
            "connect_timeout": min(limit, timedelta(seconds=5)),
        },
        retry_config={
            "max_retries": 10,
            "retry_timeout": timedelta(seconds=settings.retry_s),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=_BACKOFF_MAX_S),
                "base": 2,
            },
        },
    )


def _said(error: Exception) -> tuple[str, str]:
    """The service's error code, and what to tell people: no more than a line."""
    whole = str(error)
    found = _CODE.search(whole)
    code = found[1] if found else ""
    if code:
        advice = _ADVICE.get(code, "")
        return code, f"{code}: {advice}" if advice else code
    first = whole.strip().partition("\n")[0]
    return "", first[:300] or type(error).__name__
