"""*Subscriptions*: who reads, how far behind, from where; one of them is in ``subscription``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from cachesvc.v1.log_cache_pb2 import (
    ListSubscriptionsRequest,
    ListSubscriptionsResponse,
    Mode,
    Sharing,
    Subscription,
)
from cachesvc.web.listing import pace_of, paged
from cachesvc.web.page import Page
from cachesvc.web.pages import subscription, subscription_reset
from cachesvc.web.pages.subscription import task_of, topics_of
from cachesvc.web.visit import Visit
from cachesvc.web.words import word_of

_KINDS = (
    ("", "All"),
    ("connected", "Connected"),
    ("tasks", "Sync tasks"),
    ("behind", "Behind"),
    ("away", "Not connected"),
)


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """A subscription in the list.

    Attributes:
        told: What the service says of it.
        topics: Names, or the expression.
        mode: In a word.
        streams: How many are open.
        shared: Whether several share it.
        tasks: Names of the sync tasks that read it now.
    """

    told: Subscription
    topics: str
    mode: str
    streams: int
    shared: bool
    tasks: Sequence[str]

    @property
    def words(self) -> str:
        """What is searched."""
        tasks = " ".join(self.tasks)
        return f"{self.told.name} {self.told.connection} {self.topics} {tasks}"


def subscription_row(told: Subscription) -> SubscriptionRow:
    """The row of a subscription."""
    shared = told.sharing == Sharing.SHARED
    streams = sum(not member.finished for member in told.members) if shared else told.connected
    tasks = sorted(filter(None, {task_of(each.client) for each in told.subscribers}))
    mode = word_of(Mode, told.mode)
    return SubscriptionRow(told, topics_of(told), mode, int(streams), shared, tasks)


def of_kind(rows: Iterable[SubscriptionRow], kind: str) -> Sequence[SubscriptionRow]:
    """Those of a kind: ``connected``, ``tasks``, ``behind``, ``away``; all for anything else."""
    if kind == "tasks":
        return [row for row in rows if row.tasks]
    if kind == "connected":
        return [row for row in rows if row.told.connected]
    if kind == "away":
        return [row for row in rows if not row.told.connected]
    if kind == "behind":
        found = [row for row in rows if row.told.lag.records]
        return sorted(found, key=lambda row: -row.told.lag.records)
    return list(rows)


async def show(visit: Visit) -> Response:
    """The list."""
    asked = visit.asked
    answer: ListSubscriptionsResponse = await visit.ask(
        ListSubscriptionsRequest(connection=asked.text("connection"), topic=asked.text("topic"))
    )
    rows = [subscription_row(told) for told in answer.subscriptions]
    listing = paged(of_kind(rows, asked.text("kind")), asked, lambda row: row.words)
    pace = pace_of(sum(len(told.partitions) for told in answer.subscriptions), 5)
    return visit.render("subscriptions.html", listing=listing, kinds=_KINDS, pace=pace)


_ONE = "/subscriptions/{name}"
PAGE = Page(
    "Subscriptions",
    "/subscriptions",
    show,
    below=((_ONE, subscription.show), (f"{_ONE}/reset", subscription_reset.show)),
    actions=(subscription_reset.RESET, subscription.DELETE),
)
