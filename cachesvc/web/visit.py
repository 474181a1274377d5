"""One request of a browser, as pages see it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cachesvc.web.calls import TIMEOUT_S, CallFailed, Calls, On
from cachesvc.web.forms import is_part
from cachesvc.web.listing import Asked
from cachesvc.web.rendering import Rendering
from cachesvc.web.runs import Runs
from cachesvc.web.sessions import Session


@dataclass(frozen=True, slots=True)
class Part:
    """An answer that a page can do without.

    Attributes:
        answer: Of the call; None where it failed.
        failed: Why; None where it did not.
    """

    answer: Any
    failed: CallFailed | None = None


@dataclass(frozen=True, slots=True)
class House:
    """What all visits share.

    Attributes:
        rendering: Makes HTML.
        calls: Reaches the service.
        runs: What runs for somebody who watches it.
        read_only: Whether nobody acts, as nobody says who they are.
    """

    rendering: Rendering
    calls: Calls
    runs: Runs
    read_only: bool


class Visit:
    """A request, by somebody who has signed in or does not have to.

    Args:
        request: As it came.
        house: What all visits share.
        session: Of whoever has signed in; None where nobody has to.
        form_token: What forms have to carry.

    Attributes:
        is_part: Whether a part of a page that is shown is loaded anew.
    """

    def __init__(
        self, request: Request, house: House, session: Session | None, form_token: str
    ) -> None:
        self._house = house
        self.session = session
        self.read_only = house.read_only
        self.form_token = form_token
        self.path = request.url.path
        self.asked = Asked(request.url.path, dict(request.query_params))
        self._places: dict[str, str] = dict(request.path_params)
        self.is_part = is_part(request)
        address = request.client.host if request.client else "unknown"
        self.on = On(None if session is None else session.token, address)

    @property
    def runs(self) -> Runs:
        """What runs for somebody who watches it."""
        return self._house.runs

    @property
    def calls(self) -> Calls:
        """Reaches the service."""
        return self._house.calls

    @property
    def name(self) -> str:
        """Of whoever has signed in; ``anonymous`` without."""
        return "anonymous" if self.session is None else self.session.name

    @property
    def here(self) -> str:
        """The address, with its query."""
        return self.asked.url()

    def place(self, name: str) -> str:
        """A part of the path."""
        return self._places[name]

    async def ask(self, request: Message, timeout_s: float = TIMEOUT_S) -> Any:
        """The answer to a call on behalf of the visitor.

        Raises:
            CallFailed: See ``Calls.ask``; whoever answers the visit shows it.
        """
        return await self._house.calls.ask(request, self.on, timeout_s)

    async def gather(
        self,
        request: Message,
        enough: Callable[[list[Any]], bool] = lambda _: False,
        timeout_s: float = TIMEOUT_S,
    ) -> list[Any]:
        """The answers to a streaming call, likewise; see ``Calls.gather``."""
        return await self._house.calls.gather(request, self.on, enough, timeout_s)

    async def attempt(self, request: Message) -> Part:
        """The answer to a call that the page can do without.

        Raises:
            CallFailed: Nobody has signed in, or not any more.
        """
        try:
            return Part(await self.ask(request))
        except CallFailed as error:
            if error.is_unauthenticated:
                raise
            return Part(None, error)

    def render(self, template: str, status: int = 200, **values: object) -> Response:
        """The page that a template makes; what is to be told is in a whole one alone.

        A part that is loaded anew may cross a form that was sent: what that form came to is for the
        page that follows it.
        """
        notes = self.session.take_notes() if self.session and not self.is_part else []
        text = self._house.rendering.render(template, visit=self, notes=notes, **values)
        return HTMLResponse(text, status)

    def note(self, text: str) -> None:
        """Has the next page tell something."""
        if self.session is not None and text:
            self.session.note(text)

    def go(self, path: str) -> Response:
        """Has the browser go on elsewhere."""
        return RedirectResponse(path, 303)
