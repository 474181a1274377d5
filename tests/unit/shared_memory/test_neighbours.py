"""The service's end of a stream's connection, against docs/shared-memory.md."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesvc.shared_memory.blocks import Blocks
from cachesvc.shared_memory.neighbours import LOANS_MAX
from tests.client.running import in_event_loop
from tests.unit.shared_memory.ends import MIB, about, filled, lent, met, turns

AHEAD = 8 * MIB


@in_event_loop
async def test_a_block_is_introduced_once_with_its_descriptor() -> None:
    blocks = Blocks(4 * MIB)
    block = filled(blocks)
    block.memory[:7] = b"records"
    assert blocks.hold(block, "content")
    with met(blocks) as (neighbour, end, _):
        lent(neighbour, block)
        lent(neighbour, block)
        packet, (descriptor,) = end.hears()
        assert packet == b"m" + struct.pack("<qq", block.number, MIB)
        assert os.pread(descriptor, 7, 0) == b"records"
        os.close(descriptor)
        with pytest.raises(BlockingIOError):
            end.hears()


@in_event_loop
async def test_who_says_done_gives_one_loan_back() -> None:
    blocks = Blocks(4 * MIB)
    block = filled(blocks)
    assert blocks.hold(block, "content")
    with met(blocks) as (neighbour, end, _):
        lent(neighbour, block)
        lent(neighbour, block)
        assert (neighbour.lent_bytes, neighbour.loans) == (MIB, 2)
        end.says(b"t", block.number)
        end.says(b"d", block.number)
        await turns()
        assert (neighbour.lent_bytes, neighbour.loans, block.holders) == (MIB, 1, 1)
        end.says(b"d", block.number)
        await turns()
        assert (neighbour.lent_bytes, neighbour.loans, block.holders) == (0, 0, 0)
        assert not neighbour.closed
        assert blocks.take("orders", 1, keep=False) is block


@in_event_loop
async def test_the_service_waits_for_who_has_been_told_of_much_until_it_takes() -> None:
    blocks = Blocks(64 * MIB)
    first, second = filled(blocks, 1), filled(blocks, 2)
    with met(blocks) as (neighbour, end, _):
        lent(neighbour, first, AHEAD - 1)
        await neighbour.taken(neighbour.told_bytes)
        before = neighbour.told_bytes
        lent(neighbour, second, 1)
        waiting = asyncio.ensure_future(neighbour.taken(neighbour.told_bytes))
        await neighbour.taken(before)
        await turns()
        assert not waiting.done()
        end.says(b"t", second.number)
        await waiting
        waiting = asyncio.ensure_future(neighbour.taken(AHEAD + 1))
        await turns()
        assert not waiting.done()
        end.says(b"t", first.number)
        await waiting


@pytest.mark.parametrize("leaves", ["theirs", "ours"])
@in_event_loop
async def test_nobody_waits_for_who_is_gone(leaves: str) -> None:
    blocks = Blocks(64 * MIB)
    with met(blocks) as (neighbour, end, _):
        lent(neighbour, filled(blocks), AHEAD)
        waiting = asyncio.ensure_future(neighbour.taken(neighbour.told_bytes))
        await turns()
        assert not waiting.done()
        if leaves == "theirs":
            end.connection.close()
        else:
            neighbour.close()
        await waiting


@pytest.mark.parametrize(
    "packet",
    [
        b"\0",
        b"t",
        about(b"d", 1)[:-1],
        about(b"d", 1) + b"\0",
        about(b"x", 1),
        about(b"m", 1),
        about(b"t", 77),
        about(b"d", 77),
        about(b"d", -1),
        os.urandom(200),
    ],
)
@in_event_loop
async def test_who_says_something_else_is_hung_up_on(packet: bytes) -> None:
    blocks = Blocks(4 * MIB)
    with met(blocks) as (neighbour, end, closed):
        block = filled(blocks)
        assert block.number == 1
        lent(neighbour, block)
        end.maps()
        end.connection.send(packet)
        await turns()
        assert neighbour.closed
        assert closed == [neighbour]
        assert end.is_hung_up_on()
        assert block.holders == 0
        assert neighbour.lend(filled(blocks), 1) is False


@in_event_loop
async def test_who_says_done_once_too_often_is_hung_up_on() -> None:
    blocks = Blocks(4 * MIB)
    with met(blocks) as (neighbour, end, _):
        block = filled(blocks)
        assert blocks.hold(block, "content")
        lent(neighbour, block)
        end.says(b"d", block.number)
        end.says(b"d", block.number)
        await turns()
        assert neighbour.closed
        assert block.holders == 1, "somebody else's hold was given back"


@in_event_loop
async def test_what_a_client_had_that_closed_its_end_is_used_again() -> None:
    blocks = Blocks(4 * MIB)
    first, second = filled(blocks, 1), filled(blocks, 2)
    assert blocks.hold(first, 1)
    with met(blocks) as (neighbour, end, closed):
        lent(neighbour, first)
        lent(neighbour, first)
        lent(neighbour, second)
        end.connection.close()
        await turns()
        assert closed == [neighbour]
        assert blocks.used_bytes == 2 * MIB
        again = {blocks.take("orders", 1, keep=False) for _ in range(2)}
        assert again == {first, second}
        neighbour.close()
        assert closed == [neighbour]
        assert first.holders == second.holders == 1


@in_event_loop
async def test_what_a_client_has_that_was_hung_up_on_is_never_used_again() -> None:
    blocks = Blocks(4 * MIB)
    kept, given_back = filled(blocks, 1), filled(blocks, 2)
    kept.memory[:4] = b"kept"
    with met(blocks) as (neighbour, end, _):
        lent(neighbour, kept)
        _, memory = end.maps()
        lent(neighbour, given_back)
        end.says(b"d", given_back.number)
        await turns()
        neighbour.close()
        assert blocks.take("orders", 1, keep=False) is given_back
        other = blocks.take("orders", 1, keep=False)
        assert other is not None
        other.memory[:4] = b"else"
        assert memory[:4] == b"kept"
        assert blocks.gone() == [kept.number]


@pytest.mark.parametrize("client_closes_first", [False, True])
@in_event_loop
async def test_nothing_is_used_again_that_a_client_has_seen_who_may_be_refused(
    client_closes_first: bool,
) -> None:
    blocks = Blocks(4 * MIB)
    given_back, had, held = filled(blocks, 1), filled(blocks, 2), filled(blocks, 3)
    numbers = {given_back.number, had.number}
    assert blocks.hold(held, 3)
    with met(blocks) as (neighbour, end, closed):
        for block in (given_back, had, held):
            lent(neighbour, block)
        _, memory = end.maps()
        end.says(b"d", given_back.number)
        await turns()
        if client_closes_first:
            end.connection.close()
            await turns()
            assert neighbour.closed
        neighbour.end(retire=True)
        if not client_closes_first:
            assert not closed
            end.connection.close()
            await turns()
        assert closed == [neighbour]
        assert set(blocks.gone()) == numbers
        blocks.let_go(held)
        assert blocks.gone() == [held.number]
        later = blocks.take("orders", 1, keep=False)
        assert later is not None
        later.memory[:5] = b"later"
        assert memory[:5] != b"later"


@in_event_loop
async def test_what_is_kept_after_its_stream_counts_until_it_is_given_back() -> None:
    blocks = Blocks(64 * MIB)
    kept = filled(blocks)
    with met(blocks) as (neighbour, end, closed):
        lent(neighbour, kept)
        neighbour.end(retire=False)
        assert not neighbour.lend(kept, 1)
        await neighbour.taken(neighbour.told_bytes + AHEAD)  # nobody waits for it any more
        assert not closed
        assert blocks.used_bytes == kept.capacity
        end.says(b"d", kept.number)
        await turns()
        assert closed == [neighbour]
        assert not kept.retired
        assert blocks.take("orders", 1, keep=False) is kept


@in_event_loop
async def test_a_client_is_told_of_blocks_that_are_no_more_if_it_knows_them() -> None:
    blocks = Blocks(4 * MIB)
    known, unknown = filled(blocks, 1), filled(blocks, 2)
    with met(blocks) as (neighbour, end, _):
        lent(neighbour, known)
        end.maps()
        end.says(b"d", known.number)
        await turns()
        neighbour.forget([unknown.number, known.number])
        neighbour.forget([known.number])
        assert end.hears() == (about(b"f", known.number), [])
        with pytest.raises(BlockingIOError):
            end.hears()


@in_event_loop
async def test_who_cannot_be_told_of_a_block_is_not_lent_it() -> None:
    blocks = Blocks(4 * MIB)
    with met(blocks) as (neighbour, _, _):
        with contextlib.suppress(BlockingIOError):
            while True:
                neighbour._connection.send(b"nobody reads this")
        block = filled(blocks)
        assert neighbour.lend(block, 1) is False
        assert (neighbour.lent_bytes, neighbour.told_bytes, block.holders) == (0, 0, 1)


def test_a_client_can_say_all_that_it_has_to_while_nobody_listens() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.setblocking(False)
        for _ in range(LOANS_MAX):
            theirs.send(about(b"t", 1))
            theirs.send(about(b"d", 1))


lending = st.tuples(st.just("lend"), st.integers(0, 2))
saying = st.tuples(st.sampled_from("td"), st.integers(0, 2))


@given(
    st.lists(st.one_of(lending, lending, saying), max_size=40),
    st.sampled_from(["theirs", "ours", "retire"]),
)
def test_loans_are_counted_through_any_history(steps: list[tuple[str, int]], ends: str) -> None:
    @in_event_loop
    async def play() -> None:
        blocks = Blocks(4 * MIB)
        some = [filled(blocks, number) for number in range(3)]
        loans, untaken, taken_bytes = [0, 0, 0], [0, 0, 0], 0
        with met(blocks) as (neighbour, end, closed):
            for kind, which in steps:
                block = some[which]
                if kind == "lend":
                    assert blocks.hold(block, which)
                    lent(neighbour, block, 10)
                    loans[which] += 1
                    untaken[which] += 10
                elif loans[which]:
                    end.says(kind.encode(), block.number)
                    await turns()
                    if kind == "d":
                        loans[which] -= 1
                    else:
                        taken_bytes += untaken[which]
                        untaken[which] = 0
                assert [each.holders - 1 for each in some] == loans
                assert neighbour.loans == sum(loans)
                assert neighbour.lent_bytes == MIB * sum(map(bool, loans))
                assert neighbour.told_bytes - neighbour._taken_bytes == sum(untaken)
            if ends == "theirs":
                end.connection.close()
                await turns()
            if ends == "retire":
                neighbour.end(retire=True)
                end.connection.close()
                await turns()
            else:
                neighbour.close()
            assert closed == [neighbour]
            assert [each.holders for each in some] == [1, 1, 1]
            if ends != "retire":
                assert [each.retired for each in some] == [ends == "ours" and n > 0 for n in loans]

    play()
