"""Memory of the service: where it is found, and that it is given back once and never too early."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import ipc

from cachesvc.client.errors import Unavailable
from cachesvc.client.shared_memory import SharedMemory
from tests.client.lender import CAPACITY, Lender, about, lending, listening, records_stream
from tests.client.running import eventually, in_event_loop

DATA = records_stream(0, 6)


def port_of_nobody() -> socket.socket:
    """A TCP socket whose port nobody else has while it is open."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held


@pytest.mark.parametrize(
    "target",
    [
        "example.org:{}",
        "10.0.0.1:{}",
        "0.0.0.0:{}",
        "[::]:{}",
        "localhost.example.org:{}",
        "dns://resolver/localhost:{}",
        "unix:/run/{}",
        "localhost",
        "localhost:",
        "localhost:x{}",
        "localhost:99999{}",
        "",
    ],
)
def test_a_service_elsewhere_is_not_looked_for_here(target: str) -> None:
    with port_of_nobody() as held:
        port = held.getsockname()[1]
        with listening(port) as sock:
            assert SharedMemory.reach(target.format(port)) is None
            with pytest.raises(BlockingIOError):
                sock.accept()


@pytest.mark.parametrize(
    "target",
    [
        "localhost:{}",
        "LOCALHOST:{}",
        "127.0.0.1:{}",
        "127.8.9.10:{}",
        "[::1]:{}",
        "ipv4:127.0.0.1:{}",
        "ipv6:[::1]:{}",
        "dns:localhost:{}",
        "dns:///localhost:{}",
    ],
)
def test_a_service_of_this_machine_gets_a_token(target: str) -> None:
    with port_of_nobody() as held:
        port = held.getsockname()[1]
        assert SharedMemory.reach(target.format(port)) is None, "nobody listens"
        with listening(port) as sock:
            memories = [SharedMemory.reach(target.format(port)) for _ in range(2)]
            tokens = set()
            for memory in memories:
                assert memory is not None
                connection, _ = sock.accept()
                with connection:
                    tokens.add(connection.recv(64))
                assert memory.token in tokens
                memory.close()
            assert [len(each) for each in tokens] == [16, 16]


Keeper = Callable[[pa.Buffer], Any]
KEEPERS: dict[str, Keeper] = {
    "buffer": lambda buffer: buffer,
    "slice": lambda buffer: buffer.slice(8, 16),
    "memoryview": memoryview,
    "reader": ipc.open_stream,
    "table": lambda buffer: ipc.open_stream(buffer).read_all(),
    "column": lambda buffer: ipc.open_stream(buffer).read_all().column("value"),
    "rows": lambda buffer: ipc.open_stream(buffer).read_all().slice(3, 1),
    "numpy": lambda buffer: ipc.open_stream(buffer).read_next_batch().column("offset").to_numpy(),
    "child": lambda buffer: ipc.open_stream(buffer).read_all().column("headers").chunk(0).values,
    "capsule": lambda buffer: ipc.open_stream(buffer).read_all().__arrow_c_stream__(),
}


@pytest.mark.parametrize("keeper", KEEPERS)
@pytest.mark.parametrize("closes_first", [False, True])
@in_event_loop
async def test_whatever_keeps_a_piece_keeps_it_from_being_given_back(
    keeper: str, closes_first: bool
) -> None:
    with lending() as (memory, lender):
        buffer = await memory.take(7, lender.lend(7, DATA))
        kept = KEEPERS[keeper](buffer)
        del buffer
        if closes_first:
            memory.close()
        assert lender.listen() == [about(b"t", 7)]
        del kept
        assert lender.listen()[:2] == [about(b"t", 7), about(b"d", 7)]
        memory.close()
        assert lender.listen() == [about(b"t", 7), about(b"d", 7), b""]


@in_event_loop
async def test_what_is_taken_is_what_was_lent_and_no_more_of_the_block() -> None:
    with lending() as (memory, lender):
        buffer = await memory.take(7, lender.lend(7, DATA))
        assert buffer.to_pybytes() == DATA
        assert not buffer.is_mutable
        table = ipc.open_stream(buffer).read_all()
        assert table.column("offset").to_pylist() == list(range(6))


