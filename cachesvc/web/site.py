"""The pages in the browser: who may see them, and what they answer."""

import logging
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from cachesvc.v1.access_pb2 import GetCallerRequest
from cachesvc.web.assets import PATH, Assets
from cachesvc.web.calls import CallFailed, Calls, On
from cachesvc.web.forms import local_path
from cachesvc.web.guarding import (
    COOKIE,
    SIGN_IN,
    Rules,
    checked_form,
    is_in_clear,
    secured,
    set_cookie,
    to_sign_in,
)
from cachesvc.web.health import Health, Phase
from cachesvc.web.page import Action, Fields, Page, Show
from cachesvc.web.page import Answer as AnswerForm
from cachesvc.web.rendering import Rendering
from cachesvc.web.runs import Runs
from cachesvc.web.sessions import Sessions, new_key
from cachesvc.web.visit import House, Visit

_log = logging.getLogger(__name__)
Answer = Callable[[Request], Awaitable[Response]]
_KEPT_FOR_EVER = "public, max-age=31536000, immutable"
_IN_CLEAR = "nobody signs in without TLS from another machine; the token was readable on the way"
_NOBODY_ACTS = "where access control is off, nobody changes anything by the page in the browser"


class Site:
    """Answers browsers. Before ``open`` it says that the service is not ready.

    Args:
        pages: All of them, in the order of the navigation.
        rules: Who sees them.
        health: Of the service.
        version: Of this software.
    """

    def __init__(self, pages: Sequence[Page], rules: Rules, health: Health, version: str) -> None:
        self._pages = pages
        self._rules = rules
        self._health = health
        self._assets = Assets()
        navigation = [(page.title, page.path) for page in pages]
        self._rendering = Rendering(self._assets, navigation, version)
        self._sessions = Sessions()
        self._house: House | None = None

    def open(self, calls: Calls) -> None:
        """Shows a service that serves from now on."""
        self._house = House(self._rendering, calls, Runs(), not self._rules.guarded)

    def close(self) -> None:
        """Ends what is under way. Blocking, for a moment."""
        house, self._house = self._house, None
        if house is not None:
            house.runs.close()
            house.calls.close()

    def routes(self) -> Sequence[BaseRoute]:
        """All paths."""
        routes = [
            Route(f"{PATH}/{{name:path}}", self._asset),
            Route(SIGN_IN, self._show_sign_in),
            Route(SIGN_IN, self._sign_in, methods=["POST"]),
            Route("/sign-out", self._sign_out, methods=["POST"]),
            Route("/runs/{key}", self._answering(_show_run)),
        ]
        for page in self._pages:
            for path, show in ((page.path, page.show), *page.below):
                routes.append(Route(path, self._answering(show)))
            for path, answer in page.posts:
                routes.append(Route(path, self._answering_form(answer), methods=["POST"]))
            for path, change in page.changes:
                routes.append(
                    Route(path, self._answering_form(change, acts=True), methods=["POST"])
                )
            for action in page.actions:
                act = self._answering_form(_acting(action), acts=True)
                routes.append(Route(f"/do/{action.name}", act, methods=["POST"]))
        return [*routes, Route("/{path:path}", self._answering(_show_nothing))]

    def _answering(self, show: Show) -> Answer:
        async def answer(request: Request) -> Response:
            return secured(await self._answer(request, show))

        return answer

    def _answering_form(self, show: AnswerForm, *, acts: bool = False) -> Answer:
        async def answer(request: Request) -> Response:
            async def checked(visit: Visit) -> Response:
                form = await checked_form(request, visit.form_token)
                refusal = _NOBODY_ACTS if acts and visit.read_only else form.refusal
                return _refused(visit, 403, refusal) if refusal else await show(visit, form.fields)

            return secured(await self._answer(request, checked))

        return answer

    async def _answer(self, request: Request, show: Show) -> Response:
        house = self._ready()
        if house is None:
            return self._unready()
        if refusal := self._rules.host_refusal(request):
            return self._bare(421, "REFUSED", refusal)
        key = request.cookies.get(COOKIE, "")
        session = self._sessions.find(key) if self._rules.guarded else None
        if self._rules.guarded and session is None:
            return to_sign_in(request)
        fresh = "" if key else new_key()
        visit = Visit(request, house, session, self._sessions.form_token(key or fresh))
        try:
            response = await show(visit)
        except CallFailed as error:
            if error.is_unauthenticated and session is not None:
                self._sessions.end(session.key)
                return to_sign_in(request)
            response = _refused(visit, error.status, error.message, error.reason)
        except Exception:
            extra = {"event": "page_failed", "path": request.url.path}
            _log.exception("a page failed in a way that nobody foresaw", extra=extra)
            message = "the page failed; the service's log has the cause"
            response = _refused(visit, 500, message, "INTERNAL")
        if fresh:
            set_cookie(request, response, fresh)
        return response

    async def _show_sign_in(self, request: Request) -> Response:
        if self._ready() is None:
            return secured(self._unready())
        if not self._rules.guarded:
            return RedirectResponse("/", 303)
        next_path = local_path(request.query_params.get("next", "/"))
        return secured(self._sign_in_page(request, next_path, ""))

    async def _sign_in(self, request: Request) -> Response:
        house = self._ready()
        if house is None or not self._rules.guarded:
            return secured(self._unready())
        form = await checked_form(request, None)
        next_path = local_path(form.fields.get("next", "/"))
        token = form.fields.get("token", "").strip()
        wrong = form.refusal or (_IN_CLEAR if is_in_clear(request) else "")
        if not wrong and not (token and token.isascii() and token.isprintable()):
            wrong = "that is no token"
        if wrong:
            return secured(self._sign_in_page(request, next_path, wrong, 403))
        address = request.client.host if request.client else "unknown"
        try:
            caller = await house.calls.ask(GetCallerRequest(), On(token, address))
        except CallFailed as error:
            return secured(self._sign_in_page(request, next_path, error.message, 403))
        self._sessions.end(request.cookies.get(COOKIE, ""))
        session = self._sessions.begin(token, caller.principal, tuple(caller.roles))
        response = RedirectResponse(next_path, 303)
        set_cookie(request, response, session.key)
        return secured(response)

    async def _sign_out(self, request: Request) -> Response:
        key = request.cookies.get(COOKIE, "")
        form = await checked_form(request, self._sessions.form_token(key))
        if form.refusal:
            return secured(self._bare(403, "REFUSED", form.refusal))
        self._sessions.end(key)
        response = RedirectResponse(SIGN_IN, 303)
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return secured(response)

    async def _asset(self, request: Request) -> Response:
        asset = self._assets.find(request.path_params["name"])
        if asset is None:
            return secured(Response("there is no such file\n", 404, media_type="text/plain"))
        kept = request.query_params.get("v") == asset.digest
        headers = {"cache-control": _KEPT_FOR_EVER if kept else "no-cache"}
        return secured(Response(asset.content, 200, headers, asset.media_type))

    def _ready(self) -> House | None:
        return self._house if self._health.phase is Phase.SERVING else None

    def _unready(self) -> Response:
        return self._bare(503, "NOT_READY", self._health.phase.value)

    def _bare(self, status: int, reason: str, message: str) -> Response:
        text = self._rendering.render("bare.html", reason=reason, message=message)
        return HTMLResponse(text, status)

    def _sign_in_page(
        self, request: Request, next_path: str, wrong: str, status: int = 200
    ) -> Response:
        text = self._rendering.render(
            "sign_in.html", next_path=next_path, wrong=wrong, in_clear=is_in_clear(request)
        )
        return HTMLResponse(text, status)


def _acting(action: Action) -> AnswerForm:
    async def act(visit: Visit, fields: Fields) -> Response:
        back = local_path(fields.get("back", "/"))
        if action.preview is not None and fields.get("confirmed") != "yes":
            kept = {name: fields[name] for name in fields if name not in ("form_token", "back")}
            preview = await action.preview(visit, fields)
            return visit.render(
                "confirm.html", preview=preview, action=action, fields=kept, back=back
            )
        done = await action.do(visit, fields)
        visit.note(done.note)
        return visit.go(done.to or back)

    return act


async def _show_run(visit: Visit) -> Response:
    run = visit.runs.find(visit.place("key"), visit.name)
    return await _show_nothing(visit) if run is None else visit.render("run.html", run=run)


async def _show_nothing(visit: Visit) -> Response:
    return _refused(visit, 404, f"there is no page {visit.path}", "NOT_FOUND")


def _refused(visit: Visit, status: int, message: str, reason: str = "REFUSED") -> Response:
    return visit.render("refused.html", status, reason=reason, message=message)
