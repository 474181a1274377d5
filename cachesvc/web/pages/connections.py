"""*Connections*: the Kafka clusters, how each is reached, and tests that run before one's eyes."""

from dataclasses import dataclass
from functools import partial

from starlette.responses import Response

from cachesvc.v1.connection_test_pb2 import TestConnectionRequest
from cachesvc.v1.connections_pb2 import (
    AcceptClusterRequest,
    AcceptClusterResponse,
    Connection,
    DeleteConnectionRequest,
    GetConnectionRequest,
    ListConnectionsRequest,
    ListConnectionsResponse,
)
from cachesvc.web.listing import paged
from cachesvc.web.page import Action, Done, Fields, Page, Preview
from cachesvc.web.pages.checks import CONNECTION_TEST_S, connection_line
from cachesvc.web.pages.connection_form import EDITOR
from cachesvc.web.pages.settings_shown import settings_of
from cachesvc.web.visit import Visit

_ANSWER_S = CONNECTION_TEST_S + 15.0


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """A connection in the list.

    Attributes:
        told: What the service says of it.
        state: Whether its cluster answers, in words.
        mood: How that looks.
    """

    told: Connection
    state: str
    mood: str

    @property
    def words(self) -> str:
        """What is searched."""
        return f"{self.told.name} {' '.join(self.told.bootstrap_servers)} {self.told.type}"


def connection_row(told: Connection) -> ConnectionRow:
    """The row of a connection."""
    if told.foreign_addresses:
        return ConnectionRow(told, "another cluster", "bad")
    if told.reachable:
        return ConnectionRow(told, "reachable", "good")
    if told.error:
        return ConnectionRow(told, "not reachable", "bad")
    return ConnectionRow(told, "not known yet", "busy")


async def show(visit: Visit) -> Response:
    """All of them."""
    answer: ListConnectionsResponse = await visit.ask(ListConnectionsRequest())
    rows = [connection_row(told) for told in answer.connections]
    return visit.render("connections.html", listing=paged(rows, visit.asked, lambda row: row.words))


async def show_one(visit: Visit) -> Response:
    """One of them, with its settings."""
    told = await _connection_of(visit, visit.place("name"))
    return visit.render("connection.html", row=connection_row(told), settings=settings_of(told))


async def _connection_of(visit: Visit, name: str) -> Connection:
    found: Connection = (await visit.ask(GetConnectionRequest(name=name))).connection
    return found


async def _test(visit: Visit, fields: Fields) -> Response:
    """Starts a test and goes to where it is shown; it leaves nothing in the cluster."""
    name = fields.get("name", "")
    request = TestConnectionRequest(name=name, timeout_s=CONNECTION_TEST_S)
    answers = partial(visit.calls.stream, request, visit.on, _ANSWER_S)
    back = f"/connections/{name}"
    run = visit.runs.start(f"Test of connection {name}", visit.name, back, answers, connection_line)
    return visit.go(f"/runs/{run.key}")


def delete_preview(told: Connection) -> Preview:
    """What deleting a connection means."""
    points = [
        "Its settings, mining task, history and pins are forgotten, and it is not mined any more.",
        "What is cached of it stays until retention takes it.",
        "It is refused as long as a subscription uses the connection.",
    ]
    return Preview(f"Delete connection {told.name}?", points)


def accept_preview(told: Connection) -> Preview:
    """What accepting another cluster means."""
    points = [
        f"It goes on with the other cluster, instead of {told.cluster_id or 'one without an id'}.",
        "Each topic that is there begins its next incarnation.",
        "Subscribers are told of a gap with the cause SOURCE_CHANGED.",
        "What is cached of the incarnation before can be read as before.",
    ]
    rows = [(each.address, each.cluster_id or "tells no id") for each in told.foreign_addresses]
    columns = ("address", "leads to cluster") if rows else ()
    return Preview(f"Accept another cluster for connection {told.name}?", points, columns, rows)


async def _preview_delete(visit: Visit, fields: Fields) -> Preview:
    return delete_preview(await _connection_of(visit, fields.get("name", "")))


async def _delete(visit: Visit, fields: Fields) -> Done:
    name = fields.get("name", "")
    await visit.ask(DeleteConnectionRequest(name=name))
    return Done(f"Connection {name} is deleted.", "/connections")


async def _preview_accept(visit: Visit, fields: Fields) -> Preview:
    return accept_preview(await _connection_of(visit, fields.get("name", "")))


async def _accept(visit: Visit, fields: Fields) -> Done:
    name = fields.get("name", "")
    request = AcceptClusterRequest(name=name, cluster_id=fields.get("cluster_id", ""))
    answer: AcceptClusterResponse = await visit.ask(request)
    cluster = answer.connection.cluster_id
    return Done(f"Connection {name} goes on with cluster {cluster}.", f"/connections/{name}")


PAGE = Page(
    "Connections",
    "/connections",
    show,
    below=(
        (EDITOR.path_new, EDITOR.show_new),
        (EDITOR.path_edit, EDITOR.show_edit),
        ("/connections/{name}", show_one),
    ),
    posts=(("/connections/test", _test), (EDITOR.path_try, EDITOR.attempt)),
    changes=((EDITOR.path_new, EDITOR.make), (EDITOR.path_edit, EDITOR.change)),
    actions=(
        Action("accept-cluster", "Accept the other cluster", _accept, _preview_accept),
        Action("delete-connection", "Delete the connection", _delete, _preview_delete),
    ),
)