@in_event_loop
async def test_a_block_that_is_filled_again_is_another_loan() -> None:
    with lending() as (memory, lender):
        first = await memory.take(7, lender.lend(7, DATA))
        second = await memory.take(7, lender.lend(7, DATA))
        del first
        assert lender.done(7) == 1
        third = await memory.take(7, lender.lend(7, DATA))
        del second, third
        assert lender.done(7) == 3
        assert lender.heard.count(about(b"t", 7)) == 3


@in_event_loop
async def test_who_waits_for_a_block_has_it_when_it_comes() -> None:
    with lending() as (memory, lender):
        taking = asyncio.ensure_future(memory.take(7, len(DATA)))
        await asyncio.sleep(0)
        lender.lend(5, b"another")
        await asyncio.sleep(0)
        assert not taking.done()
        lender.lend(7, DATA)
        assert (await taking).to_pybytes() == DATA
        assert lender.listen() == [about(b"t", 7)]


@in_event_loop
async def test_who_stops_waiting_loses_nothing() -> None:
    with lending() as (memory, lender):
        taking = asyncio.ensure_future(memory.take(7, len(DATA)))
        await asyncio.sleep(0)
        taking.cancel()
        await asyncio.wait((taking,))
        lender.lend(7, DATA)
        assert (await memory.take(7, len(DATA))).to_pybytes() == DATA
        assert lender.listen() == [about(b"t", 7), about(b"d", 7)]


def mapped(lender: Lender, number: int) -> bool:
    """Whether this process maps a block."""
    inode = str(os.fstat(lender.files[number]).st_ino)
    with open("/proc/self/maps") as maps:
        return any("lender" in line and inode in line.split() for line in maps)


@in_event_loop
async def test_memory_that_the_service_gives_up_is_given_up_without_a_call() -> None:
    with lending() as (memory, lender):
        kept = await memory.take(7, lender.lend(7, DATA))
        await memory.take(8, lender.lend(8, DATA))
        assert mapped(lender, 8)
        lender.forget(7)
        lender.forget(8)
        await eventually(lambda: not mapped(lender, 8))
        assert mapped(lender, 7)
        assert kept.to_pybytes() == DATA
        del kept
        assert not mapped(lender, 7)


@in_event_loop
async def test_nothing_is_taken_from_who_has_named_no_block() -> None:
    """Another process may have the name of the service's socket."""
    with lending() as (_, lender):
        lender.lend(7, DATA)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not mapped(lender, 7)


@pytest.mark.parametrize("length", [-1, CAPACITY + 1])
@in_event_loop
async def test_a_piece_that_is_no_part_of_its_block_is_not_to_be_had(length: int) -> None:
    with lending() as (memory, lender):
        lender.lend(7, DATA)
        with pytest.raises(Unavailable, match="has no"):
            await memory.take(7, length)
        assert lender.listen() == []


@pytest.mark.parametrize("what", ["short", "none", "negative", "junk", "closed"])
@in_event_loop
async def test_what_does_not_come_as_it_should_is_not_to_be_had(what: str) -> None:
    with lending() as (memory, lender):
        lender.lend(6, DATA)
        before = await memory.take(6, len(DATA))
        file = lender.files[6]
        if what == "short":
            lender.introduce(7, CAPACITY + 1, file)
        elif what == "none":
            lender.introduce(7, CAPACITY)
        elif what == "negative":
            lender.introduce(7, -1, file)
        elif what == "junk":
            lender.connection.send(b"junk")
        else:
            lender.connection.shutdown(socket.SHUT_RDWR)
        for _ in range(2):
            with pytest.raises(Unavailable) as raised:
                await memory.take(7, 1)
            assert raised.value.reason == "NO_SHARED_MEMORY"
        assert before.to_pybytes() == DATA


