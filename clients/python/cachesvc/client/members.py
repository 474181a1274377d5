"""Members of shared subscriptions: their names, and who they are now, as values."""

import os
import re
import socket

import msgspec

from cachesvc.client.positions import Positions


class Member(msgspec.Struct, frozen=True):
    """A subscriber that shares a subscription.

    Attributes:
        name: Its name.
        joined_ms: When it joined.
        positions: What it reads, and where it is.
        revoked: What it is about to lose; it may still commit.
        stalled_since_ms: Since when its client takes nothing; None while it does.
        finished: Whether its stream has ended because all is delivered.
    """

    name: str
    joined_ms: int
    positions: Positions
    revoked: Positions
    stalled_since_ms: int | None
    finished: bool


def new_member() -> str:
    """A name that no other member has, which says where it runs."""
    host = re.sub(r"[^a-zA-Z0-9._-]", "-", socket.gethostname())[:200] or "member"
    return f"{host}-{os.getpid()}-{os.urandom(4).hex()}"
