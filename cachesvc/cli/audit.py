"""``cachesvc audit``: who changed what, from where, and how it ended."""

from typing import Annotated

import typer

from cachesvc.cli.answers import Answer, Rows
from cachesvc.cli.command import calls
from cachesvc.cli.failure import USAGE, CommandFailed
from cachesvc.cli.render import Column
from cachesvc.cli.service import Service
from cachesvc.units import parse_time_ms, printable, show_count, show_time
from cachesvc.v1.audit_pb2 import AuditEntry, ListAuditRequest, ListAuditResponse


@calls
def audit(
    service: Service,
    principal: Annotated[
        str,
        typer.Option(metavar="NAME", help="Only what this principal did.", show_default=False),
    ] = "",
    call: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Only calls such as DeleteSubscription.", show_default=False
        ),
    ] = "",
    since: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Only from then on: ISO 8601, or milliseconds since the epoch.",
            show_default=False,
        ),
    ] = "",
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, metavar="N", help="At most this many.")
    ] = 100,
) -> Answer:
    """List who changed what, from where, and how it ended, the newest first.

    Calls that were refused are among them; what tasks read and commit is not.
    """
    request = ListAuditRequest(
        principal=principal, call=call, since_ms=_time_ms(since), limit=limit
    )
    response: ListAuditResponse = service.ask(request)
    return Rows(response.entries, _COLUMNS, "nothing was changed")


def _time_ms(text: str) -> int:
    try:
        return parse_time_ms(text) if text else 0
    except ValueError as error:
        advice = "give a time such as 2026-01-31T12:00:00Z, or milliseconds since the epoch"
        raise CommandFailed(f"--since {text!r} is no time", advice=advice, code=USAGE) from error


def _outcome(entry: AuditEntry) -> str:
    return f"{entry.outcome} {entry.reason}".rstrip()


_COLUMNS = (
    Column("entry", lambda e: str(e.number), number=True),
    Column("time", lambda e: show_time(e.at_ms)),
    Column("principal", lambda e: printable(e.principal)),
    Column("shown by", lambda e: printable(f"{e.proof} {e.credential}".rstrip())),
    Column("from", lambda e: e.address),
    Column("call", lambda e: e.call),
    Column("request", lambda e: printable(e.request)),
    Column("outcome", _outcome),
    Column("ms", lambda e: show_count(e.took_ms) if e.HasField("took_ms") else "-", number=True),
)
