"""The connections of a service, from its file and made over Admin, and what runs for each of them.

A connection that changes is stopped and started alone; the others flow on undisturbed.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from cachesvc.clusters.sources import Source, Sources
from cachesvc.errors import InvalidConfig, PreconditionFailed, ShuttingDown, SourceUnreachable
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.mining.connection_work import ConnectionWork
from cachesvc.mining.supervisor import ReaderProcess
from cachesvc.model import PartitionId
from cachesvc.settings.connection import ConnectionConfig, connection_dict, parse_connection
from cachesvc.store.ports import ConnectionRecord

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KnownConnection:
    """A connection with its settings and its work.

    Attributes:
        config: The settings.
        work: What runs for it.
        created_ms: When it was made over Admin; None for one of the file.
        updated_ms: When it was last changed over Admin; likewise.
    """

    config: ConnectionConfig
    work: ConnectionWork
    created_ms: int | None = None
    updated_ms: int | None = None

    @property
    def source(self) -> Source:
        """The connection as the log sees it."""
        return self.work.source

    @property
    def in_file(self) -> bool:
        """Whether it comes from the service's file, where alone it can be changed."""
        return self.created_ms is None


class Connections:
    """All connections, by name. Belongs to one event loop; ``run`` has to run.

    Changes follow one another. A caller that is cancelled does not undo its change.

    Args:
        in_file: Those of the service's file; they hide those of the catalogue that have their name.
        catalogue: Keeps those made over Admin.
        sources: Is kept the same as this.
        make_work: Makes what runs for a connection.
        subscriptions_of: The names of the subscriptions that use a connection.
        dismiss: Has the readers of a connection join again, to learn its settings.
        cached: The partitions that the store has.
        look_interval_s: Between looks at each cluster.
    """

    def __init__(
        self,
        in_file: Sequence[ConnectionConfig],
        catalogue: CatalogueThread,
        sources: Sources,
        make_work: Callable[[ConnectionConfig], ConnectionWork],
        subscriptions_of: Callable[[str], list[str]],
        dismiss: Callable[[str], None],
        cached: Callable[[], Iterable[PartitionId]],
        look_interval_s: float,
    ) -> None:
        self._in_file = in_file
        self._catalogue = catalogue
        self._sources = sources
        self._make_work = make_work
        self._subscriptions_of = subscriptions_of
        self._dismiss = dismiss
        self._cached = cached
        self._look_interval_s = look_interval_s
        self._all: dict[str, KnownConnection] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._started = asyncio.Event()
        self._changing = asyncio.Lock()
        self._changes: set[asyncio.Future[Any]] = set()
        self.on_deleted: Callable[[str], Awaitable[None]] = _nothing
        """Called with the name of a connection that was deleted."""
        self.check: Callable[[ConnectionConfig], None] = lambda _: None
        """Raises InvalidConfig for one that names what the service does not have."""

    async def load(self) -> None:
        """Enters the connections of the file and of the catalogue; nothing runs before ``run``."""
        for config in self._in_file:
            await self._free(config.name)
            self._enter(config)
        for record in await self._catalogue.call(lambda port: port.list_connections()):
            if record.name in self._all:
                _log.warning(
                    "a connection of the file hides one that was made over Admin",
                    extra={"event": "connection_hidden", "connection": record.name},
                )
                continue
            try:
                tree = msgspec.json.decode(record.settings_json)
                config = parse_connection(tree, f"connection {record.name!r} of the catalogue")
                self.check(config)
            except (InvalidConfig, msgspec.DecodeError) as error:
                _log.error(
                    "a connection of the catalogue makes no sense to this version and is left out",
                    extra={
                        "event": "connection_unreadable",
                        "connection": record.name,
                        "error": str(error),
                    },
                )
                continue
            await self._free(config.name)
            self._enter(config, record)

    async def run(self) -> None:
        """Looks at clusters and keeps readers running until cancelled; ends readers cleanly."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for each in self._all.values():
                    each.work.start(tasks, self._sources, self._look_interval_s)
                self._started.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    self._tasks = None  # nothing is started any more
        finally:
            self._started.set()
            await asyncio.gather(*self._changes, return_exceptions=True)
            for each in self._all.values():
                await each.work.stop()

    # Looking

    def all(self) -> list[KnownConnection]:
        """Every connection, ordered by name."""
        return [self._all[name] for name in sorted(self._all)]

    def get(self, name: str) -> KnownConnection:
        """A connection.

        Raises:
            NotFound: There is none of that name.
        """
        return self._all[self._sources.get(name).name]

    # Readers

    def _readers(self) -> list[ReaderProcess]:
        return [reader for each in self._all.values() for reader in each.work.readers]

    def start_readers(self, name: str) -> None:
        """Starts the local readers of a connection of which something is to be mined. Idempotent.

        They are kept from then on, for the next topic is likely to come. A connection of which
        nothing is wanted costs no process.
        """
        known, ending = self._all.get(name), self._started.is_set() and self._tasks is None
        if known is not None and not ending:
            known.work.start_readers()

    def replace_reader(self, pid: int) -> None:
        """Kills the local reader process of that id, if there is one; another one is started."""
        for reader in self._readers():
            if reader.pid == pid:
                reader.replace()

    def kill_readers(self) -> None:
        """Kills all local reader processes, because the time for a clean end is over."""
        for reader in self._readers():
            reader.replace()

    # Changing

    async def create(self, config: ConnectionConfig) -> KnownConnection:
        """Makes a connection that survives a restart.

        Raises:
            InvalidConfig: It names a store that is not there.
            PreconditionFailed: The name is taken (``CONNECTION_EXISTS``), or the catalogue cannot
                be written.
        """
        return await self._change(lambda: self._create(config))

    async def update(self, config: ConnectionConfig) -> KnownConnection:
        """Replaces the settings of a connection; returns once its work has been restarted.

        Raises:
            InvalidConfig: It names a store that is not there.
            NotFound: There is none of that name.
            PreconditionFailed: It is in the file (``CONNECTION_IN_FILE``), or the catalogue cannot
                be written.
        """
        return await self._change(lambda: self._update(config))

    async def delete(self, name: str) -> None:
        """Forgets a connection; what is cached of it stays.

        Raises:
            NotFound: There is none of that name.
            PreconditionFailed: It is in the file (``CONNECTION_IN_FILE``), subscriptions use it
                (``CONNECTION_IN_USE``), or the catalogue cannot be written.
        """
        await self._change(lambda: self._delete(name))

    async def accept(self, name: str, cluster_id: str) -> tuple[KnownConnection, str]:
        """Has a connection mean the cluster that its addresses lead to; also the one before.

        Raises:
            NotFound: There is none of that name.
            PreconditionFailed: Which one is not clear, or the catalogue cannot be written.
            SourceUnreachable: No address answers.
        """
        return await self._change(lambda: self._accept(name, cluster_id))

    async def _accept(self, name: str, cluster_id: str) -> tuple[KnownConnection, str]:
        known = self.get(name)
        before = await self._sources.accept(known.source, cluster_id)
        with suppress(SourceUnreachable):  # it goes on looking by itself
            await self._sources.look(known.source)
        return known, before

    async def _create(self, config: ConnectionConfig) -> KnownConnection:
        if config.name in self._all:
            raise PreconditionFailed(
                f"there is a connection {config.name!r}; choose another name, or update that one",
                reason="CONNECTION_EXISTS",
                metadata={"connection": config.name},
            )
        now_ms = time.time_ns() // 1_000_000
        return await self._store_and_start(config, now_ms, now_ms)

    async def _update(self, config: ConnectionConfig) -> KnownConnection:
        before = self._changeable(config.name)
        if before.config == config:
            return before
        now_ms = time.time_ns() // 1_000_000
        return await self._store_and_start(config, before.created_ms or now_ms, now_ms, before)

    async def _store_and_start(
        self,
        config: ConnectionConfig,
        created_ms: int,
        now_ms: int,
        before: KnownConnection | None = None,
    ) -> KnownConnection:
        self.check(config)
        settings = msgspec.json.encode(connection_dict(config)).decode()
        record = ConnectionRecord(config.name, settings, created_ms, now_ms)
        await self._catalogue.call(lambda port: port.put_connection(record))
        if before is not None:
            await before.work.stop()
        if before is None or before.config.bootstrap_servers != config.bootstrap_servers:
            await self._free(config.name)
        known = self._enter(config, record)
        if before is not None and before.work.reading:
            known.work.start_readers()
        self._dismiss(config.name)
        known.work.start(self._group(), self._sources, self._look_interval_s)
        _log.info(
            "a connection was made or changed",
            extra={"event": "connection_changed", "connection": config.name},
        )
        return known

    async def _free(self, name: str) -> None:
        """Lets a connection of which nothing is cached lead to any cluster."""
        if not any(id_.connection == name for id_ in self._cached()):
            await self._sources.forget_cluster(name)

    async def _delete(self, name: str) -> None:
        known = self._changeable(name)
        users = self._subscriptions_of(name)
        if users:
            raise PreconditionFailed(
                f"subscriptions use the connection {name!r}: {', '.join(users)}; delete them first",
                reason="CONNECTION_IN_USE",
                metadata={"connection": name, "subscriptions": ",".join(users)},
            )
        # At once, so that nobody subscribes to it any more.
        self._sources.remove(name)
        try:
            await self._catalogue.call(lambda port: port.delete_connection(name))
        except BaseException:
            self._sources.put(known.source)
            raise
        del self._all[name]
        await known.work.stop()
        self._dismiss(name)
        await self.on_deleted(name)
        _log.info(
            "a connection was deleted", extra={"event": "connection_deleted", "connection": name}
        )

    def _changeable(self, name: str) -> KnownConnection:
        known = self.get(name)
        if known.in_file:
            raise PreconditionFailed(
                f"connection {name!r} is in the service's file; change it and restart the service",
                reason="CONNECTION_IN_FILE",
                metadata={"connection": name},
            )
        return known

    def _enter(
        self, config: ConnectionConfig, record: ConnectionRecord | None = None
    ) -> KnownConnection:
        work = self._make_work(config)
        if record is None:
            known = KnownConnection(config, work)
        else:
            known = KnownConnection(config, work, record.created_ms, record.updated_ms)
        self._all[config.name] = known
        self._sources.put(work.source)
        self._sources.remember(id_ for id_ in self._cached() if id_.connection == config.name)
        return known

    async def _change(self, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """One change after the other, each to its end, whatever becomes of the caller."""
        await self._started.wait()

        async def in_turn() -> T:
            async with self._changing:
                self._group()
                return await change()

        running = asyncio.ensure_future(in_turn())
        self._changes.add(running)
        running.add_done_callback(self._changes.discard)
        # What nobody waits for any more is not to be complained about.
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(running)

    def _group(self) -> asyncio.TaskGroup:
        if self._tasks is None:
            raise ShuttingDown("the service is about to end; try again")
        return self._tasks


async def _nothing(name: str) -> None:
    """Nobody has to know."""
