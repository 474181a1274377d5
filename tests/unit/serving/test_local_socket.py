import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachesvc.errors import PreconditionFailed
from cachesvc.serving.local_socket import socket_path

LONG = "l" * 90


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for temporary files with a short path."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield Path(directory)


def can_be_bound(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    path.unlink()
    return True


def test_it_is_in_the_store_where_the_path_is_short_enough(short: Path) -> None:
    assert socket_path(short) == short / "service.sock"
    assert can_be_bound(socket_path(short))


def test_a_long_path_has_its_socket_elsewhere_and_always_there(short: Path) -> None:
    stores = [short / LONG / name for name in ("one", "two")]
    one, two = (socket_path(store) for store in stores)
    assert one != two
    assert one == socket_path(stores[0])
    assert one.parent.parent == short
    assert one.parent.stat().st_mode & 0o777 == 0o700
    assert can_be_bound(one)


def test_a_long_directory_for_temporary_files_is_not_used(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = short / LONG
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    found = socket_path(long / "store")
    assert not found.is_relative_to(short)
    assert can_be_bound(found)


@pytest.mark.parametrize("kind", ["open", "file", "link"])
def test_a_directory_that_others_may_have_made_is_refused(short: Path, kind: str) -> None:
    directory = socket_path(short / LONG / "store").parent
    directory.rmdir()
    if kind == "open":
        directory.mkdir(mode=0o755)
    elif kind == "link":
        (short / "elsewhere").mkdir()
        directory.symlink_to(short / "elsewhere")
    else:
        directory.touch()
    with pytest.raises(PreconditionFailed, match="set TMPDIR") as refused:
        socket_path(short / LONG / "store")
    assert refused.value.reason == "SOCKET_DIRECTORY_UNSAFE"
