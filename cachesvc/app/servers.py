"""What a service listens on: for tasks and operators, and for readers."""

import json
import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cachesvc.app.callers import is_guarded
from cachesvc.app.connections import examine_connection
from cachesvc.app.parts import Parts
from cachesvc.app.rights import hold_to_rights
from cachesvc.descriptors import connection_descriptors
from cachesvc.serving.admin.access import AccessAdmin
from cachesvc.serving.admin.alarms import AlarmAdmin
from cachesvc.serving.admin.audit import AuditAdmin
from cachesvc.serving.admin.connection_tests import ConnectionTestAdmin
from cachesvc.serving.admin.connections import ConnectionAdmin
from cachesvc.serving.admin.jobs import JobAdmin
from cachesvc.serving.admin.mining import MiningAdmin
from cachesvc.serving.admin.models import ModelAdmin
from cachesvc.serving.admin.overview import OverviewAdmin
from cachesvc.serving.admin.records import RecordAdmin
from cachesvc.serving.admin.retention import RetentionAdmin
from cachesvc.serving.admin.snapshots import SnapshotAdmin
from cachesvc.serving.admin.sql import SqlAdmin
from cachesvc.serving.admin.stores import StoreAdmin
from cachesvc.serving.admin.summary import SummaryAdmin
from cachesvc.serving.admin.topics import check_known
from cachesvc.serving.admin.trends import TrendAdmin
from cachesvc.serving.admin.watching import WatchAdmin
from cachesvc.serving.agents import AgentServer, TokenHolders, read_join_token
from cachesvc.serving.appending import OnTraced
from cachesvc.serving.auditing import Auditing
from cachesvc.serving.authenticating import (
    Authenticating,
    Authentication,
    ByPage,
    Doors,
    Everybody,
)
from cachesvc.serving.bounding import Bounding
from cachesvc.serving.call_counting import CallCounting
from cachesvc.serving.floods import Floods
from cachesvc.serving.ingest import MiningServicer
from cachesvc.serving.local_socket import PAGES, socket_path
from cachesvc.serving.log_cache import LogCacheServicer
from cachesvc.serving.naming_calls import NamingCalls
from cachesvc.serving.server import ADMIN, LOG_CACHE, Around, Listen, Server
from cachesvc.serving.strangers import Strangers
from cachesvc.serving.tls import TlsFiles, TlsPaths
from cachesvc.settings.access import secret_places
from cachesvc.settings.config import Config, ServerConfig, effective_config
from cachesvc.settings.secret_places import SecretPlaces


def open_tls(config: ServerConfig) -> TlsFiles | None:
    """The certificates of the listeners, if there are any; reads them."""
    certificate, key = config.tls_certificate_file, config.tls_key_file
    if certificate is None or key is None:
        return None
    return TlsFiles(TlsPaths(certificate, key, config.tls_client_ca_file))


def make_server(parts: Parts, around: Around, tls: TlsFiles | None) -> Server:
    """What tasks, operators and readers of this machine call."""
    config, store, mined = parts.config, parts.store, parts.mined
    subscribed = parts.subscribed
    return Server(
        Listen(
            config.server.listen,
            tls.credentials() if tls else None,
            socket_path(store.path),
            socket_path(store.path, PAGES),
            config.server.admin_listen,
        ),
        LogCacheServicer(
            store,
            mined.sources,
            subscribed.subscriptions,
            mined.assignments,
            subscribed.batches,
            subscribed.shelf,
            config.server.progress_interval_s,
            subscribed.deliveries,
            subscribed.memory,
        ),
        [*_mining_admin(parts), *_reading_admin(parts), *_keeping_admin(parts)],
        MiningServicer(
            store,
            mined.sources,
            mined.assignments,
            mined.connections,
            _reader_settings(config),
            on_traced=_on_traced(parts),
        ),
        around,
    )


def _mining_admin(parts: Parts) -> list[object]:
    """What operators call about what is mined."""
    store, mined, places = parts.store, parts.mined, places_of(parts)
    sources, connections = mined.sources, mined.connections
    return [
        OverviewAdmin(
            store,
            sources,
            mined.assignments,
            json.dumps(effective_config(parts.config)),
            software_version(),
        ),
        ConnectionAdmin(connections, places),
        ConnectionTestAdmin(
            lambda name: connections.get(sources.resolve(name).name).config,
            examine_connection,
            store.incarnations.cluster_of,
            places,
        ),
        MiningAdmin(store, sources, mined.assignments, mined.mining, mined.watch),
        ModelAdmin(store, sources),
        AlarmAdmin(store.catalogue, sources),
    ]


