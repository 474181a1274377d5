"""Runs a piece of code for Spark, and writes what it finds as JSON: CODE_FILE RESULT_FILE.

Of rows of ``records``, in their order: partition, offset, timestamp in milliseconds and its type,
key in hexadecimal, value, headers with values in hexadecimal. Needs pyspark alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

code_file, result_file = map(Path, sys.argv[1:])
names: dict[str, Any] = {}
exec(code_file.read_text(), names)


def text(value: bytearray | None) -> str | None:
    return None if value is None else value.hex()


columns = ("partition", "offset", "unix_millis(timestamp)", "timestamp_type")
found = [
    [
        *row[:4],
        text(row.key),
        row.value,
        row.headers and [[key, text(value)] for key, value in row.headers],
    ]
    for row in names["records"].selectExpr(*columns, "key", "value", "headers").collect()
]
result_file.write_text(json.dumps([names["spark"].version, found]))
