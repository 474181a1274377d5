from __future__ import annotations

import errno
import os
from collections import OrderedDict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesvc.store.open_files import OpenFiles


def made(directory: Path, count: int) -> list[Path]:
    paths = [directory / str(number) for number in range(count)]
    for path in paths:
        path.touch()
    return paths


def held() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_makes_files_and_opens_them_again(tmp_path: Path) -> None:
    files = OpenFiles(1)
    one, other = tmp_path / "one", tmp_path / "other"
    os.write(files.create(one), b"a")
    os.write(files.create(other), b"b")
    os.write(files.descriptor(one), b"c")
    assert (one.read_bytes(), other.read_bytes()) == (b"ac", b"b")
    with pytest.raises(FileExistsError):
        files.create(one)


def test_refuses_to_hold_none() -> None:
    with pytest.raises(ValueError, match="0 is no number"):
        OpenFiles(0)


def test_does_not_make_what_it_is_to_find(tmp_path: Path) -> None:
    files = OpenFiles(2)
    with pytest.raises(FileNotFoundError):
        files.descriptor(tmp_path / "gone")
    assert len(files) == 0
    assert not (tmp_path / "gone").exists()


@given(
    limit=st.integers(1, 4),
    calls=st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=60),
)
def test_the_least_recently_used_goes_first(
    tmp_path_factory: pytest.TempPathFactory, limit: int, calls: list[tuple[bool, int]]
) -> None:
    paths = made(tmp_path_factory.mktemp("files"), 7)
    before, files = held(), OpenFiles(limit)
    model: OrderedDict[int, None] = OrderedDict()
    for wanted, number in calls:
        if wanted:
            assert os.fstat(files.descriptor(paths[number])).st_ino == paths[number].stat().st_ino
            model[number] = None
            model.move_to_end(number)
            while len(model) > limit:
                model.popitem(last=False)
        else:
            files.release(paths[number])
            model.pop(number, None)
        assert list(files._open) == [paths[each] for each in model]
        assert held() - before == len(model) <= limit
    files.close()
    assert held() == before


def test_lets_go_of_others_where_the_process_may_open_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = made(tmp_path, 4)
    files, real = OpenFiles(10), os.open
    for path in paths[:3]:
        files.descriptor(path)
    room = 2

    def scarce(path: Path, flags: int, mode: int = 0o777) -> int:
        if len(files) >= room:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path, flags, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", scarce)
        files.descriptor(paths[3])
        assert list(files._open) == [paths[2], paths[3]]
        room = 0
        with pytest.raises(OSError, match="Too many"):
            files.descriptor(paths[0])
    assert len(files) == 0
