"""What keeps other sites out of the pages, and browsers within them."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cachesvc.policy.addresses import is_address, is_loopback
from cachesvc.web.forms import FormRefused, is_part, read_form

COOKIE = "cachesvc_session"
SIGN_IN = "/sign-in"
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """Who sees pages.

    Attributes:
        guarded: Whether access control is on: visitors sign in.
        any_host: Whether, where nobody signs in, pages are answered under any name: else a page of
            somebody else's, whose name leads to this machine, could read them.
    """

    guarded: bool
    any_host: bool

    def host_refusal(self, request: Request) -> str:
        """Why nothing is answered under the name that was asked for; empty if something is."""
        if self.guarded or self.any_host:
            return ""
        name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        if name == "localhost" or is_address(name):
            return ""
        return (
            "where access control is off, pages are answered under localhost and under addresses "
            "of numbers alone"
        )


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent.

    Attributes:
        fields: What it carries.
        refusal: Why nothing comes of it; empty where something does.
    """

    fields: Mapping[str, str]
    refusal: str = ""


async def checked_form(request: Request, form_token: str | None) -> Form:
    """A form of this site, in time.

    Args:
        request: Which has it.
        form_token: What it has to carry; None: nothing, as nobody has signed in yet.
    """
    if not _is_own(request):
        return Form({}, "the form is of another site")
    try:
        fields = await read_form(request)
    except FormRefused as error:
        return Form({}, str(error))
    shown = fields.get("form_token", "").encode()
    if form_token is not None and not hmac.compare_digest(form_token.encode(), shown):
        return Form({}, "the form is of an earlier session: load its page again and repeat")
    return Form(fields)


def _is_own(request: Request) -> bool:
    """What the browser says of where a form was; without a word of it, the form token decides."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def secured(response: Response) -> Response:
    """An answer that keeps a browser to this site, and that nobody keeps unless it says so."""
    for name, value in HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("cache-control", "no-store")
    return response


def to_sign_in(request: Request) -> Response:
    """To the page for that, and back afterwards; of a form nothing is repeated."""
    path = "/"
    if request.method == "GET":
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    address = f"{SIGN_IN}?next={quote(path, safe='/')}"
    if is_part(request):
        return Response(status_code=204, headers={"hx-redirect": address})
    return RedirectResponse(address, 303)


def set_cookie(request: Request, response: Response, key: str) -> None:
    """Has the browser show a number from now on, to this site alone."""
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, key, path="/", secure=secure, httponly=True, samesite="strict")


def is_in_clear(request: Request) -> bool:
    """Whether what is sent can be read on the way."""
    host = request.client.host if request.client else ""
    return request.url.scheme != "https" and not is_loopback(host)
