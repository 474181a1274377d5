"""Every page, where the service has nothing to tell, with and without access control."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import httpx
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from cachesvc.v1.access_pb2 import GetCallerRequest, GetCallerResponse
from cachesvc.v1.admin_pb2 import Job, ListJobsResponse, ListTopicsResponse, Topic
from cachesvc.v1.mining_tasks_pb2 import ListMiningTasksResponse, MiningTask
from cachesvc.web.application import Figures, make_application
from cachesvc.web.calls import CallFailed, Calls, On
from cachesvc.web.guarding import Rules
from cachesvc.web.health import Health
from cachesvc.web.pages import PAGES
from cachesvc.web.site import Site

ADDRESS = "http://127.0.0.1:7071"
SOME = {
    "ListTopicsRequest": ListTopicsResponse(topics=[Topic(connection="x", name="x")]),
    "ListMiningTasksRequest": ListMiningTasksResponse(tasks=[MiningTask(name="x")]),
    "ListJobsRequest": ListJobsResponse(jobs=[Job(name="x")]),
}
"""What has to be there for a page of it to be one."""
PATHS = [path for page in PAGES for path, _ in ((page.path, page.show), *page.below)]


class EmptyCalls:
    """Answers every call, and tells nothing; or refuses all of them."""

    def __init__(self, *, refuses: bool = False) -> None:
        self._refuses = refuses

    async def ask(self, request: Message, on: On, timeout_s: float = 0) -> Any:
        if isinstance(request, GetCallerRequest):
            return GetCallerResponse(principal="ops")
        if self._refuses:
            raise CallFailed("NOT_ALLOWED", "this needs the right 'admin'")
        return SOME.get(request.DESCRIPTOR.name) or _answer_to(request)

    async def gather(
        self,
        request: Message,
        on: On,
        enough: Callable[[list[Any]], bool] = lambda _: False,
        timeout_s: float = 0,
    ) -> list[Any]:
        return [await self.ask(request, on)]


def _answer_to(request: Message) -> Message:
    name = f"{request.DESCRIPTOR.full_name.removesuffix('Request')}Response"
    found = descriptor_pool.Default().FindMessageTypeByName(name)
    answer: Message = message_factory.GetMessageClass(found)()
    return answer


async def _visited(path: str, calls: EmptyCalls, *, guarded: bool) -> httpx.Response:
    health = Health()
    site = Site(PAGES, Rules(guarded, False), health, "1")
    transport = httpx.ASGITransport(make_application(health, Figures(), site.routes()))
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
        site.open(cast(Calls, calls))
        health.serve(list)
        same = {"sec-fetch-site": "same-origin"}
        if guarded:
            form = {"token": "cst_x", "next": "/"}
            assert (await client.post("/sign-in", data=form, headers=same)).status_code == 303
        for field in ("{connection}", "{topic}", "{name}"):
            path = path.replace(field, "x")
        return await client.get(path)


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("path", PATHS)
def test_a_page_of_nothing(path: str, guarded: bool) -> None:
    answer = asyncio.run(_visited(path, EmptyCalls(), guarded=guarded))
    assert answer.status_code == 200, answer.text
    assert "That did not work" not in answer.text
    if not guarded:
        assert 'action="/do/' not in answer.text, "nobody acts"


@pytest.mark.parametrize("path", PATHS)
def test_a_page_of_what_may_not_be_seen(path: str) -> None:
    answer = asyncio.run(_visited(path, EmptyCalls(refuses=True), guarded=True))
    assert answer.status_code in (200, 403)
    assert answer.status_code == 200 or "this needs the right" in answer.text
