"""Why a server lets nobody in: the SQLSTATE that libpq hears on connecting, and keeps to itself.

The text of such an error is in the server's language, and psycopg has no code for it. What libpq
writes down of a conversation has; since libpq 18, which psycopg's own packages have, that begins
with the first word.
"""

import os
import re
import select
import sys
import time
from collections.abc import Mapping
from typing import Any

from psycopg import conninfo, pq

_ERROR = re.compile(rb'^B\t\d+\tErrorResponse\t.*? C "([0-9A-Z]{5})" ', re.MULTILINE)
_TOLD_BYTES_MAX = 1 << 20
_WAITING = (pq.PollingStatus.READING, pq.PollingStatus.WRITING)


def refusal(parameters: Mapping[str, Any], timeout_s: float) -> str | None:
    """Tries to connect once more; the SQLSTATE of the refusal. Blocks, bounded.

    Args:
        parameters: Of libpq.
        timeout_s: How long it may take.

    Returns:
        None where nobody refused, nobody answered in time, or libpq does not tell.
    """
    if sys.platform != "linux":
        return None  # psycopg traces nowhere else
    # In memory alone: a password may be part of it.
    descriptor = os.memfd_create("cachesvc-sync-refusal")
    try:
        dsn = conninfo.make_conninfo("", **parameters)
        connection = pq.PGconn.connect_start(dsn.encode())
        try:
            if connection.status != pq.ConnStatus.BAD:
                connection.trace(descriptor)
                connection.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)
                _connect(connection, time.monotonic() + timeout_s)
                connection.untrace()
        finally:
            connection.finish()
        return _last_state(os.pread(descriptor, _TOLD_BYTES_MAX, 0))
    finally:
        os.close(descriptor)


def _connect(connection: pq.abc.PGconn, deadline_s: float) -> None:
    """To the end, or to the deadline."""
    while (wanted := connection.connect_poll()) in _WAITING:
        left_s = deadline_s - time.monotonic()
        socket = [connection.socket]
        reads, writes = (socket, []) if wanted == pq.PollingStatus.READING else ([], socket)
        if left_s <= 0 or not any(select.select(reads, writes, [], left_s)):
            return


def _last_state(told: bytes) -> str | None:
    """Of several hosts, or with TLS and without, the last one's."""
    states: list[bytes] = _ERROR.findall(told)
    return states[-1].decode() if states else None
