"""Who sees pages, and what forms are taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest
from google.protobuf.message import Message
from starlette.responses import Response

from cachesvc.v1.access_pb2 import GetCallerRequest, GetCallerResponse
from cachesvc.v1.admin_pb2 import ListJobsRequest
from cachesvc.web.application import Figures, make_application
from cachesvc.web.calls import CallFailed, Calls, On
from cachesvc.web.guarding import COOKIE, HEADERS, Rules
from cachesvc.web.health import Health
from cachesvc.web.page import Action, Done, Fields, Page, Preview
from cachesvc.web.pages import PAGES
from cachesvc.web.site import Site
from cachesvc.web.visit import Visit

TOKEN = "cst_good"
ADDRESS = "http://127.0.0.1:7071"
SAME = {"sec-fetch-site": "same-origin"}


class FakeCalls:
    """Knows one token, and notes what is called with which."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.tokens = {TOKEN}

    async def ask(self, request: Message, on: On, timeout_s: float = 0) -> Any:
        self.asked.append((request.DESCRIPTOR.name, on.token))
        if on.token is not None and on.token not in self.tokens:
            raise CallFailed("UNAUTHENTICATED", "the token is none of this service's")
        if isinstance(request, GetCallerRequest):
            return GetCallerResponse(principal="ops", roles=["admin"], proof="token")
        raise CallFailed("NOT_ALLOWED", "this needs the right 'admin'")


async def _show(visit: Visit) -> Response:
    return visit.render("refused.html", reason="SHOWN", message=f"for {visit.name}")


async def _jobs(visit: Visit) -> Response:
    await visit.ask(ListJobsRequest())
    raise AssertionError("it was allowed")


async def _fail(visit: Visit) -> Response:
    raise RuntimeError("nobody foresaw <this>")


async def _do(visit: Visit, fields: Fields) -> Done:
    return Done(f"did it to <{fields['name']}>")


async def _preview(visit: Visit, fields: Fields) -> Preview:
    return Preview(f"Really to {fields['name']}?", ["It is gone then."], ["a"], [["b"]])


ACTIONS = (Action("at-once", "Do it", _do), Action("asked", "Delete it", _do, _preview))
OURS = (
    Page(
        "Ours",
        "/ours",
        _show,
        below=(("/ours/jobs", _jobs), ("/ours/fails", _fail)),
        actions=ACTIONS,
    ),
)
Test = Callable[[httpx.AsyncClient, FakeCalls], Awaitable[None]]


def visited(
    test: Test, *, guarded: bool = True, any_host: bool = False, address: str = "127.0.0.1"
) -> None:
    """Runs a test on a site that serves."""

    async def run() -> None:
        async with _site(guarded, any_host, address) as (client, calls):
            await test(client, calls)

    asyncio.run(run())


@asynccontextmanager
async def _site(
    guarded: bool, any_host: bool, address: str
) -> AsyncIterator[tuple[httpx.AsyncClient, FakeCalls]]:
    health, calls = Health(), FakeCalls()
    site = Site(OURS, Rules(guarded, any_host), health, "1")
    application = make_application(health, Figures(), site.routes())
    transport = httpx.ASGITransport(application, client=(address, 4711))
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
        assert (await client.get("/ours")).status_code == 503
        site.open(cast(Calls, calls))
        health.serve(list)
        yield client, calls


async def sign_in(client: httpx.AsyncClient, token: str = TOKEN) -> httpx.Response:
    form = {"token": token, "next": "/ours"}
    return await client.post("/sign-in", data=form, headers=SAME)


def form_token(page: str) -> str:
    return page.partition('name="form_token" value="')[2].partition('"')[0]


def test_nobody_sees_anything_before_signing_in() -> None:
    async def test(client: httpx.AsyncClient, calls: FakeCalls) -> None:
        for path in ("/ours?x=1", "/ours/jobs", "/runs/x", "/nothing"):
            answer = await client.get(path)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/sign-in?next=/")
        assert (await client.get("/ours?x=1")).headers["location"].endswith("?next=/ours%3Fx%3D1")
        part = await client.get("/ours", headers={"hx-request": "true"})
        assert (part.status_code, part.text) == (204, "")
        assert part.headers["hx-redirect"] == "/sign-in?next=/ours"
        assert calls.asked == []

    visited(test)


