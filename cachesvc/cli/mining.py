"""``cachesvc mining``, ``readers`` and ``connections``: where records come from."""

from dataclasses import dataclass

import typer

from cachesvc.cli.options import Address, AsJson, CaFile, InConnection, common
from cachesvc.cli.render import Column, as_dict, enum_name, show_json, show_table
from cachesvc.cli.service import Service
from cachesvc.cli.units import show_bytes, show_count, show_time
from cachesvc.v1.admin_pb2 import (
    ListMiningTasksRequest,
    ListMiningTasksResponse,
    ListReadersRequest,
    ListReadersResponse,
    MinedTopic,
)
from cachesvc.v1.connections_pb2 import (
    Connection,
    ListConnectionsRequest,
    ListConnectionsResponse,
    NonJsonPolicy,
)
from cachesvc.v1.log_cache_pb2 import MiningState


@dataclass(frozen=True, slots=True)
class _Mined:
    """A row of the table: a topic, with the task it belongs to."""

    task: str
    topic: MinedTopic


def mining(
    ctx: typer.Context,
    connection: InConnection = "",
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """What is mined, by whom and how far behind the source.

    There is one task per connection; counts are since the service started.
    """
    settings = common(ctx, address, ca_file, as_json)
    with Service(settings) as service:
        request = ListMiningTasksRequest(connection=connection)
        response: ListMiningTasksResponse = service.call(service.admin.ListMiningTasks, request)
    if settings.as_json:
        show_json([as_dict(task) for task in response.tasks])
        return
    rows = [_Mined(task.name, topic) for task in response.tasks for topic in task.topics]
    show_table(rows, _MINING_COLUMNS, "nothing is mined; mining starts with a subscription")


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


_MINING_COLUMNS = (
    Column("task", lambda row: row.task),
    Column("topic", lambda row: row.topic.topic),
    Column("reader", lambda row: row.topic.reader or "-"),
    Column("epoch", lambda row: str(row.topic.epoch), number=True),
    Column("state", lambda row: enum_name(MiningState, row.topic.state)),
    Column("records", lambda row: show_count(row.topic.records_mined), number=True),
    Column("size", lambda row: show_bytes(row.topic.bytes_mined), number=True),
    Column("rejected", lambda row: show_count(row.topic.records_rejected), number=True),
    Column("mining lag", lambda row: show_count(row.topic.mining_lag_records), number=True),
    Column("error", lambda row: row.topic.error),
)
_READER_COLUMNS = (
    Column("reader", lambda r: r.name),
    Column("connection", lambda r: r.connection),
    Column("pid", lambda r: str(r.pid), number=True),
    Column("joined", lambda r: show_time(r.joined_ms)),
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
