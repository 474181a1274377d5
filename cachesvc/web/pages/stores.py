"""*Stores*: where sealed files lie, how full each is, of which topics; and tests of them."""

from dataclasses import dataclass
from functools import partial

from starlette.responses import Response

from cachesvc.v1.retention_pb2 import (
    Drop,
    DropCause,
    ListDropsRequest,
    ListStoreUsageRequest,
    ListStoreUsageResponse,
    StoreUsage,
)
from cachesvc.v1.stores_pb2 import (
    DeleteStoreRequest,
    GetStoreRequest,
    ListStoresRequest,
    ListStoresResponse,
    Store,
    TestStoreRequest,
)
from cachesvc.web.listing import paged
from cachesvc.web.page import Action, Done, Fields, Page, Preview
from cachesvc.web.pages.checks import STORE_TEST_S, store_line
from cachesvc.web.pages.settings_shown import settings_of
from cachesvc.web.pages.store_form import EDITOR, others_than
from cachesvc.web.visit import Visit
from cachesvc.web.words import word_of

_DROPS_MAX = 100


@dataclass(frozen=True, slots=True)
class StoreRow:
    """A store.

    Attributes:
        told: What the service says of it.
        usage: What lies there; None where nobody says.
        state: In words.
        mood: How that looks.
        filled: The share of its budget that is used, in percent; None without a budget.
    """

    told: Store
    usage: StoreUsage | None
    state: str
    mood: str
    filled: float | None


@dataclass(frozen=True, slots=True)
class DropRow:
    """What retention dropped.

    Attributes:
        told: What the service says of it.
        cause: In words.
    """

    told: Drop
    cause: str


def store_row(told: Store, usage: StoreUsage | None) -> StoreRow:
    """The row of a store."""
    filled = None
    if usage is not None and usage.bytes_max:
        filled = 100 * usage.bytes / usage.bytes_max
    if told.error:
        return StoreRow(told, usage, "away", "bad", filled)
    if usage is not None and usage.full:
        return StoreRow(told, usage, "full", "bad", filled)
    if filled is not None and filled >= 90:
        return StoreRow(told, usage, "nearly full", "busy", filled)
    return StoreRow(told, usage, "works", "good", filled)


async def show(visit: Visit) -> Response:
    """All stores, and what retention dropped of late."""
    stores: ListStoresResponse = await visit.ask(ListStoresRequest())
    usages = await visit.attempt(ListStoreUsageRequest())
    by_name = {each.store: each for each in usages.answer.stores} if usages.answer else {}
    drops = await visit.attempt(ListDropsRequest(limit=_DROPS_MAX))
    rows = drops.answer.drops if drops.answer else []
    return visit.render(
        "stores.html",
        rows=[store_row(told, by_name.get(told.name)) for told in stores.stores],
        drops=drops,
        dropped=[DropRow(each, word_of(DropCause, each.cause, "DROP_CAUSE_")) for each in rows],
    )


async def show_one(visit: Visit) -> Response:
    """One of them, with what each topic holds there."""
    told: Store = (await visit.ask(GetStoreRequest(name=visit.place("name")))).store
    answer: ListStoreUsageResponse = await visit.ask(ListStoreUsageRequest(store=told.name))
    usage = next(iter(answer.stores), None)
    topics = [] if usage is None else usage.topics
    return visit.render(
        "store.html",
        row=store_row(told, usage),
        settings=[row for row in settings_of(told) if row[0] not in others_than(told.kind)],
        listing=paged(topics, visit.asked, lambda row: f"{row.connection} {row.topic}"),
    )


async def _test(visit: Visit, fields: Fields) -> Response:
    """Starts a test and goes to where it is shown; it deletes the file that it writes."""
    name = fields.get("name", "")
    answers = partial(visit.calls.stream, TestStoreRequest(name=name), visit.on, STORE_TEST_S)
    back = f"/stores/{name}"
    run = visit.runs.start(f"Test of store {name}", visit.name, back, answers, store_line)
    return visit.go(f"/runs/{run.key}")


def delete_preview(told: Store) -> Preview:
    """What deleting a store means."""
    points = [
        f"The service forgets the store; what lies at {told.location} is left alone.",
        "It is refused as long as connections, topics or files use it.",
    ]
    return Preview(f"Delete store {told.name}?", points)


async def _preview_delete(visit: Visit, fields: Fields) -> Preview:
    return delete_preview((await visit.ask(GetStoreRequest(name=fields.get("name", "")))).store)


async def _delete(visit: Visit, fields: Fields) -> Done:
    name = fields.get("name", "")
    await visit.ask(DeleteStoreRequest(name=name))
    return Done(f"Store {name} is forgotten.", "/stores")


PAGE = Page(
    "Stores",
    "/stores",
    show,
    below=(
        (EDITOR.path_new, EDITOR.show_new),
        (EDITOR.path_edit, EDITOR.show_edit),
        ("/stores/{name}", show_one),
    ),
    posts=(("/stores/test", _test), (EDITOR.path_try, EDITOR.attempt)),
    changes=((EDITOR.path_new, EDITOR.make), (EDITOR.path_edit, EDITOR.change)),
    actions=(Action("delete-store", "Delete the store", _delete, _preview_delete),),
)
