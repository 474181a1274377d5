"""``cachesvc readers`` and ``connections``: where records come from."""

from typing import Annotated

import typer

from cachesvc.cli.answers import Answer, Rows
from cachesvc.cli.command import calls, only_named
from cachesvc.cli.render import Column, enum_name
from cachesvc.cli.service import Service
from cachesvc.units import show_bytes, show_duration, show_time
from cachesvc.v1.admin_pb2 import (
    ListReadersRequest,
    ListReadersResponse,
)
from cachesvc.v1.connections_pb2 import (
    Connection,
    ListConnectionsRequest,
    ListConnectionsResponse,
    NonJsonPolicy,
)


@calls
def readers(
    service: Service,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Only this reader.")] = "",
) -> Answer:
    """List reader processes that have joined, with the topics assigned to them."""
    response: ListReadersResponse = service.ask(ListReadersRequest())
    found = only_named(response.readers, name, "reader")
    return Rows(found, _READER_COLUMNS, "no reader has joined")


@calls
def connections(
    service: Service,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Only this connection.")] = "",
) -> Answer:
    """List the Kafka clusters, and whether they can be reached."""
    return listed(service, name)


def listed(service: Service, name: str = "") -> Answer:
    """The connections, or the one of that name."""
    response: ListConnectionsResponse = service.ask(ListConnectionsRequest())
    found = only_named(response.connections, name, "connection")
    return Rows(found, CONNECTION_COLUMNS, "no connections")


def reachable(connection: Connection) -> str:
    """Whether the last look at a cluster worked, as far as there was one."""
    if connection.reachable:
        return "yes"
    return "no" if connection.error else "not known yet"


def foreign(connection: Connection) -> str:
    """The addresses that lead to another cluster, and which; empty if none does."""
    return ", ".join(
        f"{each.address} leads to {each.cluster_id or 'a cluster without an id'}"
        for each in connection.foreign_addresses
    )


def elsewhere(connection: Connection) -> str:
    """The settings that name secrets where calls may name none any more; empty without any."""
    return ", ".join(connection.secrets_elsewhere)


def _trouble(connection: Connection) -> str:
    secrets = elsewhere(connection)
    said = [connection.error or foreign(connection), secrets and f"secrets elsewhere: {secrets}"]
    return "; ".join(filter(None, said))


def _security(connection: Connection) -> str:
    parts = ["TLS"] if connection.HasField("tls") else []
    if connection.HasField("sasl"):
        parts.append(connection.sasl.mechanism)
    if connection.HasField("kerberos"):
        parts.append("Kerberos")
    return ", ".join(parts) or "-"


_READER_COLUMNS = (
    Column("reader", lambda r: r.name),
    Column("connection", lambda r: r.connection),
    Column("pid", lambda r: str(r.pid), number=True),
    Column("host", lambda r: r.host or "-"),
    Column("joined", lambda r: show_time(r.joined_ms)),
    Column("bytes/s", lambda r: show_bytes(round(r.bytes_per_second)), number=True),
    Column("throttled", lambda r: show_duration(r.throttled_ms / 1000), number=True),
    Column("topics", lambda r: ", ".join(r.topics) or "-"),
    Column("error", lambda r: r.source_error),
)
CONNECTION_COLUMNS = (
    Column("connection", lambda c: c.name),
    Column("type", lambda c: c.type),
    Column("bootstrap servers", lambda c: ", ".join(c.bootstrap_servers)),
    Column("topics", lambda c: c.topic_expression),
    Column("non-JSON", lambda c: enum_name(NonJsonPolicy, c.non_json_policy)),
    Column("caching", lambda c: "on" if c.log_caching else "off"),
    Column("security", _security),
    Column("reachable", reachable),
    Column("error", _trouble),
)
