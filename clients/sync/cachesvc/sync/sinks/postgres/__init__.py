"""PostgreSQL: rows upserted and deleted by key, with the source's position in one transaction."""

from cachesvc.client import MissingLibrary

try:
    from cachesvc.sync.sinks.postgres.sink import POSTGRES
except ImportError as error:
    if error.name != "psycopg":
        raise
    raise MissingLibrary(
        "the sink postgres needs the package psycopg: pip install 'cachesvc-sync[postgres]'"
    ) from error

__all__ = ["POSTGRES"]
