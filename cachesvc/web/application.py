"""The HTTP paths."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from cachesvc.web.exposition import Exposition
from cachesvc.web.gathering import AnyFamily
from cachesvc.web.health import Answer, Health, Phase
from cachesvc.web.sharing import Shared

_PATHS = """\
/metrics   figures for Prometheus
/livez     200 while the process should go on, 503 if it should be restarted
/readyz    200 while tasks can be served, 503 with the reasons if not
"""


class Figures:
    """Where figures come from; there are none before the service has its parts."""

    def __init__(self) -> None:
        self.gather: Callable[[], Awaitable[list[AnyFamily]]] = _none


async def _none() -> list[AnyFamily]:
    return []


def make_application(
    health: Health, figures: Figures, pages: Sequence[BaseRoute] = ()
) -> Starlette:
    """What answers.

    Args:
        health: Of the service.
        figures: Where they come from, once there are any.
        pages: What answers browsers; none: nothing does.
    """
    exposition = Exposition()

    async def index(_: Request) -> Response:
        return PlainTextResponse(_PATHS)

    async def livez(_: Request) -> Response:
        return _probe(await health.alive())

    async def readyz(_: Request) -> Response:
        return _probe(await health.ready())

    async def made(accept: str) -> tuple[bytes, str] | None:
        families = await health.ask(figures.gather)
        if families is None and health.phase is Phase.SERVING:
            return None
        return await asyncio.to_thread(exposition.text, families or [], accept)

    shared = Shared(made)

    async def metrics(request: Request) -> Response:
        found = await shared.get(request.headers.get("accept", ""))
        if found is None:
            # Half of the figures would look as if the rest were gone.
            return PlainTextResponse("the event loop does not answer\n", status_code=503)
        text, media_type = found
        return Response(text, media_type=media_type)

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            *(pages or [Route("/", index)]),
        ]
    )


def _probe(answer: Answer) -> Response:
    text = "\n".join(answer.reasons) or "ok"
    return PlainTextResponse(text + "\n", status_code=200 if answer.well else 503)
