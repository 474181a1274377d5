"""Resetting a subscription: where to, and what that means before it is done."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from cachesvc.units import parse_time_ms
from cachesvc.v1.log_cache_pb2 import (
    Earliest,
    Latest,
    Mode,
    Position,
    Positions,
    ResetSubscriptionRequest,
    ResetSubscriptionResponse,
    Start,
    Subscription,
    SubscriptionPartition,
)
from cachesvc.web.calls import CallFailed
from cachesvc.web.page import Action, Done, Fields, Preview
from cachesvc.web.pages.subscription import subscription_of
from cachesvc.web.visit import Visit
from cachesvc.web.words import word_of

STARTS = (
    ("earliest", "The earliest offset that the cache or the source has"),
    ("latest", "The source's end"),
    ("time", "A time"),
    ("positions", "Positions"),
    ("mode", "As the mode says, when somebody subscribes next"),
)
_PREVIEW_ROWS = 200
_POSITION = re.compile(r"(?P<topic>[A-Za-z0-9._-]{1,249}):(?P<partition>\d+)=(?P<offset>\d+)")
_TIME_MS_MAX = 2**63 - 1
_INVALID = "INVALID_ARGUMENT"


@dataclass(frozen=True, slots=True)
class Change:
    """What a reset does in a partition.

    Attributes:
        topic: Kafka's topic name.
        partition: Its number.
        before: The stored position; None without.
        after: What it would be; None: nothing is stored, and the mode says.
        meaning: For people.
    """

    topic: str
    partition: int
    before: int | None
    after: int | None
    meaning: str


def reset_request(fields: Mapping[str, str]) -> ResetSubscriptionRequest:
    """The call for what a form says.

    Raises:
        CallFailed: It says nothing that can be called for.
    """
    request = ResetSubscriptionRequest(
        subscription=fields.get("name", ""), forget_full_sync=fields.get("forget") == "yes"
    )
    start = fields.get("to", "")
    if start == "earliest":
        request.start.CopyFrom(Start(earliest=Earliest()))
    elif start == "latest":
        request.start.CopyFrom(Start(latest=Latest()))
    elif start == "time":
        request.start.timestamp_ms = _time_ms(fields.get("time", "").strip())
    elif start == "positions":
        positions = _positions(fields.get("positions", ""))
        request.start.positions.CopyFrom(Positions(positions=positions))
    elif start != "mode":
        raise CallFailed(_INVALID, "say where the subscription is to go on")
    return request


def _time_ms(text: str) -> int:
    try:
        found = parse_time_ms(text)
    except (ValueError, OverflowError):
        found = -1
    if not 0 <= found <= _TIME_MS_MAX:
        wrong = f"{text!r} is no time; give one such as 2026-11-30T12:00, in UTC, or milliseconds"
        raise CallFailed(_INVALID, f"{wrong} since 1970")
    return found


def _positions(text: str) -> list[Position]:
    found = []
    for line in text.split():
        match = _POSITION.fullmatch(line)
        partition, offset = (int(match["partition"]), int(match["offset"])) if match else (-1, -1)
        if match is None or partition > 2**31 - 1 or offset > 2**63 - 1:
            wrong = f"{line[:300]!r} is no position; write TOPIC:PARTITION=OFFSET, one a line"
            raise CallFailed(_INVALID, wrong)
        found.append(Position(topic=match["topic"], partition=partition, offset=offset))
    if not found:
        raise CallFailed(_INVALID, "give positions: TOPIC:PARTITION=OFFSET, one a line")
    return found


def changes_of(before: Subscription, after: Subscription) -> list[Change]:
    """What a reset does in each partition, those that go back furthest first."""
    stored, would_be = _offsets(before.partitions), _offsets(after.partitions)
    lags = {_key(each): each.lag.records for each in after.partitions}
    found = []
    for key in stored.keys() | would_be.keys():
        topic, partition, incarnation = key
        now, then = stored.get(key), would_be.get(key)
        renewed = any(other[:2] == key[:2] and other[2] > incarnation for other in would_be)
        if then is None and renewed:
            continue  # its topic was made anew, and is in the table under that
        change = Change(topic, partition, now, then, _meaning(now, then, lags.get(key, 0)))
        found.append(change)
    return sorted(found, key=lambda each: (-_goes_back(each), each.topic, each.partition))


def _goes_back(change: Change) -> int:
    if change.before is None or change.after is None:
        return 0
    return max(0, change.before - change.after)


def _meaning(now: int | None, then: int | None, lag: int) -> str:
    if then is None:
        return "starts as the mode says"
    if now is None:
        return f"{lag:,} offsets to read"
    if then < now:
        return f"{now - then:,} offsets are delivered again"
    if then > now:
        return f"{then - now:,} offsets are left out"
    return "stays where it is"


def _offsets(partitions: Sequence[SubscriptionPartition]) -> dict[tuple[str, int, int], int]:
    return {_key(each): each.position.offset for each in partitions}


def _key(each: SubscriptionPartition) -> tuple[str, int, int]:
    return each.position.topic, each.position.partition, each.position.incarnation


def reset_preview(before: Subscription, after: Subscription) -> Preview:
    """What a reset means."""
    changes = changes_of(before, after)
    again = sum(_goes_back(each) for each in changes)
    left_out = sum(
        max(0, each.after - each.before)
        for each in changes
        if each.before is not None and each.after is not None
    )
    points = [
        f"{again:,} offsets are delivered again, {left_out:,} are left out.",
        f"{after.lag.records:,} offsets are to be read then; some of them may have no record.",
    ]
    if before.connected:
        points.append(
            "Whoever reads it now is told so (SUBSCRIPTION_RESET) and ends; what was delivered and "
            "is not committed counts no more."
        )
    unsaid = sum(each.after is None for each in changes)
    if unsaid or not after.partitions:
        which = f"{unsaid:,} partitions have" if after.partitions else "No partition has"
        position = "no position" if after.partitions else "a position"
        mode = word_of(Mode, before.mode)
        points.append(f"{which} {position} then; the mode, {mode}, says where they start.")
    if before.full_sync_done and not after.full_sync_done:
        points.append("That a full sync was done is forgotten.")
    points.append("The positions of now are kept nowhere; note them if you may want them back.")
    if len(changes) > _PREVIEW_ROWS:
        points.append(f"The first {_PREVIEW_ROWS} of {len(changes):,} partitions are below.")
    rows = [
        (each.topic, str(each.partition), _shown(each.before), _shown(each.after), each.meaning)
        for each in changes[:_PREVIEW_ROWS]
    ]
    columns = ("topic", "partition", "position now", "then", "what that means")
    return Preview(f"Reset subscription {before.name}?", points, columns if rows else (), rows)


def _shown(offset: int | None) -> str:
    return "none" if offset is None else f"{offset:,}"


async def show(visit: Visit) -> Response:
    """The form."""
    told = await subscription_of(visit, visit.place("name"))
    return visit.render("subscription_reset.html", told=told, starts=STARTS)


async def _preview(visit: Visit, fields: Fields) -> Preview:
    request = reset_request(fields)
    before = await subscription_of(visit, request.subscription)
    request.validate_only = True
    answer: ResetSubscriptionResponse = await visit.ask(request)
    return reset_preview(before, answer.subscription)


async def _reset(visit: Visit, fields: Fields) -> Done:
    request = reset_request(fields)
    await visit.ask(request)
    name = request.subscription
    return Done(f"Subscription {name} is reset.", f"/subscriptions/{name}")


RESET = Action("reset-subscription", "Reset the subscription", _reset, _preview)
