"""What a service listens on: for tasks and operators, and for readers."""

import json
import os
from importlib.metadata import PackageNotFoundError, version

from cachesvc.app.connections import examine_connection
from cachesvc.app.parts import Parts
from cachesvc.serving.admin.alarms import AlarmAdmin
from cachesvc.serving.admin.connection_tests import ConnectionTestAdmin
from cachesvc.serving.admin.connections import ConnectionAdmin
from cachesvc.serving.admin.jobs import JobAdmin
from cachesvc.serving.admin.mining import MiningAdmin
from cachesvc.serving.admin.models import ModelAdmin
from cachesvc.serving.admin.overview import OverviewAdmin
from cachesvc.serving.admin.retention import RetentionAdmin
from cachesvc.serving.admin.snapshots import SnapshotAdmin
from cachesvc.serving.admin.sql import SqlAdmin
from cachesvc.serving.admin.stores import StoreAdmin
from cachesvc.serving.admin.topics import check_known
from cachesvc.serving.admin.watching import WatchAdmin
from cachesvc.serving.agents import AgentServer, TokenHolders, read_join_token
from cachesvc.serving.ingest import MiningServicer
from cachesvc.serving.local_socket import socket_path
from cachesvc.serving.log_cache import LogCacheServicer
from cachesvc.serving.server import Listen, Server, read_key_pair
from cachesvc.settings.config import Config, effective_config


def make_server(parts: Parts) -> Server:
    """What tasks, operators and readers of this machine call."""
    config, store, sources = parts.config, parts.store, parts.sources
    assignments, connections = parts.assignments, parts.connections
    subscriptions, mining, watch = parts.subscriptions, parts.mining, parts.watch
    certificate, key = read_key_pair(config.server.tls_certificate_file, config.server.tls_key_file)
    return Server(
        Listen(config.server.listen, certificate, key, socket_path(store.path)),
        LogCacheServicer(
            store,
            sources,
            subscriptions,
            assignments,
            parts.batches,
            parts.shelf,
            config.server.progress_interval_s,
            parts.deliveries,
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
                lambda name: connections.get(sources.resolve(name).name).config,
                examine_connection,
                store.incarnations.cluster_of,
            ),
            JobAdmin(parts.jobs),
            StoreAdmin(parts.stores, lambda name, topic: _meant(parts, name, topic)),
            MiningAdmin(store, sources, assignments, mining, watch),
            ModelAdmin(store, sources),
            WatchAdmin(store, sources, assignments, subscriptions, watch, parts.matching),
            AlarmAdmin(store.catalogue, sources),
            RetentionAdmin(store.catalogue, sources, parts.usages),
            SnapshotAdmin(parts.shelf, sources),
            SqlAdmin(parts.queries),
        ],
        MiningServicer(store, sources, assignments, connections, _reader_settings(config)),
        parts.calls,
    )


def _meant(parts: Parts, name: str, topic: str) -> str:
    """The connection that a request means; the topic, if there is one, is known."""
    connection = parts.sources.resolve(name).name
    if topic:
        check_known(parts.sources, parts.store, connection, topic)
    return connection


def make_agent_server(parts: Parts) -> AgentServer | None:
    """What readers of other machines join on, if it is configured."""
    mining, server = parts.config.mining, parts.config.server
    if mining.listen is None:
        return None
    token = read_join_token(mining.join_token_env, mining.join_token_file, os.environ)
    key_pair = read_key_pair(server.tls_certificate_file, server.tls_key_file)
    servicer = MiningServicer(
        parts.store,
        parts.sources,
        parts.assignments,
        parts.connections,
        _reader_settings(parts.config),
        TokenHolders(token),
    )
    return AgentServer(mining.listen, *key_pair, servicer, parts.calls)


def software_version() -> str:
    """Of the installed distribution."""
    try:
        return version("cachesvc")
    except PackageNotFoundError:
        return "unknown"


def _reader_settings(config: Config) -> dict[str, float]:
    return {
        "append_window_bytes_max": config.mining.append_window_bytes_max,
        "batch_records_max": config.mining.batch_records_max,
        "backfill_share": config.mining.backfill_share,
        "record_bytes_max": config.mining.record_bytes_max,
    }
