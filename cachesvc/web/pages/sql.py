"""*SQL*: a query over the log, with a table and a chart."""

import asyncio
from dataclasses import dataclass

from starlette.responses import Response

from cachesvc.v1.connections_pb2 import ListConnectionsRequest
from cachesvc.v1.sql_pb2 import RunSqlRequest
from cachesvc.web.calls import CallFailed
from cachesvc.web.page import Fields, Page
from cachesvc.web.pages.sql_answer import (
    SqlAnswer,
    SqlChart,
    answer_of,
    are_enough,
    cell_text,
    chart_of,
    is_number,
)
from cachesvc.web.visit import Visit

PATH = "/sql"
_TIME_S_MAX = 600.0
_EXAMPLE = """\
select partition, count(*) as records, max("offset") as newest
from log('{topic}')
group by all order by all"""


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a query.

    Attributes:
        answer: Its rows; None without.
        chart: What can be drawn of them; None: nothing.
        failed: Why it has none; None where it has.
        plan: Instead, where that was asked for.
    """

    answer: SqlAnswer | None = None
    chart: SqlChart | None = None
    failed: CallFailed | None = None
    plan: str = ""


async def show(visit: Visit) -> Response:
    """The page before anything was asked."""
    topic = visit.asked.text("topic") or "TOPIC"
    return await _page(visit, _EXAMPLE.format(topic=topic), visit.asked.text("connection"), Found())


async def run(visit: Visit, fields: Fields) -> Response:
    """The page with the answer to a query."""
    text, connection = fields.get("sql", ""), fields.get("connection", "")
    request = RunSqlRequest(sql=text, connection=connection, explain="explain" in fields)
    try:
        parts = await visit.gather(request, are_enough, _TIME_S_MAX)
    except CallFailed as error:
        if error.is_unauthenticated:
            raise
        return await _page(visit, text, connection, Found(failed=error))
    answer = await asyncio.to_thread(answer_of, parts)
    found = Found(plan=_plan(answer)) if request.explain else Found(answer, chart_of(answer))
    return await _page(visit, text, connection, found)


def _plan(answer: SqlAnswer) -> str:
    """The last cell has it."""
    return str(answer.rows[0][-1]) if answer.rows else ""


async def _page(visit: Visit, text: str, connection: str, found: Found) -> Response:
    connections = await visit.attempt(ListConnectionsRequest())
    names = [] if connections.answer is None else [c.name for c in connections.answer.connections]
    return visit.render(
        "sql.html",
        text=text,
        connection=connection,
        names=names,
        found=found,
        cell_text=cell_text,
        is_number=is_number,
    )


PAGE = Page("SQL", PATH, show, posts=((PATH, run),))
