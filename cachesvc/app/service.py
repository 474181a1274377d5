"""A service process, from its start to its clean end."""

import asyncio
import logging
import time
from collections.abc import Sequence

from cachesvc.allocator import bound_idle_memory, keep_trimmed
from cachesvc.app.parts import Parts, build, open_store
from cachesvc.app.servers import make_agent_server, make_server, software_version
from cachesvc.app.web import Web
from cachesvc.descriptors import raise_descriptor_limit
from cachesvc.errors import ShuttingDown
from cachesvc.log.log_store import LogStore
from cachesvc.serving.agents import AgentServer
from cachesvc.serving.server import Server
from cachesvc.settings.config import Config, check_listen, check_mining_listen
from cachesvc.stop_signals import OF_PROCESS

_log = logging.getLogger(__name__)


def run_service(config: Config) -> int:
    """Runs a service until SIGTERM or SIGINT, which may have come; returns the exit code.

    Raises:
        CacheError: It could not start; the message says why and what to do.
    """
    check_listen(config.server)
    check_mining_listen(config)
    bound_idle_memory()
    raise_descriptor_limit()
    OF_PROCESS.take()
    with Web.serving(config.http) as web:
        try:
            store = open_store(config, lambda: OF_PROCESS.asked)
        except ShuttingDown:
            _say_stopped(_say_stopping())
            return 0
        try:
            asyncio.run(_run(config, store, web))
        finally:
            store.close()
    return 0


async def _run(config: Config, store: LogStore, web: Web) -> None:
    stopping = asyncio.Event()
    with OF_PROCESS.telling(asyncio.get_running_loop(), stopping.set):
        parts = await build(config, store)
        await _Service(parts, make_server(parts), make_agent_server(parts), web).run(stopping)


class _Service:
    """Everything that runs in a service process.

    Args:
        parts: What it has.
        server: What tasks, operators and readers of this machine call.
        agents: What readers of other machines join on, if they may.
        web: What monitoring asks.
    """

    def __init__(self, parts: Parts, server: Server, agents: AgentServer | None, web: Web) -> None:
        self._parts = parts
        self._server = server
        self._agents = agents
        self._web = web
        self._grace_s = parts.config.server.shutdown_grace_s
        self._stopping_since_s = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        """Runs until told to stop."""
        parts = self._parts
        port = self._server.bind()
        agents_port = self._agents.bind() if self._agents else None
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(parts.store.run()),
                tasks.create_task(parts.subscriptions.run()),
                tasks.create_task(parts.watch.run()),
            ]
            try:
                await self._server.start()
                if self._agents:
                    await self._agents.start()
                self._say_serving(port, agents_port)
                helpers = [
                    tasks.create_task(parts.assignments.run()),
                    tasks.create_task(keep_trimmed()),
                    tasks.create_task(parts.connections.run()),
                    tasks.create_task(parts.mining.tasks.run()),
                    tasks.create_task(parts.mining.blocked.run()),
                    *(tasks.create_task(run()) for run in parts.alarm_tasks),
                    tasks.create_task(parts.shedding.run()),
                ]
                await parts.jobs.start()
                self._web.tell(parts, software_version())
                await stopping.wait()
                await self._stop_readers(helpers)
                await self._stop_serving()
            finally:
                parts.store.writer.close()
                for task in background[1:]:
                    task.cancel()

    def _say_serving(self, port: int, agents_port: int | None) -> None:
        config = self._parts.config
        fields = {"listen": _with_port(config.server.listen, port)}
        if self._web.port is not None:
            fields["http"] = _with_port(self._web.address, self._web.port)
        if config.mining.listen is not None and agents_port is not None:
            fields["agents"] = _with_port(config.mining.listen, agents_port)
        fields |= {"store": str(self._parts.store.path), "version": software_version()}
        _log.info("serving", extra={"event": "serving", **fields})

    async def _stop_readers(self, helpers: Sequence["asyncio.Task[None]"]) -> None:
        """First of all readers flush, for half of the time; the source has what is left."""
        self._stopping_since_s = _say_stopping()
        self._web.health.stop()
        await self._server.announce_end()
        await self._parts.jobs.stop()
        for helper in helpers:
            helper.cancel()
        await asyncio.wait(helpers, timeout=self._grace_s / 2)
        self._parts.connections.kill_readers()
        await asyncio.gather(*helpers, return_exceptions=True)

    async def _stop_serving(self) -> None:
        """Streams are told to come back and calls end; behind that journals are closed."""
        self._parts.assignments.end_all()
        end = ShuttingDown("the service is about to end; connect again")
        self._parts.subscriptions.end_all(end)
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
