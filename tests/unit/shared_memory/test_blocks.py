"""Blocks of shared memory through any history of taking, holding, letting go and retiring."""

from __future__ import annotations

import contextlib
import os
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from cachesvc.shared_memory.blocks import Block, Blocks

MIB = 1 << 20
BYTES_MAX = 6 * MIB
MARK = 64
"""Bytes that are written at the begin and the end of what is filled."""


def open_files() -> set[tuple[int, int]]:
    """What descriptors of this process refer to."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(file_of(os.stat(f"/proc/self/fd/{name}")))
    return found


def file_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class Histories(RuleBasedStateMachine):
    """The model is a list of holds: which block each is of, and what it has to find there."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = Blocks(BYTES_MAX)
        self.holds: list[tuple[Block, bytes]] = []
        self.seen: dict[int, Block] = {}
        self.owners: dict[int, str] = {}
        self.filled: dict[Block, tuple[str, int]] = {}
        self.retired: set[int] = set()
        self.gone: list[int] = []
        self.contents = 0
        self.files: set[tuple[int, int]] = set()

    @rule(
        owner=st.sampled_from("ab"),
        size=st.one_of(st.integers(1, 2 * MIB), st.sampled_from([MIB, MIB + 1, 7 * MIB])),
        keep=st.booleans(),
    )
    def take(self, owner: str, size: int, keep: bool) -> None:
        held = {each for each, _ in self.holds}
        idle_before = {each for each in self.filled if each.content is not None} - held
        block = self.blocks.take(owner, size, keep=keep)
        if block is None:
            capacity = -(-size // MIB) * MIB
            assert sum(each.capacity for each in held) + capacity > BYTES_MAX
            assert all(each.content is not None for each in idle_before), "given up for nothing"
            return
        assert block.capacity >= size
        assert block not in held
        assert block.content is None
        assert block.holders == 1
        assert block.number not in self.retired
        assert self.owners.setdefault(block.number, owner) == owner
        assert self.seen.setdefault(block.number, block) is block, "a number came again"
        self.files.add(file_of(os.fstat(block.descriptor)))
        self.contents += 1
        mark = self.contents.to_bytes(8, "little") * (MARK // 8)
        block.memory[:MARK] = mark
        block.memory[block.capacity - MARK :] = mark
        content = (owner, self.contents)
        self.blocks.filled(block, content)
        self.filled[block] = content
        self.holds.append((block, mark))

    @rule(data=st.data(), is_newest=st.booleans())
    def hold(self, data: st.DataObject, is_newest: bool) -> None:
        if not self.seen:
            return
        block = data.draw(st.sampled_from(list(self.seen.values())), "block")
        content = self.filled[block] if is_newest else ("a", 0)
        has_it = block.content == content
        assert self.blocks.hold(block, content) is has_it
        if has_it:
            assert block.memory[:8] == content[1].to_bytes(8, "little")
            self.holds.append((block, block.memory[:MARK]))

    @rule(data=st.data(), retire=st.booleans())
    def let_go(self, data: st.DataObject, retire: bool) -> None:
        if not self.holds:
            return
        block, _ = self.holds.pop(data.draw(st.integers(0, len(self.holds) - 1), "hold"))
        if retire:
            self.retired.add(block.number)
        self.blocks.let_go(block, retire=retire)

    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        numbers = data.draw(st.sets(st.sampled_from([*self.seen, -1])), "numbers")
        self.retired |= numbers
        self.blocks.retire(numbers)

    @rule()
    def clear(self) -> None:
        self.blocks.clear()
        held = {each for each, _ in self.holds}
        assert self.blocks.used_bytes == sum(each.capacity for each in held)

    @rule()
    def ask_what_is_gone(self) -> None:
        self.gone += self.blocks.gone()
        assert len(set(self.gone)) == len(self.gone), "a block went twice"
        there = {each.number for each in self.seen.values() if not each.memory.closed}
        assert set(self.gone) == self.seen.keys() - there

    @invariant()
    def they_never_have_more_than_the_bound(self) -> None:
        there = [each for each in self.seen.values() if not each.memory.closed]
        assert self.blocks.used_bytes == sum(each.capacity for each in there) <= BYTES_MAX

    @invariant()
    def what_is_held_does_not_change(self) -> None:
        for block, mark in self.holds:
            assert block.memory[:MARK] == mark
            assert block.memory[block.capacity - MARK :] == mark
            assert os.fstat(block.descriptor).st_size == block.capacity

    @invariant()
    def every_hold_is_counted(self) -> None:
        holds = Counter(block for block, _ in self.holds)
        there = [each for each in self.seen.values() if not each.memory.closed]
        assert {each: each.holders for each in there if each.holders} == holds

    @invariant()
    def who_is_retired_and_not_held_is_no_more(self) -> None:
        held = {block.number for block, _ in self.holds}
        assert all(self.seen[each].memory.closed for each in self.retired - held - {-1})

    def teardown(self) -> None:
        for block, _ in self.holds:
            self.blocks.let_go(block)
        self.blocks.clear()
        assert self.blocks.used_bytes == 0
        assert not self.files & open_files(), "a descriptor is left"


def test_blocks_keep_what_is_held_and_stay_within_their_bound() -> None:
    run_state_machine_as_test(Histories, settings=settings(deadline=None))


def test_a_block_that_is_not_wanted_again_is_used_rather_than_a_new_one_made() -> None:
    blocks = Blocks(BYTES_MAX)
    first = blocks.take("a", MIB, keep=False)
    assert first is not None
    blocks.let_go(first)
    assert blocks.take("a", MIB, keep=False) is first


def test_what_idle_blocks_hold_is_kept_while_there_is_room_for_another() -> None:
    blocks = Blocks(2 * MIB)
    first, second = blocks.take("a", MIB, keep=True), blocks.take("a", MIB, keep=True)
    assert first is not None
    assert second is not None
    blocks.filled(first, 1)
    blocks.let_go(first)
    blocks.let_go(second)
    assert blocks.take("a", MIB, keep=True) is first, "the one that was used first goes first"
    assert not blocks.hold(first, 1)
