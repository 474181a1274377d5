"""What PostgreSQL's errors mean for a task, told by their SQLSTATE.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from cachesvc.sync.errors import BatchRefused, SyncError, TargetFailed, TargetUnavailable

# By class (two characters) or by code. What no row and no setting is to blame for passes.
_PASSING = ("08", "40", "53", "57", "58", "25006", "55P03", "55006")
# Values, constraints, limits of a row or an index, and what a trigger raises.
_DATA = ("21", "22", "23", "44", "54", "P0")


def passes(state: str) -> bool:
    """Whether what a SQLSTATE stands for may pass by itself."""
    return state.startswith(_PASSING)


def sync_error(error: psycopg.Error) -> SyncError:
    """The error of a task that stands for one of the database."""
    state = error.sqlstate
    if state is None or passes(state):
        # Without a code it is the connection that failed.
        return TargetUnavailable(f"PostgreSQL: {_words(error)}", metadata=_metadata(error))
    if state.startswith(_DATA):
        # The first line alone: the detail quotes the row.
        return BatchRefused(f"PostgreSQL: {_words(error)}", reason=_reason(error))
    return TargetFailed(f"PostgreSQL: {_words(error)}", metadata=_metadata(error))


@contextmanager
def telling() -> Iterator[None]:
    """Raises errors of the database as those of the task."""
    try:
        yield
    except psycopg.Error as error:
        raise sync_error(error) from error


def _words(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).strip()


def _reason(error: psycopg.Error) -> str:
    """``NotNullViolation`` as ``NOT_NULL_VIOLATION``."""
    name = type(error).__name__
    return "".join(f"_{c}" if c.isupper() and at else c for at, c in enumerate(name)).upper()


def _metadata(error: psycopg.Error) -> dict[str, str]:
    return {} if error.sqlstate is None else {"sqlstate": error.sqlstate}
