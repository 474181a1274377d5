"""The composition root: builds a service, or a reader, from its settings and runs it to its end."""

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cachesvc.alarms.facts import Observed
from cachesvc.alarms.tasks import alarm_tasks
from cachesvc.allocator import bound_idle_memory, keep_trimmed
from cachesvc.config import Config, check_listen, check_mining_listen, effective_config
from cachesvc.connection_config import ConnectionConfig
from cachesvc.errors import NotFound, ShuttingDown
from cachesvc.jobs.compact import Compact
from cachesvc.jobs.expire import Expire
from cachesvc.jobs.models import LOAD_TIME, RefreshModels
from cachesvc.jobs.scheduler import JobScheduler
from cachesvc.jobs.sweep import Sweep
from cachesvc.log.assignments import Assignments
from cachesvc.log.log_store import LogStore, LogStoreSettings
from cachesvc.log.matching import TopicMatching
from cachesvc.log.mining import Mining
from cachesvc.log.sources import Source, Sources
from cachesvc.log.subscriptions import Subscriptions
from cachesvc.log.watching import MiningWatch
from cachesvc.mining.connections import Connections, ConnectionWork
from cachesvc.mining.kafka import KafkaCatalogue, KafkaSettings, security_of
from cachesvc.mining.kafka.checks import examine
from cachesvc.mining.reader import ReaderSettings
from cachesvc.mining.reader import run_reader as reader_process
from cachesvc.mining.supervisor import ReaderCommand, ReaderProcess
from cachesvc.policy.connection_checks import CheckResult
from cachesvc.policy.sealing import SealLimits
from cachesvc.policy.topics import topic_matcher
from cachesvc.serving.admin.alarms import AlarmAdmin
from cachesvc.serving.admin.connection_tests import ConnectionTestAdmin
from cachesvc.serving.admin.connections import ConnectionAdmin
from cachesvc.serving.admin.jobs import JobAdmin
from cachesvc.serving.admin.mining import MiningAdmin
from cachesvc.serving.admin.models import ModelAdmin
from cachesvc.serving.admin.overview import OverviewAdmin
from cachesvc.serving.admin.watching import WatchAdmin
from cachesvc.serving.agents import AgentServer, TokenHolders, read_join_token
from cachesvc.serving.batches import Batches
from cachesvc.serving.ingest import MiningServicer
from cachesvc.serving.log_cache import LogCacheServicer
from cachesvc.serving.server import Listen, Server, read_key_pair, socket_path

_log = logging.getLogger(__name__)


def run_service(config: Config) -> int:
    """Runs a service until SIGTERM or SIGINT; returns the process's exit code.

    Raises:
        CacheError: It could not start; the message says why and what to do.
    """
    check_listen(config.server)
    check_mining_listen(config)
    bound_idle_memory()
    store = LogStore.open(_store_settings(config))
    try:
        asyncio.run(_Service(config, store).run())
    finally:
        store.close()
    return 0


def run_reader(settings: ReaderSettings) -> int:
    """Runs a reader process until it is told to end; returns the process's exit code.

    Raises:
        PreconditionFailed: The service does not let it in, or speaks another protocol.
    """
    asyncio.run(reader_process(settings))
    return 0


def examine_connection(
    connection: ConnectionConfig, limit_s: float
) -> AsyncGenerator[CheckResult, None]:
    """Tests a connection from this process; see ``mining.kafka.checks.examine``."""
    return examine(connection, limit_s)


def software_version() -> str:
    """Of the installed distribution."""
    try:
        return version("cachesvc")
    except PackageNotFoundError:
        return "unknown"


