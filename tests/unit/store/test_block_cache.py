"""Blocks of remote files on disk: bounded, checked, and there after a restart."""

from pathlib import Path

from cachesvc.store.block_cache import BlockCache

HEAD = 4


def stored(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    BlockCache(tmp_path, 1_000).put("log/a.parquet", 3, b"some data")
    cache = BlockCache(tmp_path, 1_000)
    assert cache.get("log/a.parquet", 3) == b"some data"
    assert cache.has("log/a.parquet", 3)
    assert cache.get("log/a.parquet", 2) is None
    assert cache.get("log/b.parquet", 3) is None
    assert cache.bytes == stored(tmp_path) == HEAD + 9


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, 3 * (HEAD + 10))
    for number in range(3):
        cache.put("a", number, bytes(10))
    assert cache.get("a", 0) == bytes(10)
    cache.put("a", 3, bytes(10))
    assert [cache.has("a", number) for number in range(4)] == [True, False, True, True]
    assert cache.bytes == stored(tmp_path) == 3 * (HEAD + 10)


def test_a_smaller_bound_holds_at_once(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, 10_000)
    for number in range(10):
        cache.put("a", number, bytes(100))
    assert BlockCache(tmp_path, 250).bytes == stored(tmp_path) == 2 * (HEAD + 100)


def test_what_is_too_large_or_not_wanted_is_not_kept(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, 100)
    cache.put("a", 0, bytes(97))
    assert cache.get("a", 0) is None
    assert stored(tmp_path) == 0


def test_a_damaged_block_was_never_there(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, 10_000)
    cache.put("a", 0, bytes(100))
    (path,) = tmp_path.iterdir()
    for damaged in (b"", path.read_bytes()[:-1], b"\1" + path.read_bytes()[1:]):
        cache.put("a", 0, bytes(100))
        path.write_bytes(damaged)
        assert cache.get("a", 0) is None
        assert not cache.has("a", 0)
        assert (cache.bytes, stored(tmp_path)) == (0, 0)


def test_one_that_was_being_written_goes_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "0123-0.block.ab12").write_bytes(b"torn")
    BlockCache(tmp_path, 10_000)
    assert stored(tmp_path) == 0
