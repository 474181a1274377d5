"""A service process, from its start to its clean end."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from cachesvc import starting
from cachesvc.allocator import bound_idle_memory, keep_trimmed
from cachesvc.app.parts import Parts, build, open_store
from cachesvc.app.secrets_elsewhere import tell_secrets_elsewhere
from cachesvc.app.servers import (
    around_calls,
    make_agent_server,
    make_server,
    open_tls,
    places_of,
    software_version,
)
from cachesvc.app.tracing import traced
from cachesvc.descriptors import raise_descriptor_limit
from cachesvc.errors import ShuttingDown
from cachesvc.event_loop import ServiceLoop
from cachesvc.log.log_store import LogStore
from cachesvc.serving.agents import AgentServer
from cachesvc.serving.server import Server
from cachesvc.serving.tls import TlsFiles
from cachesvc.settings.config import Config, check_listen, check_mining_listen
from cachesvc.stop_signals import OF_PROCESS

if TYPE_CHECKING:
    from cachesvc.app.web import Web
    from cachesvc.tracing.traces import Traces

_log = logging.getLogger(__name__)
_Run = Callable[[], Coroutine[None, None, None]]


def run_service(config: Config) -> int:
    """Runs a service until SIGTERM or SIGINT, which may have come; returns the exit code.

    Raises:
        CacheError: It could not start; the message says why and what to do.
    """
    check_listen(config.server, access=config.access)
    check_mining_listen(config)
    bound_idle_memory()
    raise_descriptor_limit()
    OF_PROCESS.take()
    tls = open_tls(config.server)
    with traced(config.traces, software_version()) as traces, _http(config, tls) as web:
        try:
            store = open_store(config, lambda: OF_PROCESS.asked)
        except ShuttingDown:
            _say_stopped(_say_stopping())
            return 0
        try:
            with asyncio.Runner(loop_factory=ServiceLoop) as runner:
                runner.run(_run(config, store, web, traces, tls))
        finally:
            store.close()
    return 0


@contextmanager
def _http(config: Config, tls: TlsFiles | None) -> Iterator["Web | None"]:
    """Answers monitoring and browsers within; None where nobody is to be, not even the imports."""
    if config.http.listen == "":
        yield None
        return
    web: type[Web] = import_module("cachesvc.app.web").Web
    with web.serving(config, tls) as listening:
        yield listening


async def _run(
    config: Config,
    store: LogStore,
    web: "Web | None",
    traces: "Traces | None",
    tls: TlsFiles | None,
) -> None:
    stopping = asyncio.Event()
    with OF_PROCESS.telling(asyncio.get_running_loop(), stopping.set):
        parts = await build(config, store, traces)
        server = make_server(parts, around_calls(parts), tls)
        agents = make_agent_server(parts, tls)
        await tell_secrets_elsewhere(parts, places_of(parts))
        await _Service(parts, server, agents, web, tls).run(stopping)


class _Service:
    """Everything that runs in a service process.

    Args:
        parts: What it has.
        server: What tasks, operators and readers of this machine call.
        agents: What readers of other machines join on, if they may.
        web: What monitoring and browsers ask, if there is something.
        tls: The certificates of the listeners, if there are any.
    """

    def __init__(
        self,
        parts: Parts,
        server: Server,
        agents: AgentServer | None,
        web: "Web | None",
        tls: TlsFiles | None,
    ) -> None:
        self._parts = parts
        self._server = server
        self._agents = agents
        self._web = web
        self._tls = tls
        self._grace_s = parts.config.server.shutdown_grace_s
        self._stopping_since_s = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        """Runs until told to stop."""
        parts = self._parts
        port, admin_port = self._server.bind()
        agents_port = self._agents.bind() if self._agents else None
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(run()) for run in self._background()]
            try:
                await self._server.start()
                if parts.subscribed.memory is not None:
                    parts.subscribed.memory.open(port)
                if self._agents:
                    await self._agents.start()
                self._say_serving(port, admin_port, agents_port)
                helpers = [tasks.create_task(run()) for run in self._helpers()]
                await parts.jobs.start()
                if self._web:
                    self._web.tell(parts, software_version())
                starting.keep()
                await stopping.wait()
                await self._stop_readers(helpers)
                await self._stop_serving()
            finally:
                parts.store.writer.close()
                for task in background[1:]:
                    task.cancel()

    def _background(self) -> list[_Run]:
        """What runs until the last call has ended; the store ends by itself, when it is closed."""
        subscribed = self._parts.subscribed
        return [
            self._parts.store.run,
            subscribed.subscriptions.run,
            self._parts.mined.watch.run,
            self._parts.trends.run,
            self._parts.callers.audit.run,
            subscribed.makers.run,
            *([] if subscribed.memory is None else [subscribed.memory.run]),
        ]

    def _helpers(self) -> list[_Run]:
        """What runs until the service is told to stop."""
        mined, issuer = self._parts.mined, self._parts.callers.issuer
        helpers: list[_Run] = [
            mined.assignments.run,
            keep_trimmed,
            mined.connections.run,
            mined.mining.tasks.run,
            mined.mining.blocked.run,
            *self._parts.alarm_tasks,
            self._parts.kept.shedding.run,
        ]
        if issuer is not None:
            helpers.append(issuer.run)
        if self._tls is not None:
            helpers.append(self._tls.run)
        return helpers

    def _say_serving(self, port: int, admin_port: int | None, agents_port: int | None) -> None:
        config = self._parts.config
        fields = {"listen": _with_port(config.server.listen, port)}
        if config.server.admin_listen is not None and admin_port is not None:
            fields["admin"] = _with_port(config.server.admin_listen, admin_port)
        if self._web and self._web.port is not None:
            fields["http"] = _with_port(self._web.address, self._web.port)
        if config.mining.listen is not None and agents_port is not None:
            fields["agents"] = _with_port(config.mining.listen, agents_port)
        fields |= {"store": str(self._parts.store.path), "version": software_version()}
        _log.info("serving", extra={"event": "serving", **fields})

    async def _stop_readers(self, helpers: Sequence["asyncio.Task[None]"]) -> None:
        """First of all readers flush, for half of the time; the source has what is left."""
        self._stopping_since_s = _say_stopping()
        if self._web:
            self._web.health.stop()
        await self._server.announce_end()
        await self._parts.jobs.stop()
        for helper in helpers:
            helper.cancel()
        await asyncio.wait(helpers, timeout=self._grace_s / 2)
        self._parts.mined.connections.kill_readers()
        await asyncio.gather(*helpers, return_exceptions=True)

    async def _stop_serving(self) -> None:
        """Streams are told to come back and calls end; behind that journals are closed."""
        self._parts.mined.assignments.end_all()
        end = ShuttingDown("the service is about to end; connect again")
        self._parts.subscribed.subscriptions.end_all(end)
        self._parts.queries.end_all(end)
        took_s = time.monotonic() - self._stopping_since_s
        grace_s = max(0.5, self._grace_s - took_s)
        ending = [self._server.stop(grace_s)]
        if self._agents:
            ending.append(self._agents.stop(grace_s))
        await asyncio.gather(*ending)
        _say_stopped(self._stopping_since_s)


def _say_stopping() -> float:
    _log.info("stopping", extra={"event": "stopping"})
    return time.monotonic()


def _say_stopped(since_s: float) -> None:
    took_s = time.monotonic() - since_s
    _log.info("stopped", extra={"event": "stopped", "seconds": round(took_s, 3)})


def _with_port(address: str, port: int) -> str:
    return f"{address.rpartition(':')[0]}:{port}"
