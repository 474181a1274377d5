"""Making and changing connections by forms, against a service that says what it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import httpx
import pytest
from google.protobuf.message import Message

from cachesvc.v1 import connection_test_pb2 as tests_of_connections
from cachesvc.v1.access_pb2 import GetCallerResponse
from cachesvc.v1.connections_pb2 import (
    Connection,
    CreateConnectionRequest,
    GetConnectionRequest,
    GetConnectionResponse,
    ListConnectionsRequest,
    ListConnectionsResponse,
    UpdateConnectionRequest,
    UpdateConnectionResponse,
)
from cachesvc.web.application import Figures, make_application
from cachesvc.web.calls import CallFailed, Calls, On
from cachesvc.web.guarding import Rules
from cachesvc.web.health import Health
from cachesvc.web.pages import PAGES
from cachesvc.web.site import Site

ADDRESS = "http://127.0.0.1:7071"
MADE = Connection(
    name="main", bootstrap_servers=["a:1"], type="source", updated_ms=7, agent="<reader>"
)


class FakeCalls:
    """Has one connection, and refuses what it is told to."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.tried: list[Any] = []
        self.refusal: CallFailed | None = None

    async def ask(self, request: Message, on: On, timeout_s: float = 0) -> Any:
        if request.DESCRIPTOR.name == "GetCallerRequest":
            return GetCallerResponse(principal="ops")
        if isinstance(request, GetConnectionRequest):
            return GetConnectionResponse(connection=MADE)
        if isinstance(request, ListConnectionsRequest):
            return ListConnectionsResponse(connections=[MADE])
        self.asked.append(request)
        if self.refusal is not None:
            raise self.refusal
        return UpdateConnectionResponse()

    def stream(self, request: Message, on: On, timeout_s: float) -> Iterator[Any]:
        self.tried.append(request)
        check = tests_of_connections.ConnectionCheck(name="address", detail="it is there")
        yield tests_of_connections.TestConnectionResponse(check=check)

    def close(self) -> None:
        pass


Body = Callable[["Browser", FakeCalls], Awaitable[None]]


class Browser:
    """Somebody who has signed in, or does not have to."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.token = ""

    async def get(self, path: str) -> httpx.Response:
        answer = await self._client.get(path)
        self.token = answer.text.partition('name="form_token" value="')[2].partition('"')[0]
        return answer

    async def send(self, path: str, **fields: str) -> httpx.Response:
        return await self._client.post(path, data={"form_token": self.token, **fields})


def visited(body: Body, *, guarded: bool = True) -> None:
    async def run() -> None:
        health, calls = Health(), FakeCalls()
        site = Site(PAGES, Rules(guarded, False), health, "1")
        application = make_application(health, Figures(), site.routes())
        transport = httpx.ASGITransport(application, client=("127.0.0.1", 4711))
        headers = {"sec-fetch-site": "same-origin"}
        async with httpx.AsyncClient(
            transport=transport, base_url=ADDRESS, headers=headers
        ) as client:
            site.open(cast(Calls, calls))
            health.serve(list)
            if guarded:
                await client.post("/sign-in", data={"token": "cst_x", "next": "/"})
            await body(Browser(client), calls)
            site.close()

    asyncio.run(run())


def test_making_one() -> None:
    async def body(browser: Browser, calls: FakeCalls) -> None:
        page = (await browser.get("/new-connection")).text
        assert "Make the connection" in page
        done = await browser.send(
            "/new-connection", name="new", bootstrap_servers="k:1", type="source"
        )
        assert (done.status_code, done.headers["location"]) == (303, "/connections/new")
        (asked,) = calls.asked
        assert isinstance(asked, CreateConnectionRequest)
        assert (asked.connection.name, asked.connection.log_caching) == ("new", False)
        assert "Connection new is made." in (await browser.get("/connections/main")).text

    visited(body)


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (
            CallFailed(
                "INVALID_CONFIG",
                "request: connection.sasl.username: is missing; give one",
                {"field": "connection.sasl.username"},
            ),
            '<p class="wrong" id="sasl.username-wrong">is missing; give one</p>',
        ),
        (
            CallFailed("CONNECTION_EXISTS", "there is a connection 'new'"),
            '<p class="wrong" id="name-wrong">there is a connection &#39;new&#39;</p>',
        ),
        (
            CallFailed("NOT_ALLOWED", "this needs the right 'admin'"),
            "<p>Nothing was saved. this needs the right &#39;admin&#39;</p>",
        ),
    ],
)
def test_what_is_wrong_stands_next_to_its_field(refusal: CallFailed, told: str) -> None:
    async def body(browser: Browser, calls: FakeCalls) -> None:
        await browser.get("/new-connection")
        calls.refusal = refusal
        answer = await browser.send(
            "/new-connection", name="new", bootstrap_servers="k:1", agent="<b>", sasl="yes"
        )
        assert answer.status_code == refusal.status
        assert told in answer.text
        assert 'value="&lt;b&gt;"' in answer.text, "what was typed is kept"

    visited(body)


def test_changing_one_leaves_alone_what_the_form_does_not_have() -> None:
    async def body(browser: Browser, calls: FakeCalls) -> None:
        page = (await browser.get("/connections/main/edit")).text
        assert "&lt;reader&gt;" in page and 'name="updated_ms" value="7"' in page
        form = {"bootstrap_servers": "b:2", "type": "source", "name": "another"}
        late = await browser.send("/connections/main/edit", **form, updated_ms="6")
        assert late.status_code == 409
        assert "somebody has changed it meanwhile" in late.text
        done = await browser.send("/connections/main/edit", **form, updated_ms="7")
        assert done.headers["location"] == "/connections/main"
        (asked,) = calls.asked
        assert isinstance(asked, UpdateConnectionRequest)
        assert asked.connection.name == "main", "it keeps its name"
        assert list(asked.connection.bootstrap_servers) == ["b:2"]
        assert asked.connection.agent == ""

    visited(body)


def test_trying_one_before_it_is_saved() -> None:
    async def body(browser: Browser, calls: FakeCalls) -> None:
        await browser.get("/new-connection")
        started = await browser.send("/try-connection", bootstrap_servers="k:1")
        run = await browser.get(started.headers["location"])
        assert "Test of connection new, before it is saved" in run.text
        await browser.send("/try-connection", is_made="yes", name="main", bootstrap_servers="k:2")
        for _ in range(6_000):
            if len(calls.tried) == 2:
                break
            await asyncio.sleep(0.01)
        new, made = (each.settings for each in calls.tried)
        assert (new.name, made.name, made.updated_ms) == ("new", "main", 7)
        assert calls.asked == []

    visited(body)


def test_nobody_changes_anything_without_access_control() -> None:
    async def body(browser: Browser, calls: FakeCalls) -> None:
        page = (await browser.get("/new-connection")).text
        assert "cachesvc connection create NAME" in page and "<form" not in page
        assert "/new-connection" not in (await browser.get("/connections/main")).text
        await browser.get("/sql")  # has a form
        for path in ("/new-connection", "/connections/main/edit"):
            assert (await browser.send(path, name="x", updated_ms="7")).status_code == 403
        assert calls.asked == []

    visited(body, guarded=False)
