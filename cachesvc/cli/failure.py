"""How a command fails: exit codes, and the line on stderr that says what, where and what to do."""

from cachesvc.errors import (
    CacheError,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    ShuttingDown,
    Superseded,
)

FAILED = 1
USAGE = 2
UNREACHABLE = 3
NOT_FOUND = 4
REFUSED = 5
ALARMS_STAND = 6

_EXIT_CODES: tuple[tuple[type[CacheError], int], ...] = (
    (InvalidRequest, USAGE),
    (NotFound, NOT_FOUND),
    (PreconditionFailed, REFUSED),
    (Superseded, REFUSED),
    (ShuttingDown, UNREACHABLE),
)


class CommandFailed(Exception):
    """A command cannot do what it was asked; its text is for the operator."""

    def __init__(self, what: str, *, where: str = "", advice: str = "", code: int = FAILED) -> None:
        place = f" ({where})" if where else ""
        todo = f"; {advice}" if advice else ""
        super().__init__(f"{what}{place}{todo}")
        self.exit_code = code


def exit_code(error: CacheError) -> int:
    """The exit code for an error of the service that ran in this process."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), FAILED)
