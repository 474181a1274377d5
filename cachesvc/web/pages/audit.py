"""*Audit*: who changed what, from where, and how it ended."""

from dataclasses import dataclass

import msgspec
from starlette.responses import Response

from cachesvc.units import parse_time_ms
from cachesvc.v1.audit_pb2 import AuditEntry, ListAuditRequest, ListAuditResponse
from cachesvc.web.listing import paged
from cachesvc.web.page import Page
from cachesvc.web.visit import Visit

ENTRIES_MAX = 5_000
_TIME_MS_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A call that changed something, or would have.

    Attributes:
        told: What the service says of it.
        mood: How its outcome looks.
        request: What was asked for, over several lines.
    """

    told: AuditEntry
    mood: str
    request: str

    @property
    def words(self) -> str:
        """What is searched."""
        told = self.told
        who = f"{told.principal} {told.credential} {told.address}"
        return f"{who} {told.call} {told.outcome} {told.reason} {told.request}"


def audit_row(told: AuditEntry) -> AuditRow:
    """The row of an entry."""
    moods = {"OK": "good", "STARTED": "busy", "INTERRUPTED": "busy"}
    return AuditRow(told, moods.get(told.outcome, "bad"), _lines(told.request))


def _lines(request: str) -> str:
    try:
        return msgspec.json.format(request, indent=2)
    except msgspec.DecodeError:  # it was long, and is cut
        return request


def since_of(text: str) -> tuple[int, str]:
    """The time from which on entries are wanted, 0 for all, and what is wrong with the text."""
    if not text:
        return 0, ""
    try:
        found = parse_time_ms(text)
    except (ValueError, OverflowError):
        found = -1
    if 0 <= found <= _TIME_MS_MAX:
        return found, ""
    return 0, "give a time, such as 2026-11-30T12:00, or milliseconds since 1970"


async def show(visit: Visit) -> Response:
    """The page."""
    asked = visit.asked
    principal, call = asked.text("principal").strip(), asked.text("call").strip()
    since_ms, wrong = since_of(asked.text("since").strip())
    answer: ListAuditResponse = await visit.ask(
        ListAuditRequest(principal=principal, call=call, since_ms=since_ms, limit=ENTRIES_MAX)
    )
    rows = [audit_row(told) for told in answer.entries]
    return visit.render(
        "audit.html",
        listing=paged(rows, asked, lambda row: row.words),
        wrong=wrong,
        cut=len(rows) == ENTRIES_MAX,
    )


PAGE = Page("Audit", "/audit", show)
