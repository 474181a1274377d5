"""The HTTP paths."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cachesvc.web.exposition import Exposition
from cachesvc.web.gathering import AnyFamily
from cachesvc.web.health import Answer, Health, Phase

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


def make_application(health: Health, figures: Figures) -> Starlette:
    """What answers.

    Args:
        health: Of the service.
        figures: Where they come from, once there are any.
    """
    exposition = Exposition()

    async def index(_: Request) -> Response:
        return PlainTextResponse(_PATHS)

    async def livez(_: Request) -> Response:
        return _probe(await health.alive())

    async def readyz(_: Request) -> Response:
        return _probe(await health.ready())

    async def metrics(request: Request) -> Response:
        families = await health.ask(figures.gather)
        if families is None and health.phase is Phase.SERVING:
            # Half of the figures would look as if the rest were gone.
            return PlainTextResponse("the event loop does not answer\n", status_code=503)
        accept = request.headers.get("accept", "")
        text, media_type = await asyncio.to_thread(exposition.text, families or [], accept)
        return Response(text, media_type=media_type)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]
    )


def _probe(answer: Answer) -> Response:
    text = "\n".join(answer.reasons) or "ok"
    return PlainTextResponse(text + "\n", status_code=200 if answer.well else 503)