@in_event_loop
async def test_no_descriptor_is_left() -> None:
    with lending() as (memory, lender):
        for number in range(10):
            await memory.take(number, lender.lend(number, DATA))
        memory.close()
        blocks = {os.fstat(each).st_ino for each in lender.files.values()}
        refer = [_file(each) for each in os.listdir("/proc/self/fd")]
        assert sum(each in blocks for each in refer) == 10  # the lender's
        assert lender.listen()[-1] == b""


def _file(descriptor: str) -> int:
    """Which file a descriptor refers to; those of others come and go."""
    with contextlib.suppress(OSError):
        return os.fstat(int(descriptor)).st_ino
    return 0


@in_event_loop
async def test_a_process_that_was_forked_gives_nothing_back() -> None:
    with lending() as (memory, lender):
        buffer = await memory.take(7, lender.lend(7, DATA))
        kept = [buffer]
        del buffer
        let_go_in_a_fork(kept)
        assert lender.listen() == [about(b"t", 7)]
        assert kept.pop().to_pybytes() == DATA
        assert lender.listen() == [about(b"t", 7), about(b"d", 7)]


def let_go_in_a_fork(kept: list[pa.Buffer]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which it does not use
        child = os.fork()
    if not child:
        kept.clear()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def drop_elsewhere(kept: list[Any]) -> None:
    """Lets go of the last one in another thread."""
    thread = threading.Thread(target=kept.pop)
    thread.start()
    thread.join()


def is_whole(kept: object) -> bool:
    return isinstance(kept, pa.Buffer) and kept.size == len(DATA)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(0, 2)),
        st.tuples(st.just("derive"), st.integers(0, 200)),
        st.tuples(st.just("drop"), st.integers(0, 200)),
        st.tuples(st.just("drop elsewhere"), st.integers(0, 200)),
        st.tuples(st.just("drop in a cycle"), st.integers(0, 200)),
        st.tuples(st.just("forget"), st.integers(0, 2)),
    ),
    max_size=30,
)


@given(steps, st.integers(0, 30))
def test_a_piece_is_given_back_once_when_nothing_refers_to_it_any_more(
    steps: list[tuple[str, int]], closes_at: int
) -> None:
    """The model: who refers to which loan, and how many loans of a block are over."""

    @in_event_loop
    async def play() -> None:
        with lending() as (memory, lender):
            loans: list[tuple[int, list[Any]]] = []
            over = [0, 0, 0]
            keepers = list(KEEPERS.values())
            for at, (kind, number) in enumerate(steps):
                if at == closes_at:
                    memory.close()
                if kind == "take" and at < closes_at:
                    length = lender.lend(number, DATA)
                    loans.append((number, [await memory.take(number, length)]))
                elif kind == "forget" and at < closes_at and number in lender.files:
                    os.close(lender.files.pop(number))  # the next one of that number is another
                    lender.forget(number)
                elif loans:
                    block, kept = loans[number % len(loans)]
                    if kind == "derive" and is_whole(kept[0]):
                        kept.append(keepers[number % len(keepers)](kept[0]))
                    elif kind == "drop":
                        kept.pop(number % len(kept))
                    elif kind == "drop elsewhere":
                        drop_elsewhere(kept)
                    elif kind == "drop in a cycle":
                        cycle: list[Any] = [kept.pop()]
                        cycle.append(cycle)
                        del cycle
                        gc.collect()
                    if not kept:
                        loans.remove((block, kept))
                        over[block] += 1
                assert [lender.done(each) for each in range(3)] == over
                closed = at >= closes_at
                assert lender.is_hung_up_on is (closed and not loans)
            memory.close()
            assert lender.is_hung_up_on is not bool(loans)
            taken = len([each for each in lender.heard if each.startswith(b"t")])
            while loans:
                block, kept = loans.pop()
                over[block] += 1
                kept.clear()
            assert [lender.done(each) for each in range(3)] == over
            assert sum(over) == taken
            assert lender.is_hung_up_on

    play()