def test_signing_in_and_out() -> None:
    async def test(client: httpx.AsyncClient, calls: FakeCalls) -> None:
        wrong = await sign_in(client, "cst_bad")
        assert wrong.status_code == 403
        assert "none of this service" in wrong.text and COOKIE not in wrong.headers.get(
            "set-cookie", ""
        )
        answer = await sign_in(client)
        assert (answer.status_code, answer.headers["location"]) == (303, "/ours")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie
        assert TOKEN not in cookie
        page = await client.get("/ours")
        assert page.status_code == 200 and "for ops" in page.text
        form = {"form_token": form_token(page.text)}
        assert (await client.post("/sign-out", data=form)).status_code == 303
        assert (await client.get("/ours")).status_code == 303

    visited(test)


def test_the_cookie_is_for_tls_alone_behind_it() -> None:
    async def test(client: httpx.AsyncClient, calls: FakeCalls) -> None:
        client.base_url = httpx.URL("https://cache.example.com")
        assert "Secure" in (await sign_in(client)).headers["set-cookie"]

    visited(test)


@pytest.mark.parametrize(
    ("url", "address", "signs_in"),
    [
        (ADDRESS, "127.0.0.1", True),
        (ADDRESS, "::1", True),
        (ADDRESS, "10.0.0.7", False),
        ("https://cache.example.com", "10.0.0.7", True),
    ],
)
def test_nobody_signs_in_from_elsewhere_without_tls(url: str, address: str, signs_in: bool) -> None:
    async def test(client: httpx.AsyncClient, calls: FakeCalls) -> None:
        client.base_url = httpx.URL(url)
        page = (await client.get("/sign-in")).text
        assert ("came without TLS" in page) is not signs_in
        assert ('type="password"' in page) is signs_in
        answer = await sign_in(client)
        assert (answer.status_code == 303) is signs_in
        assert bool(calls.asked) is signs_in, "what was sent is tried nowhere"

    visited(test, address=address)


@pytest.mark.parametrize("path", ["https://evil.example", "//evil.example", "/\\evil", "x", "/\n"])
def test_signing_in_leads_to_pages_of_the_site_alone(path: str) -> None:
    async def test(client: httpx.AsyncClient, calls: FakeCalls) -> None:
        answer = await client.post("/sign-in", data={"token": TOKEN, "next": path}, headers=SAME)
        assert answer.headers["location"] == "/"

    visited(test)


def test_a_token_that_ends_ends_the_session() -> None:
    async def test(client: httpx.AsyncClient, calls: FakeCalls) -> None:
        await sign_in(client)
        refused = await client.get("/ours/jobs")
        assert refused.status_code == 403
        assert "this needs the right" in refused.text and "NOT_ALLOWED" in refused.text
        calls.tokens.clear()
        assert (await client.get("/ours/jobs")).headers["location"].startswith("/sign-in")
        assert (await client.get("/ours")).status_code == 303

    visited(test)


def test_actions_want_the_form_of_the_session() -> None:
    async def test(client: httpx.AsyncClient, calls: FakeCalls) -> None:
        await sign_in(client)
        right = form_token((await client.get("/ours")).text)
        form = {"name": "x", "back": "/ours?a=1", "form_token": right}
        for wrong in ("", "0" * 64, right[:-1]):
            refused = await client.post("/do/at-once", data=form | {"form_token": wrong})
            assert refused.status_code == 403
        for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
            refused = await client.post("/do/at-once", data=form, headers=headers)
            assert refused.status_code == 403
        assert (await client.post("/do/at-once", json=form)).status_code == 403
        assert (await client.get("/do/at-once")).status_code in (404, 405)
        done = await client.post("/do/at-once", data=form, headers={"origin": ADDRESS})
        assert (done.status_code, done.headers["location"]) == (303, "/ours?a=1")
        part = await client.get("/ours", headers={"hx-request": "true"})
        assert "did it" not in part.text, "it is for the page that follows"
        page = (await client.get("/ours?a=1")).text
        assert "did it to &lt;x&gt;" in page
        assert "did it" not in (await client.get("/ours")).text

    visited(test)


