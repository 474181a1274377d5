"""``cachesvc subscriptions``: the durable side of sync tasks."""

from collections.abc import Iterable
from typing import Annotated

import typer

from cachesvc.cli.answers import Answer, Done, One, Rows
from cachesvc.cli.by_name import group_of
from cachesvc.cli.command import calls
from cachesvc.cli.failure import USAGE, CommandFailed
from cachesvc.cli.options import InConnection
from cachesvc.cli.render import Column, enum_name, show_facts, show_table
from cachesvc.cli.service import Service
from cachesvc.cli.starts import parse_positions, parse_start
from cachesvc.units import show_bytes, show_count, show_duration, show_time
from cachesvc.v1.log_cache_pb2 import (
    DeleteSubscriptionRequest,
    GetSubscriptionRequest,
    GetSubscriptionResponse,
    ListSubscriptionsRequest,
    ListSubscriptionsResponse,
    Member,
    Mode,
    Position,
    ResetSubscriptionRequest,
    ResetSubscriptionResponse,
    Sharing,
    Start,
    Subscription,
)

subscriptions_app = group_of("NAME")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The subscription's name.")]


@subscriptions_app.callback(invoke_without_command=True)
@calls
def list_subscriptions(service: Service, connection: InConnection = "") -> Answer:
    """List subscriptions; show, reset or delete one."""
    response: ListSubscriptionsResponse = service.ask(
        ListSubscriptionsRequest(connection=connection)
    )
    return Rows(response.subscriptions, _SUBSCRIPTION_COLUMNS, "no subscriptions")


subscriptions_app.command("list")(list_subscriptions)


@subscriptions_app.command("show")
@calls
def show_subscription(service: Service, name: Name) -> Answer:
    """Show one subscription with its positions, lag and members."""
    response: GetSubscriptionResponse = service.ask(GetSubscriptionRequest(subscription=name))
    return One(response.subscription, _show)


@subscriptions_app.command("reset")
@calls
def reset_subscription(
    service: Service,
    name: Name,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="START",
            help="earliest, latest, a time (ISO 8601) or milliseconds since the epoch.",
        ),
    ] = None,
    position: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOPIC:PARTITION=OFFSET",
            help="Exactly there; may be repeated. All other positions are dropped.",
        ),
    ] = None,
    forget_full_sync: Annotated[
        bool, typer.Option("--forget-full-sync", help="Forget that a full sync was done.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what it would be then, and change nothing.")
    ] = False,
) -> Answer:
    """Replace the stored positions of a subscription; a live subscriber is told and ends.

    Without --to and --position they are dropped: the next stream starts as its mode says.
    """
    request = ResetSubscriptionRequest(
        subscription=name,
        start=_start(to, position),
        forget_full_sync=forget_full_sync,
        validate_only=dry_run,
    )
    response: ResetSubscriptionResponse = service.ask(request)
    return One(response.subscription, _show)


@subscriptions_app.command("delete")
@calls
def delete_subscription(service: Service, name: Name) -> Answer:
    """Forget a subscription and its positions; a live subscriber is told and ends."""
    service.ask(DeleteSubscriptionRequest(subscription=name))
    return Done({"deleted": name}, f"deleted {name}")


def _start(to: str | None, positions: list[str] | None) -> Start | None:
    if to is not None and positions:
        what = "--to and --position contradict each other"
        raise CommandFailed(what, advice="give one of them", code=USAGE)
    if positions:
        return parse_positions(positions, "--position")
    return None if to is None else parse_start(to, "--to")


def _show(subscription: Subscription) -> None:
    lag = subscription.lag
    size, age = show_bytes(lag.bytes), show_duration(lag.seconds)
    show_facts(
        [
            ("subscription", subscription.name),
            ("connection", subscription.connection),
            ("topics", _topics(subscription)),
            ("mode", enum_name(Mode, subscription.mode)),
            ("connected", "yes" if subscription.connected else "no"),
            ("sharing", enum_name(Sharing, subscription.sharing) if subscription.sharing else "-"),
            ("epoch", str(subscription.epoch)),
            ("full sync done", "yes" if subscription.full_sync_done else "no"),
            ("created", show_time(subscription.created_ms)),
            ("committed", show_time(subscription.committed_ms)),
            ("lag", f"{show_count(lag.records)} records, {size}, {age}"),
        ]
    )
    typer.echo()
    show_table(subscription.partitions, _PARTITION_COLUMNS, "no positions are stored")
    if subscription.members:
        typer.echo()
        show_table(subscription.members, _MEMBER_COLUMNS, "")
    if subscription.subscribers:
        typer.echo()
        show_table(subscription.subscribers, _SUBSCRIBER_COLUMNS, "")


def _reads(positions: Iterable[Position]) -> str:
    """Partitions by topic, runs of numbers as one: ``orders 0-3,7``."""
    topics: dict[str, list[int]] = {}
    for each in positions:
        topics.setdefault(each.topic, []).append(each.partition)
    return "; ".join(f"{name} {_runs(numbers)}" for name, numbers in sorted(topics.items())) or "-"


def _runs(numbers: Iterable[int]) -> str:
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ",".join("-".join(map(str, run)) for run in runs)


def _state(member: Member) -> str:
    if member.finished:
        return "finished"
    if member.HasField("stalled_since_ms"):
        return f"stalled since {show_time(member.stalled_since_ms)}"
    return "reads" if member.positions else "waits"


def _topics(subscription: Subscription) -> str:
    return subscription.topic_expression or ", ".join(subscription.topics) or "-"


_SUBSCRIPTION_COLUMNS = (
    Column("subscription", lambda s: s.name),
    Column("connection", lambda s: s.connection),
    Column("topics", _topics),
    Column("mode", lambda s: enum_name(Mode, s.mode)),
    Column("connected", lambda s: "yes" if s.connected else "no"),
    Column("lag", lambda s: show_count(s.lag.records), number=True),
    Column("lag bytes", lambda s: show_bytes(s.lag.bytes), number=True),
    Column("lag time", lambda s: show_duration(s.lag.seconds), number=True),
    Column("committed", lambda s: show_time(s.committed_ms)),
)
_PARTITION_COLUMNS = (
    Column("topic", lambda p: p.position.topic),
    Column("partition", lambda p: str(p.position.partition), number=True),
    Column("incarnation", lambda p: str(p.position.incarnation), number=True),
    Column("position", lambda p: str(p.position.offset), number=True),
    Column("lag", lambda p: show_count(p.lag.records), number=True),
    Column("lag bytes", lambda p: show_bytes(p.lag.bytes), number=True),
    Column("lag time", lambda p: show_duration(p.lag.seconds), number=True),
)
_MEMBER_COLUMNS = (
    Column("member", lambda m: m.name),
    Column("joined", lambda m: show_time(m.joined_ms)),
    Column("state", _state),
    Column("partitions", lambda m: str(len(m.positions)), number=True),
    Column("reads", lambda m: _reads(m.positions)),
    Column("about to lose", lambda m: _reads(m.revoked)),
)
_SUBSCRIBER_COLUMNS = (
    Column("read from", lambda s: s.address),
    Column("member", lambda s: s.member or "-"),
    Column("principal", lambda s: s.principal),
    Column("since", lambda s: show_time(s.connected_ms)),
    Column("sent", lambda s: show_count(s.records), number=True),
    Column("sent bytes", lambda s: show_bytes(s.bytes), number=True),
    Column("client", lambda s: s.client or "-"),
)
