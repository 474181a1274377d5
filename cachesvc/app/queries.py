"""The engine of operators' queries, as the settings want it."""

from cachesvc.bounds import Bounds
from cachesvc.log.log_store import LogStore
from cachesvc.settings.config import SqlConfig
from cachesvc.snapshots.shelf import Shelf
from cachesvc.sql.engine import QueryEngine, QuerySettings
from cachesvc.sql.views import LogViews
from cachesvc.store import layout


def make_queries(config: SqlConfig, store: LogStore, shelf: Shelf) -> QueryEngine:
    """Runs queries over a store; nothing is left of those before."""
    bounds = Bounds(
        memory_bytes_max=config.memory_bytes_max,
        spill_bytes_max=config.spill_bytes_max,
        threads=config.threads,
        time_s_max=config.time_s_max,
    )
    directory = store.path.absolute() / layout.QUERIES
    settings = QuerySettings(config.enabled, config.queries_max, bounds, directory)
    return QueryEngine(settings, LogViews(store, config.fetch_bytes_max, shelf.newest))
