from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from functools import partial

import grpc
import pytest

from cachesvc.event_loop import ServiceLoop


class Wakened:
    """Takes a byte each time, as gRPC's completion queue does."""

    def __init__(self, waking: socket.socket) -> None:
        self._waking = waking
        self.calls = 0

    def handle(self, loop: object) -> None:
        self.calls += 1
        assert self._waking.recv(1) == b"1"


class OfGrpc(Wakened):
    __module__ = "grpc._cython.cygrpc"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    with reading, writing:
        yield reading, writing


@pytest.fixture
def loop() -> Iterator[ServiceLoop]:
    made = ServiceLoop()
    yield made
    made.close()


def _rounds(loop: ServiceLoop, count: int) -> None:
    """Lets the loop look at what can be read so many times."""

    async def pass_by() -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    loop.run_until_complete(pass_by())


def test_all_that_grpc_has_wakes_the_loop_once(
    pair: tuple[socket.socket, socket.socket], loop: ServiceLoop
) -> None:
    reading, writing = pair
    wakened = OfGrpc(reading)
    loop.add_reader(reading, partial(wakened.handle, loop))
    for times in (1, 2, 100):
        before = wakened.calls
        writing.sendall(b"1" * times)
        _rounds(loop, 5)
        assert wakened.calls == before + 1
        with pytest.raises(BlockingIOError):
            reading.recv(1)


def test_what_others_read_is_theirs(
    pair: tuple[socket.socket, socket.socket], loop: ServiceLoop
) -> None:
    reading, writing = pair
    wakened = Wakened(reading)
    loop.add_reader(reading, wakened.handle, loop)
    writing.sendall(b"1" * 3)
    _rounds(loop, 5)
    assert wakened.calls == 3


def test_bytes_that_another_loop_took_are_no_failure(
    pair: tuple[socket.socket, socket.socket], loop: ServiceLoop
) -> None:
    reading, writing = pair
    failures: list[object] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    with reading.dup() as same:
        readers = [OfGrpc(reading), OfGrpc(same)]
        for waking, wakened in zip((reading, same), readers, strict=True):
            loop.add_reader(waking, wakened.handle, loop)
        writing.sendall(b"1")
        _rounds(loop, 5)
        loop.remove_reader(same)
    assert sum(wakened.calls for wakened in readers) == 1
    assert not failures


def test_a_server_of_grpc_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the version that is installed, whose insides are nobody's promise."""
    woken: list[int] = []

    def counted(waking: socket.socket, callback: partial[object]) -> None:
        woken.append(len(waking.recv(1, socket.MSG_PEEK)))
        callback()

    monkeypatch.setattr("cachesvc.event_loop._with_one_byte", counted)

    async def answer(request: bytes, _: object) -> bytes:
        return request

    async def call_it() -> bytes:
        server = grpc.aio.server()
        method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("test.Echo", {"Echo": method}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                echo: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
                echo = channel.unary_unary("/test.Echo/Echo")
                return await echo(b"once")
        finally:
            await server.stop(None)

    with asyncio.Runner(loop_factory=ServiceLoop) as runner:
        assert runner.run(call_it()) == b"once"
    assert woken
