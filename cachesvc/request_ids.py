"""What the call is called that the current task works for; see ``cachesvc.client.request_ids``.

Tasks that are started within take it over.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "x-request-id"
_FORM = re.compile(r"[A-Za-z0-9\-._~+/=:@]{1,64}")
_ID: ContextVar[str] = ContextVar("request_id", default="")


def new_request_id() -> str:
    """One that nobody has."""
    return secrets.token_hex(8)


def is_request_id(name: str) -> bool:
    """Whether it may stand in logs and errors as it is."""
    return _FORM.fullmatch(name) is not None


def current_request_id() -> str:
    """Of the call; empty where nobody has called."""
    return _ID.get()


@contextmanager
def working_for(request_id: str) -> Iterator[None]:
    """What is within, and the tasks that are started within, works for a call; or for none."""
    token = _ID.set(request_id)
    try:
        yield
    finally:
        _ID.reset(token)


def work_for(request_id: str) -> None:
    """The current task works for a call from now on."""
    _ID.set(request_id)
