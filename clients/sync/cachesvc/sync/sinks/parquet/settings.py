"""What a task can say about its files."""

from typing import Literal

import msgspec


class ParquetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of kind ``parquet``.

    Attributes:
        path: Directory of the files, made where it is missing.
        partitions: A directory level each: ``topic``; ``date`` or ``hour`` of the record's
            timestamp, in UTC; or one of ``columns``, of a time its date.
        columns: Fields that become columns, and their types: ``string``, ``int64``, ``float64``,
            ``bool``, ``date``, ``timestamp``, ``decimal(10,2)`` or ``json``. Without it the files
            have the record's own columns, its object as text.
        compression: How pages are compressed.
    """

    path: str
    partitions: tuple[str, ...] = ("topic", "date")
    columns: dict[str, str] = {}
    compression: Literal["zstd", "snappy", "gzip", "lz4", "none"] = "zstd"
