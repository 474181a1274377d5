from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
from starlette.applications import Starlette

from cachesvc.web.application import Figures, make_application
from cachesvc.web.health import Answer, Health

FULL = "the last append was refused: the disk is full"


def _on_a_loop(health: Health, test: Callable[[asyncio.AbstractEventLoop], None]) -> None:
    """Runs a test beside a loop of another thread that serves."""
    ready = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        stop = asyncio.Event()
        stops.append(stop.set)
        ready.set()
        await stop.wait()

    stops: list[Callable[[], None]] = []
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(30)
    try:
        test(loops[0])
    finally:
        loops[0].call_soon_threadsafe(stops[0])
        thread.join()


def _serve(health: Health, loop: asyncio.AbstractEventLoop, troubles: list[str]) -> None:
    async def serve() -> None:
        health.serve(lambda: troubles)

    asyncio.run_coroutine_threadsafe(serve(), loop).result(30)


@contextmanager
def _stuck(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Lets a loop do nothing else until the block is over."""
    over = threading.Event()
    loop.call_soon_threadsafe(over.wait, 120)
    try:
        yield
    finally:
        over.set()


def test_from_start_to_end() -> None:
    health = Health()
    assert asyncio.run(health.alive()) == Answer(True)
    assert asyncio.run(health.ready()) == Answer(False, ("the store is being opened",))

    def test(loop: asyncio.AbstractEventLoop) -> None:
        troubles: list[str] = []
        _serve(health, loop, troubles)
        assert asyncio.run(health.ready()) == asyncio.run(health.alive()) == Answer(True)
        troubles.append(FULL)
        assert asyncio.run(health.ready()) == Answer(False, (FULL,))
        assert asyncio.run(health.alive()) == Answer(True)
        troubles.clear()
        assert asyncio.run(health.ready()) == Answer(True)
        health.stop()
        assert asyncio.run(health.ready()) == Answer(False, ("the service is about to end",))
        assert asyncio.run(health.alive()) == Answer(True)

    _on_a_loop(health, test)
    assert asyncio.run(health.ask(lambda: asyncio.sleep(0, 1))) is None


def test_an_event_loop_that_is_stuck_is_told() -> None:
    health = Health(patience_s=0.2)

    def test(loop: asyncio.AbstractEventLoop) -> None:
        _serve(health, loop, [])
        with _stuck(loop):
            assert asyncio.run(health.alive()) == Answer(
                False, ("the event loop does not answer within 0.2 s",)
            )
            assert not asyncio.run(health.ready()).well

    _on_a_loop(health, test)


def test_no_half_of_the_figures_while_the_event_loop_is_stuck() -> None:
    health, hasty = Health(patience_s=60), Health(patience_s=0.2)
    application = make_application(health, Figures())
    assert asyncio.run(_status(application)) == 200  # what the process takes is known at once

    def test(loop: asyncio.AbstractEventLoop) -> None:
        _serve(health, loop, [])
        _serve(hasty, loop, [])
        assert asyncio.run(_status(application)) == 200
        with _stuck(loop):
            assert asyncio.run(_status(make_application(hasty, Figures()))) == 503

    _on_a_loop(health, test)


async def _status(application: Starlette) -> int:
    """Of the answer to a scrape."""
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return (await client.get("/metrics")).status_code
