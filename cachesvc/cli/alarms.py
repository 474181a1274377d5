"""``cachesvc alarms``: what somebody has to know of."""

from typing import Annotated

import typer

from cachesvc.cli.answers import Answer, Rows
from cachesvc.cli.command import calls
from cachesvc.cli.failure import ALARMS_STAND
from cachesvc.cli.options import InConnection
from cachesvc.cli.render import Column, enum_name
from cachesvc.cli.service import Service
from cachesvc.units import show_time
from cachesvc.v1.alarms_pb2 import Alarm, AlarmKind, ListAlarmsRequest, ListAlarmsResponse


@calls
def alarms(
    service: Service,
    past: Annotated[bool, typer.Option("--all", help="Also those that were cleared.")] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, metavar="N", help="At most this many.")
    ] = 1_000,
    connection: InConnection = "",
) -> Answer:
    """List alarms that stand; the exit code is 6 if there are any, and 0 if there are none."""
    response: ListAlarmsResponse = service.ask(
        ListAlarmsRequest(connection=connection, past=past, limit=limit)
    )
    stands = any(not alarm.HasField("cleared_ms") for alarm in response.alarms)
    end = typer.Exit(ALARMS_STAND) if stands else None
    return Rows(response.alarms, _COLUMNS, "no alarms", end)


def _about(alarm: Alarm) -> str:
    parts = [alarm.connection or "the service"]
    if alarm.HasField("topic"):
        parts.append(alarm.topic)
    if alarm.HasField("partition"):
        parts.append(str(alarm.partition))
    return "/".join(parts)


_COLUMNS = (
    Column("alarm", lambda a: str(a.id), number=True),
    Column("kind", lambda a: enum_name(AlarmKind, a.kind).removeprefix("ALARM_")),
    Column("about", _about),
    Column("subscription", lambda a: a.subscription or "-"),
    Column("raised", lambda a: show_time(a.raised_ms)),
    Column("cleared", lambda a: show_time(a.cleared_ms) if a.HasField("cleared_ms") else "stands"),
    Column("message", lambda a: a.message),
)
