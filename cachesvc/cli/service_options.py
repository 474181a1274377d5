"""Options of the commands that run a part of the service, or show how it would be set up."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", envvar="CACHESVC_CONFIG", help="The TOML file with settings."
    ),
]
Kafka = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help='Without a file: mine this Kafka cluster, as connection "default". Several bootstrap '
        "servers are separated by commas.",
    ),
]
Topics = Annotated[
    str | None,
    typer.Option(
        metavar="EXPRESSION",
        help="With --kafka: RE2 expression that has to match a topic's whole name; all topics "
        "without it.",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="The store's directory, made if missing (store.path)."),
]
Listen = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Where to listen (server.listen)."),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        help="Allow listening beyond loopback without TLS and access control (server.insecure).",
    ),
]
LogLevel = Annotated[
    str | None,
    typer.Option(metavar="LEVEL", help="debug, info, warning or error (log.level)."),
]
LogFormat = Annotated[
    str | None,
    typer.Option(metavar="FORMAT", help="text or json (log.format)."),
]
