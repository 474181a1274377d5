"""A subscription: where it is in each partition, how far behind, and who reads it."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from cachesvc.v1.log_cache_pb2 import (
    DeleteSubscriptionRequest,
    GapPolicy,
    GetSubscriptionRequest,
    Member,
    Mode,
    Position,
    Subscription,
    SubscriptionPartition,
)
from cachesvc.v1.watching_pb2 import GetSubscriptionTrendRequest
from cachesvc.web.listing import pace_of, paged
from cachesvc.web.page import Action, Done, Fields, Preview
from cachesvc.web.pages.trend import trend_of
from cachesvc.web.visit import Visit
from cachesvc.web.words import word_of

_SYNC = "cachesvc-sync/"


@dataclass(frozen=True, slots=True)
class PlaceRow:
    """Where a subscription is in a partition.

    Attributes:
        stored: What is committed there; None for nothing.
        delivering: Where the open stream is; None without one.
    """

    stored: SubscriptionPartition | None
    delivering: SubscriptionPartition | None

    @property
    def place(self) -> Position:
        """Topic, partition and incarnation."""
        return self._told.position

    @property
    def behind(self) -> SubscriptionPartition:
        """How far is still to go: from what is stored, or else from what was delivered."""
        return self._told

    @property
    def uncommitted(self) -> int | None:
        """Offsets that were delivered and are not committed; None where that says nothing."""
        if self.stored is None or self.delivering is None:
            return None
        return max(0, self.delivering.position.offset - self.stored.position.offset)

    @property
    def _told(self) -> SubscriptionPartition:
        found = self.stored if self.stored is not None else self.delivering
        assert found is not None, "a row has one of the two at least"
        return found


@dataclass(frozen=True, slots=True)
class MemberRow:
    """Who shares a subscription.

    Attributes:
        told: What the service says of it.
        state: In a word, with how that looks.
        mood: See ``parts.badge``.
        reads: Partitions by topic, runs of numbers as one.
        loses: Those that it is about to lose.
    """

    told: Member
    state: str
    mood: str
    reads: str
    loses: str


def task_of(client: str) -> str:
    """The sync task that a client says it is; empty for others."""
    product = client.partition(" ")[0]
    return product.removeprefix(_SYNC) if product.startswith(_SYNC) else ""


def topics_of(told: Subscription) -> str:
    """What it reads: an expression, or names."""
    return told.topic_expression or ", ".join(told.topics)


def place_rows(told: Subscription) -> list[PlaceRow]:
    """A row for each partition that has a stored position or is read now, in order."""
    stored = {_key(each.position): each for each in told.partitions}
    delivering = {_key(each.position): each for each in told.delivering}
    keys = sorted(stored.keys() | delivering.keys())
    return [PlaceRow(stored.get(key), delivering.get(key)) for key in keys]


def member_row(told: Member) -> MemberRow:
    """The row of a member."""
    if told.finished:
        state, mood = "finished", ""
    elif told.HasField("stalled_since_ms"):
        state, mood = "takes nothing", "bad"
    elif told.positions:
        state, mood = "reads", "good"
    else:
        state, mood = "waits", "busy"
    return MemberRow(told, state, mood, runs_of(told.positions), runs_of(told.revoked))


def runs_of(positions: Sequence[Position]) -> str:
    """Partitions by topic: ``orders 0-3, 7; payments 1``."""
    topics: dict[str, list[int]] = {}
    for each in positions:
        topics.setdefault(each.topic, []).append(each.partition)
    return "; ".join(f"{name} {_runs(numbers)}" for name, numbers in sorted(topics.items()))


def _runs(numbers: Sequence[int]) -> str:
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)


def _key(at: Position) -> tuple[str, int, int]:
    return at.topic, at.partition, at.incarnation


async def subscription_of(visit: Visit, name: str) -> Subscription:
    """A subscription.

    Raises:
        CallFailed: There is none of that name, or it may not be seen.
    """
    found: Subscription = (await visit.ask(GetSubscriptionRequest(subscription=name))).subscription
    return found


async def show(visit: Visit) -> Response:
    """The page."""
    told = await subscription_of(visit, visit.place("name"))
    rows = place_rows(told)
    return visit.render(
        "subscription.html",
        told=told,
        trend=await trend_of(visit, GetSubscriptionTrendRequest(subscription=told.name)),
        topics=topics_of(told),
        mode=word_of(Mode, told.mode),
        gap_policy=word_of(GapPolicy, told.gap_policy),
        listing=paged(rows, visit.asked, lambda row: f"{row.place.topic} {row.place.partition}"),
        delivered=sum(each.position.offset for each in told.delivering),
        task_of=task_of,
        pace=pace_of(len(rows)),
        members=[member_row(each) for each in told.members],
    )


def delete_preview(told: Subscription) -> Preview:
    """What deleting a subscription means."""
    points = [
        f"Its {len(told.partitions):,} stored positions are gone for good.",
        "Whoever subscribes under this name later starts as the mode says.",
        "What is cached stays for others; retention does not wait for this one any more.",
    ]
    if told.connected:
        points.insert(0, "Whoever reads it now is told so (SUBSCRIPTION_DELETED) and ends.")
    rows = [
        (each.position.topic, str(each.position.partition), f"{each.position.offset:,}")
        for each in told.partitions[:_PREVIEW_ROWS]
    ]
    if len(told.partitions) > _PREVIEW_ROWS:
        points.append(f"The first {_PREVIEW_ROWS} positions are below.")
    columns = ("topic", "partition", "position that is lost") if rows else ()
    return Preview(f"Delete subscription {told.name}?", points, columns, rows)


_PREVIEW_ROWS = 50


async def _preview_delete(visit: Visit, fields: Fields) -> Preview:
    return delete_preview(await subscription_of(visit, fields.get("name", "")))


async def _delete(visit: Visit, fields: Fields) -> Done:
    name = fields.get("name", "")
    await visit.ask(DeleteSubscriptionRequest(subscription=name))
    return Done(f"Subscription {name} is deleted.", "/subscriptions")


DELETE = Action("delete-subscription", "Delete the subscription", _delete, _preview_delete)
