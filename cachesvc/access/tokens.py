"""What a token is, and what is kept of it."""

import hashlib
import secrets

_PREFIX = "cachesvc"
_SECRET_BYTES = 32


def new_token(id_: str) -> str:
    """A token nobody can guess. The first word tells scanners of secrets what they have found."""
    return f"{_PREFIX}_{id_}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def new_id() -> str:
    """What a token may be called; no secret."""
    return secrets.token_hex(4)


def digest_of(token: str) -> str:
    """What is kept of a token: its SHA-256, in hexadecimal.

    A hash for passwords would be slow, to make guessing dear. Here are 256 random bits to guess,
    which a fast one keeps as well, and it is computed for every call. Looking a digest up tells
    nothing by the time it takes: nobody can choose a token by how its digest begins.
    """
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