def test_what_cannot_be_undone_is_asked_before() -> None:
    async def test(client: httpx.AsyncClient, calls: FakeCalls) -> None:
        await sign_in(client)
        form = {"name": "<x>", "back": "//evil", "form_token": ""}
        form["form_token"] = form_token((await client.get("/ours")).text)
        asked = await client.post("/do/asked", data=form)
        assert asked.status_code == 200
        assert "Really to &lt;x&gt;?" in asked.text and "It is gone then." in asked.text
        assert 'name="back" value="/"' in asked.text
        done = await client.post("/do/asked", data=form | {"confirmed": "yes"})
        assert (done.status_code, done.headers["location"]) == (303, "/")

    visited(test)


def test_without_access_control_everybody_reads_and_nobody_acts() -> None:
    async def test(client: httpx.AsyncClient, calls: FakeCalls) -> None:
        page = await client.get("/ours")
        assert page.status_code == 200 and "read-only" in page.text
        form = {"name": "x", "form_token": ""}
        refused = await client.post("/do/at-once", data=form, headers=SAME)
        assert refused.status_code == 403 and "access control is off" in refused.text
        await client.get("/ours/jobs")
        assert calls.asked == [("ListJobsRequest", None)]
        assert (await client.get("/sign-in")).headers["location"] == "/"

    visited(test, guarded=False)


def test_without_access_control_names_of_others_lead_nowhere() -> None:
    async def test(client: httpx.AsyncClient, calls: FakeCalls) -> None:
        for host in ("evil.example", "evil.example:7071", "", "127.0.0.1.evil.example"):
            answer = await client.get("/ours", headers={"host": host})
            assert answer.status_code == 421
        for host in ("localhost:7071", "[::1]:7071", "10.0.0.4"):
            assert (await client.get("/ours", headers={"host": host})).status_code == 200

    visited(test, guarded=False)


def test_any_name_will_do_where_that_is_meant() -> None:
    async def test(client: httpx.AsyncClient, calls: FakeCalls) -> None:
        assert (await client.get("/ours", headers={"host": "cache:7071"})).status_code == 200

    visited(test, guarded=False, any_host=True)


def test_every_answer_keeps_browsers_to_the_site() -> None:
    async def test(client: httpx.AsyncClient, calls: FakeCalls) -> None:
        await sign_in(client)
        for path in ("/ours", "/ours/jobs", "/nothing", "/sign-in", "/assets/page.js", "/assets/x"):
            headers = (await client.get(path)).headers
            for name, value in HEADERS.items():
                assert headers[name] == value
            assert headers["cache-control"] == "no-cache" or path != "/assets/page.js"
            assert headers["cache-control"] == "no-store" or path == "/assets/page.js"
        page = (await client.get("/ours")).text
        assert " style=" not in page and " onclick=" not in page
        script = page.partition('src="')[2].partition('"')[0]
        assert "immutable" in (await client.get(script)).headers["cache-control"]
        assert (await client.get("/assets/../site.py")).status_code == 404

    visited(test)


def test_a_form_that_is_too_large_is_refused() -> None:
    async def test(client: httpx.AsyncClient, calls: FakeCalls) -> None:
        answer = await client.post("/sign-in", data={"token": "x" * (300 << 10)}, headers=SAME)
        assert answer.status_code == 403 and "bytes" in answer.text

    visited(test)


def test_what_nobody_foresaw_is_told_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    async def test(client: httpx.AsyncClient, calls: FakeCalls) -> None:
        await sign_in(client)
        answer = await client.get("/ours/fails")
        assert answer.status_code == 500
        assert "INTERNAL" in answer.text and "foresaw" not in answer.text
        assert [record.__dict__["event"] for record in caplog.records] == ["page_failed"]

    visited(test)


def test_every_page_has_a_path_and_every_action_a_name_of_its_own() -> None:
    paths = [path for page in PAGES for path, _ in ((page.path, page.show), *page.below)]
    names = [action.name for page in PAGES for action in page.actions]
    assert len(set(paths)) == len(paths)
    assert len(set(names)) == len(names)
