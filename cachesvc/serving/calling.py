"""Who makes the call that the current task answers, and what that caller reaches."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from cachesvc.policy.callers import Caller, Proof

MayRead = Callable[[str], bool]
"""Whether a caller may read the topic of a name, for the subscription and connection it named."""
Seen = Callable[[Any], bool]
"""Whether a caller sees a row of the answer to its call."""
_CALLER: ContextVar[Caller] = ContextVar("caller")
_MAY_READ: ContextVar[MayRead] = ContextVar("may_read")
_SEEN: ContextVar[Seen] = ContextVar("seen")


def set_caller(caller: Caller) -> None:
    """Remembers who calls, for the task that answers and those it starts."""
    _CALLER.set(caller)


def current_caller() -> Caller:
    """Who calls; someone without a name where nobody asked who it is."""
    return _CALLER.get(_ANONYMOUS)


def set_may_read(may_read: MayRead) -> None:
    """Remembers which topics the subscriber may read, likewise."""
    _MAY_READ.set(may_read)


def current_may_read() -> MayRead:
    """Which topics the subscriber may read; all where access control is off."""
    return _MAY_READ.get(may_read_all)


def may_read_all(topic: str) -> bool:
    """What every subscriber may where access control is off."""
    return True


def set_seen(seen: Seen) -> None:
    """Remembers which rows the caller sees, likewise."""
    _SEEN.set(seen)


def current_seen() -> Seen:
    """Which rows the caller sees, where a call has a ``limit`` that counts those alone.

    All where access control is off.
    """
    return _SEEN.get(sees_all)


def sees_all(row: Any) -> bool:
    """What every caller does where access control is off."""
    return True


_ANONYMOUS = Caller("anonymous", (), Proof.NONE, "", "")
