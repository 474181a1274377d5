"""``cachesvc readers`` and ``connections``: where records come from."""

import typer

from cachesvc.cli.options import Address, AsJson, CaFile, common
from cachesvc.cli.render import Column, as_dict, enum_name, show_json, show_table
from cachesvc.cli.service import Service
from cachesvc.cli.units import show_bytes, show_time
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


def readers(
    ctx: typer.Context,
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """List reader processes that have joined, with the topics assigned to them."""
    settings = common(ctx, address, ca_file, as_json)
    with Service(settings) as service:
        request = ListReadersRequest()
        response: ListReadersResponse = service.call(service.admin.ListReaders, request)
    if settings.as_json:
        show_json([as_dict(reader) for reader in response.readers])
    else:
        show_table(response.readers, _READER_COLUMNS, "no reader has joined")


def connections(
    ctx: typer.Context,
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """List the configured Kafka clusters, and whether they can be reached."""
    settings = common(ctx, address, ca_file, as_json)
    with Service(settings) as service:
        request = ListConnectionsRequest()
        response: ListConnectionsResponse = service.call(service.admin.ListConnections, request)
    if settings.as_json:
        show_json([as_dict(connection) for connection in response.connections])
    else:
        show_table(response.connections, CONNECTION_COLUMNS, "no connections")


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
    Column("per second", lambda r: show_bytes(round(r.bytes_per_second)), number=True),
    Column("topics", lambda r: ", ".join(r.topics) or "-"),
)
CONNECTION_COLUMNS = (
    Column("connection", lambda c: c.name),
    Column("type", lambda c: c.type),
    Column("bootstrap servers", lambda c: ", ".join(c.bootstrap_servers)),
    Column("topics", lambda c: c.topic_expression),
    Column("non-JSON", lambda c: enum_name(NonJsonPolicy, c.non_json_policy)),
    Column("caching", lambda c: "on" if c.log_caching else "off"),
    Column("security", _security),
    Column("reachable", lambda c: "yes" if c.reachable else "no"),
    Column("error", lambda c: c.error),
)
