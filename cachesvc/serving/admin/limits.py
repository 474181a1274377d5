"""How many rows a call may ask for."""

from cachesvc.errors import InvalidRequest

_LIMIT_MAX = 100_000


def checked_limit(value: int, default: int) -> int:
    """What a request's ``limit`` means; 0 stands for ``default``.

    Raises:
        InvalidRequest: It is out of range.
    """
    if not 0 <= value <= _LIMIT_MAX:
        raise InvalidRequest(f"limit: {value} is outside 0 to {_LIMIT_MAX}; 0 means {default}")
    return value or default
