"""How many rows a call may ask for, and those that it gets."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from cachesvc.errors import InvalidRequest
from cachesvc.serving.calling import current_seen

T = TypeVar("T")
R = TypeVar("R")
_LIMIT_MAX = 100_000


def checked_limit(value: int, default: int) -> int:
    """What a request's ``limit`` means; 0 stands for ``default``.

    Raises:
        InvalidRequest: It is out of range.
    """
    if not 0 <= value <= _LIMIT_MAX:
        raise InvalidRequest(f"limit: {value} is outside 0 to {_LIMIT_MAX}; 0 means {default}")
    return value or default


async def rows_seen(
    limit: int, find: Callable[[int], Awaitable[Sequence[R]]], view: Callable[[R], T]
) -> list[T]:
    """The first rows that the caller sees, ``limit`` of them at most.

    Args:
        limit: How many.
        find: The first rows of all, so many at most; of something of bounded size.
        view: A row as it is answered.
    """
    seen = current_seen()
    asked = limit
    while True:
        found = await find(asked)
        rows = [row for row in map(view, found) if seen(row)]
        if len(rows) >= limit or len(found) < asked:
            return rows[:limit]
        asked *= 4


def checked_skip(value: int) -> int:
    """What a request's ``skip`` means.

    Raises:
        InvalidRequest: It is negative.
    """
    if value < 0:
        raise InvalidRequest(f"skip: {value} is negative")
    return value
