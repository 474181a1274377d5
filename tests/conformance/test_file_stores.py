"""One contract for every place where sealed files lie: a directory, an S3 server, memory."""

import os
import secrets
from pathlib import Path

import pytest

from cachesvc.log.stores import owner_of
from cachesvc.store import layout, s3_files
from cachesvc.store.block_cache import BlockCache
from cachesvc.store.file_store import FileStore
from cachesvc.store.local_files import LocalFiles
from cachesvc.store.memory_files import MemoryFiles
from cachesvc.store.remote_file import BLOCK_BYTES
from cachesvc.store.s3_files import S3Files
from tests.support.s3_server import S3Server

NAME = "00000000000000000000-00000000000000000009-0123abcd-deadbeef.parquet"
PATH = f"log/kafka/orders/i1/partition=0/{NAME}"
# No part but the last may be smaller: Amazon S3, multipart upload limits.
PART_BYTES = 5 << 20
OTHER = f"rejects/kafka/orders/i1/partition=0/{NAME}"


@pytest.fixture(params=["directory", "memory", "s3", "s3 without a cache", "s3 in parts"])
def files(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FileStore:
    if request.param == "directory":
        return LocalFiles(tmp_path / "place")
    if request.param == "memory":
        return MemoryFiles()
    if "parts" in request.param:  # as files of more than 64 MiB are put
        monkeypatch.setattr(s3_files, "SINGLE_PUT_BYTES_MAX", 0)
        monkeypatch.setattr(s3_files, "_PART_BYTES", PART_BYTES)
    server: S3Server = request.getfixturevalue("s3_server")
    cache = BlockCache(tmp_path / "cache", 0 if "without" in request.param else 64 << 20)
    return S3Files(server.settings(secrets.token_hex(4)), cache)


def written(tmp_path: Path, data: bytes) -> Path:
    source = tmp_path / secrets.token_hex(4)
    source.write_bytes(data)
    return source


def whole(files: FileStore, path: str) -> bytes:
    with files.file(path).open("rb", buffering=0) as file:
        return file.read()


@pytest.mark.parametrize("size", [1, 3 * BLOCK_BYTES + 17, 2 * PART_BYTES + 1])
def test_what_was_put_is_there(files: FileStore, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    files.put(PATH, written(tmp_path, data))
    assert whole(files, PATH) == data
    files.fetch(PATH, tmp_path / "deep" / "copy")
    assert (tmp_path / "deep" / "copy").read_bytes() == data
    assert files.file(PATH).name == NAME


@pytest.mark.parametrize("known_size", [True, False])
def test_any_range_can_be_read(files: FileStore, tmp_path: Path, known_size: bool) -> None:
    data = os.urandom(5 * BLOCK_BYTES + 3)
    files.put(PATH, written(tmp_path, data))
    file = files.file(PATH, len(data) if known_size else None)
    edges = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 4 * BLOCK_BYTES, len(data) - 1]
    for begin in [*edges, *reversed(edges)]:
        with file.open("rb", buffering=0) as opened:
            for length in (1, BLOCK_BYTES, 2 * BLOCK_BYTES + 1, len(data)):
                assert opened.seek(begin) == begin
                assert opened.read(length) == data[begin : begin + length]
                assert opened.tell() == min(begin + length, len(data))
    with file.open("rb", buffering=0) as opened:
        assert opened.seek(-5, os.SEEK_END) == len(data) - 5
        assert opened.read() == data[-5:]
        assert opened.read(1) == b""


def test_a_name_is_given_once(files: FileStore, tmp_path: Path) -> None:
    files.put(PATH, written(tmp_path, b"first"))
    with pytest.raises(FileExistsError):
        files.put(PATH, written(tmp_path, b"another"))
    assert whole(files, PATH) == b"first"


def test_a_put_may_be_repeated(files: FileStore, tmp_path: Path) -> None:
    source = written(tmp_path, b"the same")
    files.put(PATH, source)
    files.put(PATH, source)
    assert whole(files, PATH) == b"the same"


def test_what_is_not_there_is_named(files: FileStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        whole(files, PATH)
    with pytest.raises(FileNotFoundError):
        files.fetch(PATH, tmp_path / "copy")
    assert files.delete(PATH) == 0
    assert list(files.list("log")) == []


def test_files_are_listed_below_a_directory(files: FileStore, tmp_path: Path) -> None:
    files.put(PATH, written(tmp_path, b"12345"))
    files.put(OTHER, written(tmp_path, b"123"))
    files.put("logs/other", written(tmp_path, b"1"))
    (found,) = files.list("log")
    assert (found.path, found.bytes) == (PATH, 5)
    assert [each.path for each in files.list("rejects")] == [OTHER]


def test_whose_place_it_is_by_now_is_told(files: FileStore, tmp_path: Path) -> None:
    assert owner_of(files) == ""
    for owner in ("one", "two"):
        files.put(layout.OWNER, written(tmp_path, owner.encode()))
        assert owner_of(files) == owner
        files.delete(layout.OWNER)


def test_a_deleted_file_is_gone(files: FileStore, tmp_path: Path) -> None:
    files.put(PATH, written(tmp_path, b"12345"))
    assert files.delete(PATH) == 5
    assert files.delete(PATH) == 0
    with pytest.raises(FileNotFoundError):
        whole(files, PATH)
