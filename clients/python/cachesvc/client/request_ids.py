"""What a call is called, on both sides: the metadata ``x-request-id``.

The service names it in its log and in its errors, and hands it on to the reader whose assignment
changes because of the call.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "x-request-id"
LENGTH_MAX = 64
"""Of an id: letters, digits, and the signs below. The service replaces any other by its own."""
SIGNS = "-._~+/=:@"

_ID: ContextVar[str] = ContextVar("request_id", default="")


@contextmanager
def request_id(name: str) -> Iterator[None]:
    """Has all calls within, and of streams that are opened within, go by this id.

    For an id that a program has already, such as that of the request it is answering. Without one
    each call gets its own.

    Args:
        name: 1 to 64 ASCII letters, digits or ``-._~+/=:@``.

    Raises:
        ValueError: It is none.
    """
    if not is_request_id(name):
        raise ValueError(
            f"a request id has 1 to {LENGTH_MAX} ASCII letters, digits or {SIGNS}, unlike {name!r}"
        )
    token = _ID.set(name)
    try:
        yield
    finally:
        _ID.reset(token)


def id_of_call() -> str:
    """The id that a call is to go by: the caller's, or one that is made for it."""
    return _ID.get() or secrets.token_hex(8)


def is_request_id(name: str) -> bool:
    """Whether the service takes it."""
    return 0 < len(name) <= LENGTH_MAX and all(
        char.isascii() and (char.isalnum() or char in SIGNS) for char in name
    )