class _Service:
    """Everything that runs in a service process. Built within its event loop."""

    def __init__(self, config: Config, store: LogStore) -> None:
        self._config = config
        self._store = store
        self._matching = TopicMatching(topic_matcher)
        self._stopping = asyncio.Event()
        self._stopping_since_s = 0.0

    async def run(self) -> None:
        config, store = self._config, self._store
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        sources = Sources([])
        mining = Mining.open(
            store.catalogue,
            config.mining.idle_topic_s,
            config.mining.rebalance_interval_s,
        )
        assignments = Assignments(
            store,
            sources,
            lambda: subscriptions,
            config.mining.reader_timeout_s,
            self._matching,
            mining,
        )
        subscriptions = Subscriptions(store.catalogue, assignments.plan_again)
        connections = Connections(
            config.connections,
            store.catalogue,
            sources,
            self._work,
            subscriptions.using,
            assignments.dismiss,
            lambda: (log.id for log in store.present()),
            config.mining.metadata_interval_s,
        )
        await connections.load()
        assignments.on_silent = connections.replace_reader
        connections.on_deleted = mining.forget
        watch = MiningWatch(store.catalogue)
        store.writer.on_published = watch.published
        age_s = config.retention.age_s
        observed = Observed(store, sources, subscriptions, mining.tasks, age_s)
        alarms = alarm_tasks(config.alarms, store.catalogue, observed)
        jobs = self._jobs(connections, mining)
        server = self._server(sources, connections, subscriptions, assignments, mining, watch, jobs)
        agents = self._agents(sources, connections, assignments)
        port = server.bind()
        agents_port = agents.bind() if agents else None
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(store.run()), tasks.create_task(subscriptions.run())]
            background.append(tasks.create_task(watch.run()))
            try:
                await server.start()
                if agents:
                    await agents.start()
                _log.info(
                    "serving",
                    extra={
                        "event": "serving",
                        "listen": _with_port(config.server.listen, port),
                        "agents": _with_port(config.mining.listen or "", agents_port),
                        "store": str(store.path),
                        "version": software_version(),
                    },
                )
                helpers = [
                    tasks.create_task(assignments.run()),
                    tasks.create_task(keep_trimmed()),
                    tasks.create_task(connections.run()),
                    tasks.create_task(mining.tasks.run()),
                    *(tasks.create_task(run()) for run in alarms),
                ]
                await jobs.start()
                await self._stopping.wait()
                await self._stop_readers(server, jobs, helpers, connections)
                await self._stop_serving(server, agents, subscriptions, assignments)
            finally:
                store.writer.close()
                for task in background[1:]:
                    task.cancel()

    async def _stop_readers(
        self,
        server: Server,
        jobs: JobScheduler,
        helpers: Sequence["asyncio.Task[None]"],
        connections: Connections,
    ) -> None:
        """First of all readers flush, for half of the time; the source has what is left."""
        self._stopping_since_s = time.monotonic()
        _log.info("stopping", extra={"event": "stopping"})
        await server.announce_end()
        await jobs.stop()
        for helper in helpers:
            helper.cancel()
        await asyncio.wait(helpers, timeout=self._config.server.shutdown_grace_s / 2)
        connections.kill_readers()
        await asyncio.gather(*helpers, return_exceptions=True)

    async def _stop_serving(
        self,
        server: Server,
        agents: AgentServer | None,
        subscriptions: Subscriptions,
        assignments: Assignments,
    ) -> None:
        """Streams are told to come back and calls end; behind that journals are closed."""
        assignments.end_all()
        subscriptions.end_all(ShuttingDown("the service is about to end; connect again"))
        took_s = time.monotonic() - self._stopping_since_s
        grace_s = max(0.5, self._config.server.shutdown_grace_s - took_s)
        ending = [server.stop(grace_s), agents.stop(grace_s)] if agents else [server.stop(grace_s)]
        await asyncio.gather(*ending)
        took_s = time.monotonic() - self._stopping_since_s
        _log.info("stopped", extra={"event": "stopped", "seconds": round(took_s, 3)})

    def _jobs(self, connections: Connections, mining: Mining) -> JobScheduler:
        jobs, store = self._config.jobs, self._store
        models, load_time = jobs.models, _load_time_of(connections)
        age_s = self._config.retention.age_s
        return JobScheduler(
            store.catalogue,
            [
                Compact(store, jobs.compact.interval_s, jobs.compact.segment_bytes_target),
                Expire(store, jobs.expire.interval_s, age_s, mining.tasks.retention_s),
                Sweep(store, jobs.sweep.interval_s, jobs.sweep.grace_s),
                RefreshModels(store, models.interval_s, models.records_max, load_time),
            ],
        )

    def _server(
        self,
        sources: Sources,
        connections: Connections,
        subscriptions: Subscriptions,
        assignments: Assignments,
        mining: Mining,
        watch: MiningWatch,
        jobs: JobScheduler,
    ) -> Server:
        config, store = self._config, self._store
        certificate, key = read_key_pair(
            config.server.tls_certificate_file, config.server.tls_key_file
        )
        batches = Batches(store.reader, config.store.chunk_cache_bytes_max)
        return Server(
            Listen(config.server.listen, certificate, key, socket_path(store.path)),
            LogCacheServicer(
                store,
                sources,
                subscriptions,
                assignments,
                batches,
                config.server.progress_interval_s,
            ),
            [
                OverviewAdmin(
                    store,
                    sources,
                    assignments,
                    json.dumps(effective_config(config)),
                    software_version(),
                ),
                ConnectionAdmin(connections),
                ConnectionTestAdmin(
                    lambda name: connections.get(sources.resolve(name).name).config, examine
                ),
                JobAdmin(jobs),
                MiningAdmin(store, sources, assignments, mining, watch),
                ModelAdmin(store, sources),
                WatchAdmin(store, sources, assignments, subscriptions, watch, self._matching),
                AlarmAdmin(store.catalogue, sources),
            ],
            MiningServicer(store, sources, assignments, connections, self._reader_settings()),
        )

    def _agents(
        self, sources: Sources, connections: Connections, assignments: Assignments
    ) -> AgentServer | None:
        """What readers of other machines join on, if it is configured."""
        mining, server = self._config.mining, self._config.server
        if mining.listen is None:
            return None
        token = read_join_token(mining.join_token_env, mining.join_token_file, os.environ)
        key_pair = read_key_pair(server.tls_certificate_file, server.tls_key_file)
        settings, admit = self._reader_settings(), TokenHolders(token)
        servicer = MiningServicer(self._store, sources, assignments, connections, settings, admit)
        return AgentServer(mining.listen, *key_pair, servicer)

    def _reader_settings(self) -> dict[str, float]:
        mining = self._config.mining
        return {
            "append_window_bytes_max": mining.append_window_bytes_max,
            "batch_records_max": mining.batch_records_max,
            "backfill_share": mining.backfill_share,
        }

    def _work(self, connection: ConnectionConfig) -> ConnectionWork:
        """What runs for a connection: local readers only where something is mined."""
        source = _source(connection)
        count = self._config.mining.readers if source.mined else 0
        names = [f"{source.name}-{number}" for number in range(count)]
        return ConnectionWork(source, [self._reader(source.name, name) for name in names])

    def _reader(self, connection: str, name: str) -> ReaderProcess:
        logs = self._config.log
        arguments = [
            "reader",
            "--service",
            f"unix:{socket_path(self._store.path)}",
            "--connection",
            connection,
            "--name",
            name,
            "--exit-with-parent",
            "--log-level",
            logs.level,
            "--log-format",
            logs.format,
        ]
        return ReaderProcess(ReaderCommand(connection, name, arguments))


def _load_time_of(connections: Connections) -> Callable[[str], str]:
    """When models of a connection with many are refreshed; one that was deleted has the default."""

    def of(name: str) -> str:
        try:
            return connections.get(name).config.model_load_time
        except NotFound:
            return LOAD_TIME

    return of


def _source(connection: ConnectionConfig) -> Source:
    return Source(
        connection.name,
        connection.bootstrap_servers,
        connection.topic_expression,
        connection.non_json_policy,
        KafkaCatalogue(
            KafkaSettings(
                bootstrap_servers=connection.bootstrap_servers, security=security_of(connection)
            )
        ),
        topic_matcher(connection.topic_expression),
        is_source=connection.is_source,
        log_caching=connection.log_caching,
        agent=connection.agent,
    )


def _store_settings(config: Config) -> LogStoreSettings:
    store = config.store
    return LogStoreSettings(
        Path(store.path),
        store.memory_bytes_max,
        store.chunk_cache_bytes_max,
        store.warm_bytes_max,
        SealLimits(
            store.segment_bytes_max, store.segment_records_max, int(store.segment_age_s_max * 1000)
        ),
    )


def _with_port(address: str, port: int | None) -> str:
    return "" if port is None else f"{address.rpartition(':')[0]}:{port}"
