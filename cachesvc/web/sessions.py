"""Who has signed in, in memory: a browser holds the number of a session, never a token."""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

SESSIONS_MAX = 1_000
_NOTES_MAX = 5


@dataclass(slots=True)
class Session:
    """A browser in which somebody has signed in.

    Attributes:
        key: The number that its cookie has.
        token: What was signed in with.
        name: The principal's.
        roles: The names of its roles.
        begun_s: When, by the clock of ``Sessions``.
        seen_s: When it was last used.
        notes: What the next page is to tell.
    """

    key: str
    token: str
    name: str
    roles: tuple[str, ...]
    begun_s: float
    seen_s: float
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Has the next page tell something."""
        self.notes = [*self.notes, text][-_NOTES_MAX:]

    def take_notes(self) -> list[str]:
        """What is to be told, once."""
        found, self.notes = self.notes, []
        return found


class Sessions:
    """All sessions. The one that was not used for longest makes room for a new one.

    Args:
        idle_s: After so long without a request a session is over.
        age_s: After so long it is over, whatever happens.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        idle_s: float = 3_600.0,
        age_s: float = 12 * 3_600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._idle_s = idle_s
        self._age_s = age_s
        self._clock = clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._secret = secrets.token_bytes(32)

    def begin(self, token: str, name: str, roles: tuple[str, ...]) -> Session:
        """A new session."""
        now_s = self._clock()
        session = Session(new_key(), token, name, roles, now_s, now_s)
        self._sessions[session.key] = session
        while len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return session

    def find(self, key: str) -> Session | None:
        """The session of that number, if it is not over; it is in use now."""
        session = self._sessions.get(key)
        if session is None:
            return None
        now_s = self._clock()
        if now_s - session.seen_s > self._idle_s or now_s - session.begun_s > self._age_s:
            del self._sessions[key]
            return None
        session.seen_s = now_s
        self._sessions.move_to_end(key)
        return session

    def end(self, key: str) -> None:
        """Ends a session, if there is one of that number."""
        self._sessions.pop(key, None)

    def form_token(self, key: str) -> str:
        """What a form has to carry that a browser with that number sends."""
        return hmac.new(self._secret, key.encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, key: str, shown: str) -> bool:
        """Whether a form carries what it has to."""
        return hmac.compare_digest(self.form_token(key), shown)


def new_key() -> str:
    """A number that nobody guesses."""
    return secrets.token_urlsafe(32)
