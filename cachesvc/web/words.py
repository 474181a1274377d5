"""Words and moods for what the service's answers say by number."""

from typing import Any

from cachesvc.v1.log_cache_pb2 import MiningState

_GOOD = frozenset({MiningState.MINING})
_BUSY = frozenset({MiningState.STARTING, MiningState.THROTTLED, MiningState.PAUSED})
_BAD = frozenset({MiningState.BLOCKED, MiningState.SOURCE_UNREACHABLE, MiningState.FAILED})


def word_of(kind: Any, number: int, prefix: str = "") -> str:
    """A value of an enumeration as people read it: ``SOURCE_UNREACHABLE`` as source unreachable.

    Args:
        kind: The enumeration.
        number: The value; a newer service may have others.
        prefix: Of its name, which is left out.
    """
    try:
        name: str = kind.Name(number)
    except ValueError:
        return str(number)
    return name.removeprefix(prefix).replace("_", " ").lower()


def mood_of(state: int) -> str:
    """How a state of mining looks: ``good``, ``busy``, ``bad`` or as nothing in particular."""
    for mood, states in (("good", _GOOD), ("busy", _BUSY), ("bad", _BAD)):
        if state in states:
            return mood
    return ""