def _reading_admin(parts: Parts) -> list[object]:
    """What operators call about what is read, and by whom."""
    store, mined, subscribed = parts.store, parts.mined, parts.subscribed
    watched = (
        store,
        mined.sources,
        mined.assignments,
        subscribed.subscriptions,
        mined.watch,
        subscribed.deliveries,
    )
    return [
        RecordAdmin(store, mined.sources),
        WatchAdmin(*watched, mined.matching),
        SummaryAdmin(parts.measured, software_version()),
        TrendAdmin(parts.trends, store, mined.sources, subscribed.subscriptions),
        SqlAdmin(parts.queries),
        AuditAdmin(parts.callers.audit),
        AccessAdmin(parts.callers.access),
    ]


def _keeping_admin(parts: Parts) -> list[object]:
    """What operators call about what is kept."""
    sources, kept = parts.mined.sources, parts.kept
    return [
        JobAdmin(parts.jobs),
        StoreAdmin(kept.stores, lambda name, topic: _meant(parts, name, topic), places_of(parts)),
        RetentionAdmin(parts.store.catalogue, sources, kept.usages),
        SnapshotAdmin(parts.subscribed.shelf, sources),
    ]


def places_of(parts: Parts) -> SecretPlaces:
    """Where secrets may lie of what is made over Admin."""
    return secret_places(parts.config.access, guarded=is_guarded(parts.config))


def around_calls(parts: Parts) -> Around:
    """What calls get through, as the settings say."""
    settings, callers = parts.config.callers, parts.callers
    naming, counting = NamingCalls(), CallCounting(callers.calls)
    access = parts.config.access
    doors = Doors(health=access.health == "open", reflection=access.reflection == "open")
    floods = Floods(settings.connection_calls_max, callers.calls)
    strangers = Strangers(settings.unknown_per_s_max, callers.calls, floods)
    authentication = _authentication(parts)
    authenticating = Authenticating(authentication, doors, strangers)
    by_page = Authenticating(ByPage(authentication), doors, strangers)
    bounding = Bounding(callers.limits, floods)
    auditing = Auditing(callers.audit, LOG_CACHE, ADMIN)
    guards = [hold_to_rights(parts, callers.access, doors)] if is_guarded(parts.config) else []
    callers.access.on_change.extend(guard.changed for guard in guards)
    return Around(
        [naming, counting, authenticating, bounding, auditing, *guards],
        [naming, counting, authenticating, auditing],
        [naming, counting, by_page, bounding, auditing, *guards],
        settings.request_bytes_max,
        settings.connections_max or connection_descriptors(),
        settings.connection_calls_max,
        strangers.hold,
    )


def _authentication(parts: Parts) -> Authentication:
    """How callers are told apart, as the settings say."""
    if not is_guarded(parts.config):
        return Everybody()
    module = import_module("cachesvc.serving.known_callers")
    known: Authentication = module.Known(
        parts.callers.access, parts.config.access.certificate_name, parts.callers.issuer
    )
    return known


def _meant(parts: Parts, name: str, topic: str) -> str:
    """The connection that a request means; the topic, if there is one, is known."""
    connection = parts.mined.sources.resolve(name).name
    if topic:
        check_known(parts.mined.sources, parts.store, connection, topic)
    return connection


def make_agent_server(parts: Parts, tls: TlsFiles | None) -> AgentServer | None:
    """What readers of other machines join on, if it is configured."""
    mining = parts.config.mining
    if mining.listen is None:
        return None
    token = read_join_token(mining.join_token_env, mining.join_token_file, os.environ)
    credentials = tls.credentials(for_clients=False) if tls else None
    servicer = MiningServicer(
        parts.store,
        parts.mined.sources,
        parts.mined.assignments,
        parts.mined.connections,
        _reader_settings(parts.config),
        TokenHolders(token),
        _on_traced(parts),
    )
    return AgentServer(mining.listen, credentials, servicer, parts.callers.calls)


def software_version() -> str:
    """Of the installed distribution."""
    try:
        return version("cachesvc")
    except PackageNotFoundError:
        return "unknown"


def _on_traced(parts: Parts) -> OnTraced | None:
    return None if parts.traces is None else parts.traces.appended


def _reader_settings(config: Config) -> dict[str, Any]:
    traces = config.traces
    sampling = {
        "ratio": traces.ratio,
        "per_s_max": traces.traces_per_s_max,
        "follow_producers": traces.follow_producers,
    }
    return {
        "append_window_bytes_max": config.mining.append_window_bytes_max,
        "batch_records_max": config.mining.batch_records_max,
        "backfill_share": config.mining.backfill_share,
        "record_bytes_max": config.mining.record_bytes_max,
        **({"traces": sampling} if traces.endpoint else {}),
    }
