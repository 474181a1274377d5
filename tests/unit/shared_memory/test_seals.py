"""Who is handed a block reads it, and can do nothing else with it."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
from collections.abc import Iterator

import pytest

from cachesvc.shared_memory.blocks import Block, Blocks

MIB = 1 << 20
_PUNCH_HOLE = 0x02 | 0x01
_C = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def block() -> Iterator[Block]:
    blocks = Blocks(MIB)
    made = blocks.take("orders", MIB, keep=False)
    assert made is not None
    made.memory[:7] = b"records"
    yield made
    blocks.let_go(made)
    blocks.clear()


@pytest.fixture
def handed(block: Block) -> Iterator[int]:
    """A descriptor of somebody else, opened anew with every right that the file gives."""
    descriptor = os.open(f"/proc/self/fd/{block.descriptor}", os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def test_it_is_mapped_and_shows_what_is_written_later(block: Block, handed: int) -> None:
    with mmap.mmap(handed, MIB, mmap.MAP_SHARED, mmap.PROT_READ) as seen:
        assert seen[:7] == b"records"
        block.memory[:7] = b"RECORDS"
        assert seen[:7] == b"RECORDS"


def test_it_is_not_written_to(block: Block, handed: int) -> None:
    with pytest.raises(PermissionError):
        os.pwrite(handed, b"lies", 0)
    with pytest.raises(PermissionError):
        mmap.mmap(handed, MIB, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    assert block.memory[:7] == b"records"


def test_a_mapping_does_not_become_one_to_write_to(block: Block, handed: int) -> None:
    address = _mapped(handed)
    try:
        assert _C.mprotect(address, MIB, mmap.PROT_READ | mmap.PROT_WRITE) == -1
    finally:
        _C.munmap(address, MIB)
    assert block.memory[:7] == b"records"


def test_it_is_not_resized_or_emptied(block: Block, handed: int) -> None:
    for size in (0, MIB - 1, 2 * MIB):
        with pytest.raises(PermissionError):
            os.ftruncate(handed, size)
    begin, length = ctypes.c_long(0), ctypes.c_long(MIB)
    assert _C.fallocate(handed, _PUNCH_HOLE, begin, length) == -1
    with mmap.mmap(handed, MIB, mmap.MAP_SHARED, mmap.PROT_READ) as seen:
        with pytest.raises(PermissionError):
            seen.madvise(mmap.MADV_REMOVE)
        assert seen[:7] == b"records"
    assert block.memory[:7] == b"records"


def test_it_has_its_seals_for_good(handed: int) -> None:
    before = fcntl.fcntl(handed, fcntl.F_GET_SEALS)
    with pytest.raises(PermissionError):
        fcntl.fcntl(handed, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    assert fcntl.fcntl(handed, fcntl.F_GET_SEALS) == before
    wanted = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    assert before & wanted == wanted


def _mapped(descriptor: int) -> ctypes.c_void_p:
    _C.mmap.restype = ctypes.c_void_p
    begin = ctypes.c_long(0)
    address = _C.mmap(None, MIB, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, begin)
    return ctypes.c_void_p(address)
