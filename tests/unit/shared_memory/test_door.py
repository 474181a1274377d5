"""Who comes in at the socket, and how many are let in."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from cachesvc.shared_memory import door as doors
from cachesvc.shared_memory.blocks import Blocks
from cachesvc.shared_memory.door import NEIGHBOURS_MAX, TOKEN_BYTES, Door, socket_name
from cachesvc.shared_memory.neighbours import Neighbour
from tests.client.running import eventually, in_event_loop
from tests.unit.shared_memory.ends import MIB, End, about, filled, lent, turns

STRANGERS_MAX = 64
FLOOD = 100


@contextmanager
def opened(blocks: Blocks | None = None) -> Iterator[tuple[Door, int]]:
    """A door, and the port in its name; of no service, for it is beyond all ports."""
    port = 100_000 + os.getpid()
    door = Door(blocks or Blocks(4 * MIB))
    door.open(port)
    try:
        yield door, port
    finally:
        door.close()
        door.close()


def came(port: int, *said: bytes) -> End:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        connection.connect(socket_name(port))
    except OSError:
        connection.close()
        raise
    for each in said:
        connection.send(each)
    return End(connection)


def token(number: int) -> bytes:
    return number.to_bytes(TOKEN_BYTES, "little")


def claimed(door: Door, number: int) -> Neighbour:
    neighbour = door.claim(token(number))
    assert neighbour is not None
    return neighbour


def hang_ups(ends: list[End]) -> list[bool]:
    return [end.is_hung_up_on() for end in ends]


def close(*ends: End) -> None:
    for end in ends:
        end.connection.close()


@pytest.mark.parametrize("before", [0, 5])
@in_event_loop
async def test_the_stream_that_names_the_token_has_the_connection(before: int) -> None:
    blocks = Blocks(4 * MIB)
    with opened(blocks) as (door, port):
        first, second = came(port, token(1)), came(port, token(2))
        await turns(before)
        neighbour = claimed(door, 2)
        block = filled(blocks)
        lent(neighbour, block)
        assert second.maps()[0] == block.number
        with pytest.raises(BlockingIOError):
            first.hears()
        assert list(door.neighbours) == [neighbour]
        close(first, second)
        await turns()
        assert list(door.neighbours) == []
        assert block.holders == 0


@in_event_loop
async def test_a_token_is_good_for_one_stream_and_nobody_knows_others() -> None:
    with opened() as (door, port):
        end = came(port, token(1))
        for unknown in (b"", token(1)[:-1], token(1) + b"\0", token(2)):
            assert door.claim(unknown) is None
        claimed(door, 1)
        assert door.claim(token(1)) is None
        close(end)


@pytest.mark.parametrize("size", [0, 1, TOKEN_BYTES - 1, TOKEN_BYTES + 1, 4096])
@in_event_loop
async def test_who_says_something_else_than_a_token_is_turned_away(size: int) -> None:
    with opened() as (door, port):
        end = came(port, b"\1" * size)
        other = came(port, token(1))
        await turns()
        assert hang_ups([end, other]) == [True, False]
        claimed(door, 1)
        close(end, other)


@in_event_loop
async def test_who_says_more_than_its_token_is_turned_away_and_its_token_forgotten() -> None:
    with opened() as (door, port):
        end = came(port, token(1), token(2))
        await turns()
        assert end.is_hung_up_on()
        assert door.claim(token(1)) is None
        assert door.claim(token(2)) is None
        close(end)


@in_event_loop
async def test_a_token_that_is_there_already_stays_with_who_came_first() -> None:
    with opened() as (door, port):
        first = came(port, token(1))
        await turns()
        second = came(port, token(1))
        await turns()
        assert hang_ups([first, second]) == [False, True]
        claimed(door, 1)
        assert not first.is_hung_up_on()
        close(first, second)


@in_event_loop
async def test_who_has_gone_before_its_stream_came_is_forgotten() -> None:
    with opened() as (door, port):
        close(came(port, token(1)))
        await turns()
        assert door.claim(token(1)) is None
        end = came(port, token(1))
        claimed(door, 1)
        close(end)


@pytest.mark.parametrize("says_token", [False, True])
@in_event_loop
async def test_of_those_that_no_stream_names_the_newest_stay(says_token: bool) -> None:
    with opened() as (door, port):
        ends = []
        for number in range(FLOOD):
            ends.append(came(port, *([token(number)] if says_token else [])))
            await turns()
        assert hang_ups(ends) == [True] * (FLOOD - STRANGERS_MAX) + [False] * STRANGERS_MAX
        served = came(port, token(FLOOD))
        claimed(door, FLOOD)
        assert not served.is_hung_up_on()
        close(*ends, served)


@in_event_loop
async def test_a_flood_takes_nothing_from_who_has_a_stream() -> None:
    blocks = Blocks(4 * MIB)
    with opened(blocks) as (door, port):
        served = came(port, token(1))
        neighbour = claimed(door, 1)
        ends = [came(port) for _ in range(FLOOD)]
        await turns()
        block = filled(blocks)
        lent(neighbour, block)
        served.says(b"d", served.maps()[0])
        await turns()
        assert (neighbour.closed, neighbour.loans) == (False, 0)
        close(*ends, served)


@in_event_loop
async def test_users_do_not_turn_each_other_away(monkeypatch: pytest.MonkeyPatch) -> None:
    users: list[int] = []
    monkeypatch.setattr(doors, "_user_of", lambda connection: users[-1])
    with opened() as (door, port):
        users.append(1)
        first = came(port, token(1))
        await turns()
        users.append(2)
        ends = []
        for _ in range(FLOOD):
            ends.append(came(port))
            await turns()
        assert sum(hang_ups(ends)) == FLOOD - STRANGERS_MAX
        claimed(door, 1)
        close(first, *ends)


@in_event_loop
async def test_all_users_together_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    users: list[int] = []
    monkeypatch.setattr(doors, "_user_of", lambda connection: users[-1])
    with opened() as (_, port):
        ends = []
        for user in range(300):
            users.append(user)
            ends.append(came(port))
            await turns()
        assert hang_ups(ends) == [True] * 44 + [False] * 256
        close(*ends)


@in_event_loop
async def test_no_more_streams_are_handed_memory_than_may_be() -> None:
    with opened() as (door, port):
        ends = []
        for number in range(NEIGHBOURS_MAX):
            ends.append(came(port, token(number)))
            claimed(door, number)
        ends.append(came(port, token(1000)))
        assert door.claim(token(1000)) is None
        ends[0].connection.close()
        await turns()
        claimed(door, 1000)
        close(*ends)


@in_event_loop
async def test_a_name_that_somebody_has_costs_the_memory_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with opened() as (_, port), caplog.at_level(logging.WARNING):
        late = Door(Blocks(4 * MIB))
        late.open(port)
        (said,) = caplog.records
        assert (said.levelname, said.__dict__["event"]) == ("WARNING", "no_shared_memory")
        assert late.claim(token(1)) is None
        late.tell_gone()
        late.close()


@in_event_loop
async def test_a_door_that_is_closed_hangs_up_on_all_and_has_its_name_free() -> None:
    blocks = Blocks(4 * MIB)
    with opened(blocks) as (door, port), ExitStack() as stack:
        ends = [came(port, token(1)), came(port, token(2)), came(port)]
        neighbour = claimed(door, 1)
        lent(neighbour, filled(blocks))
        await turns()
        door.close()
        assert neighbour.closed
        ends[0].maps()
        assert hang_ups(ends) == [True] * 3
        assert door.claim(token(2)) is None
        with pytest.raises(ConnectionRefusedError):
            came(port)
        again = stack.enter_context(opened())[0]
        ends.append(came(port, token(3)))
        claimed(again, 3)
        close(*ends)


@in_event_loop
async def test_neighbours_are_told_which_blocks_are_no_more() -> None:
    blocks = Blocks(4 * MIB)
    with opened(blocks) as (door, port):
        ends = [came(port, token(1)), came(port, token(2))]
        both = [claimed(door, 1), claimed(door, 2)]
        block = filled(blocks)
        lent(both[0], block)
        number, _ = ends[0].maps()
        ends[0].says(b"d", number)
        await turns()
        blocks.clear()
        door.tell_gone()
        assert ends[0].hears() == (about(b"f", number), [])
        with pytest.raises(BlockingIOError):
            ends[1].hears()
        close(*ends)


@in_event_loop
async def test_where_no_descriptor_is_free_it_listens_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doors, "_PAUSE_S", 0.01)
    with opened() as (door, port):
        end = came(port, token(1))
        with monkeypatch.context() as full:
            full.setattr(socket.socket, "accept", _no_descriptor)
            await turns()
            assert door.claim(token(1)) is None
        other = came(port, token(2))
        await eventually(lambda: door._named.keys() >= {token(1), token(2)})
        claimed(door, 1)
        close(end, other)


def _no_descriptor(_: socket.socket) -> None:
    raise OSError(24, "Too many open files")
