"""``cachesvc sql``: a query over the log, answered as a table, CSV, JSON or Parquet."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cachesvc.cli.command import talks_to_service
from cachesvc.cli.failure import USAGE, CommandFailed
from cachesvc.cli.options import Common
from cachesvc.cli.service import Service
from cachesvc.cli.sql_output import Answer, show_answer, sink_of, write_answer
from cachesvc.v1.sql_pb2 import RunSqlRequest

_STDIN = "-"


class Format(StrEnum):
    """What an answer may be written as."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


_OF_SUFFIX = {f".{each}": each for each in (Format.CSV, Format.JSON, Format.PARQUET)}


@talks_to_service
def sql(
    settings: Common,
    query: Annotated[
        str, typer.Argument(metavar="SELECT", help="The query; - reads it from standard input.")
    ],
    connection: Annotated[
        str,
        typer.Option(metavar="NAME", help="Of topics that several connections have."),
    ] = "",
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="What to print; without it what FILE is called, or table.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write there; FILE is there once it is whole.",
            show_default=False,
        ),
    ] = None,
    rows_max: Annotated[
        int, typer.Option("--rows", min=1, metavar="N", help="Of a table, at most.")
    ] = 1_000,
    explain: Annotated[
        bool, typer.Option("--explain", help="Run it, and print its plan with times instead.")
    ] = False,
) -> None:
    r"""Answer a SELECT over the log as it is now: segments and journals, at one moment.

    log('TOPIC') has the records of a topic: connection, topic, incarnation, partition, offset,
    timestamp, timestamp_type, key, value (JSON text) and headers. log_table('TOPIC') has a column
    for each field of the topic's model as well, snapshot('TOPIC') the latest record per key, as of
    the newest snapshot of each partition. A second argument, connection := 'NAME', names the
    connection. The SQL is DuckDB's; a query only reads, and reaches nothing but the log.

    \b
    select count(*) from log('orders')
    select value->>'$.after.id' as id, max("offset") from log('orders') group by all
    describe select * from log_table('orders')
    from log('orders') where timestamp > now() - interval 1 hour
    select * from log_table('orders') o join log_table('paid', connection := 'bank') p using (id)

    `cachesvc topics` lists topics, `cachesvc models TOPIC` the fields of one. The section [sql] of
    the service's settings says what a query may take. docs/sql.md tells more.
    """
    form = _format(settings, form, file)
    if form is Format.TABLE and file is not None:
        what = "a table is for a terminal"
        raise CommandFailed(what, advice="give --format csv, json or parquet", code=USAGE)
    if form is Format.PARQUET and file is None and sys.stdout.isatty():
        what = "Parquet is not for a terminal"
        raise CommandFailed(what, advice="give --output FILE, or send it elsewhere", code=USAGE)
    text = sys.stdin.read() if query == _STDIN else query
    request = RunSqlRequest(sql=text, connection=connection, explain=explain)
    if form is Format.TABLE:
        with Service(settings) as service:
            show_answer(Answer(service.stream(request)), rows_max)
        return
    with sink_of(file) as sink, Service(settings) as service:
        write_answer(Answer(service.stream(request)), form, sink)


def _format(settings: Common, form: Format | None, file: Path | None) -> Format:
    if settings.as_json:
        if form not in (None, Format.JSON):
            what = f"--json and --format {form} contradict each other"
            raise CommandFailed(what, advice="give one of them", code=USAGE)
        return Format.JSON
    if form is None and file is not None:
        if file.suffix.lower() not in _OF_SUFFIX:
            what = f"the name of {file} does not say what to write"
            advice = "call it .csv, .json or .parquet, or give --format"
            raise CommandFailed(what, advice=advice, code=USAGE)
        return _OF_SUFFIX[file.suffix.lower()]
    return form or Format.TABLE
