"""Which public calls change something, and so leave a trace.

A call that is not named here does, unless its name says that it only reads: one that is forgotten
leaves a trace too many rather than none.
"""

_READING = ("Get", "List", "Describe", "Watch", "Test")
_OF_TASKS = frozenset({"Subscribe", "Commit"})
"""What tasks do all the time; what Subscribe changes leaves a trace by itself."""
_QUERIES = frozenset({"RunSql"})


def is_change(call: str) -> bool:
    """Whether a call of this name, such as ``DeleteSubscription``, leaves a trace."""
    return not call.startswith(_READING) and call not in _OF_TASKS | _QUERIES
