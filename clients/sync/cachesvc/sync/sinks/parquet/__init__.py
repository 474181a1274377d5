"""Parquet files in Hive's directories, which every lake's tools read."""

from cachesvc.sync.sinks.parquet.sink import PARQUET

__all__ = ["PARQUET"]
