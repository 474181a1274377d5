"""``cachesvc subscriptions``: the durable side of sync tasks."""

from typing import Annotated

import typer

from cachesvc.cli.failure import USAGE, CommandFailed
from cachesvc.cli.options import Address, AsJson, CaFile, InConnection, common
from cachesvc.cli.render import Column, as_dict, enum_name, show_facts, show_json, show_table
from cachesvc.cli.service import Service
from cachesvc.cli.starts import parse_positions, parse_start
from cachesvc.cli.units import show_bytes, show_count, show_duration, show_time
from cachesvc.v1.log_cache_pb2 import (
    DeleteSubscriptionRequest,
    GetSubscriptionRequest,
    GetSubscriptionResponse,
    ListSubscriptionsRequest,
    ListSubscriptionsResponse,
    Mode,
    ResetSubscriptionRequest,
    ResetSubscriptionResponse,
    Start,
    Subscription,
)

subscriptions_app = typer.Typer(rich_markup_mode=None, add_completion=False)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The subscription's name.")]


@subscriptions_app.callback(invoke_without_command=True)
def list_subscriptions(
    ctx: typer.Context,
    connection: InConnection = "",
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """List subscriptions; show, reset or delete one."""
    settings = common(ctx, address, ca_file, as_json)
    if ctx.invoked_subcommand is not None:
        return
    with Service(settings) as service:
        request = ListSubscriptionsRequest(connection=connection)
        response: ListSubscriptionsResponse = service.call(
            service.log_cache.ListSubscriptions, request
        )
    if settings.as_json:
        show_json([as_dict(subscription) for subscription in response.subscriptions])
    else:
        show_table(response.subscriptions, _SUBSCRIPTION_COLUMNS, "no subscriptions")


@subscriptions_app.command("show")
def show_subscription(
    ctx: typer.Context,
    name: Name,
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Show one subscription with its positions and lag."""
    settings = common(ctx, address, ca_file, as_json)
    with Service(settings) as service:
        request = GetSubscriptionRequest(subscription=name)
        response: GetSubscriptionResponse = service.call(service.log_cache.GetSubscription, request)
    _show(response.subscription, settings.as_json)


@subscriptions_app.command("reset")
def reset_subscription(
    ctx: typer.Context,
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
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Replace the stored positions of a subscription; a live subscriber is told and ends.

    Without --to and --position they are dropped: the next stream starts as its mode says.
    """
    settings = common(ctx, address, ca_file, as_json)
    request = ResetSubscriptionRequest(
        subscription=name, start=_start(to, position), forget_full_sync=forget_full_sync
    )
    with Service(settings) as service:
        response: ResetSubscriptionResponse = service.call(
            service.log_cache.ResetSubscription, request
        )
    _show(response.subscription, settings.as_json)


@subscriptions_app.command("delete")
def delete_subscription(
    ctx: typer.Context,
    name: Name,
    address: Address = None,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Forget a subscription and its positions; a live subscriber is told and ends."""
    settings = common(ctx, address, ca_file, as_json)
    with Service(settings) as service:
        request = DeleteSubscriptionRequest(subscription=name)
        service.call(service.log_cache.DeleteSubscription, request)
    if settings.as_json:
        show_json({"deleted": name})
    else:
        typer.echo(f"deleted {name}")


def _start(to: str | None, positions: list[str] | None) -> Start | None:
    if to is not None and positions:
        what = "--to and --position contradict each other"
        raise CommandFailed(what, advice="give one of them", code=USAGE)
    if positions:
        return parse_positions(positions, "--position")
    return None if to is None else parse_start(to, "--to")


def _show(subscription: Subscription, as_json: bool) -> None:
    if as_json:
        show_json(as_dict(subscription))
        return
    lag = subscription.lag
    size, age = show_bytes(lag.bytes), show_duration(lag.seconds)
    show_facts(
        [
            ("subscription", subscription.name),
            ("connection", subscription.connection),
            ("topics", _topics(subscription)),
            ("mode", enum_name(Mode, subscription.mode)),
            ("connected", "yes" if subscription.connected else "no"),
            ("epoch", str(subscription.epoch)),
            ("full sync done", "yes" if subscription.full_sync_done else "no"),
            ("created", show_time(subscription.created_ms)),
            ("committed", show_time(subscription.committed_ms)),
            ("lag", f"{show_count(lag.records)} records, {size}, {age}"),
        ]
    )
    typer.echo()
    show_table(subscription.partitions, _PARTITION_COLUMNS, "no positions are stored")


def _topics(subscription: Subscription) -> str:
    return subscription.topic_expression or ", ".join(subscription.topics) or "-"


_SUBSCRIPTION_COLUMNS = (
    Column("subscription", lambda s: s.name),
    Column("connection", lambda s: s.connection),
    Column("topics", _topics),
    Column("mode", lambda s: enum_name(Mode, s.mode)),
    Column("connected", lambda s: "yes" if s.connected else "no"),
    Column("lag", lambda s: show_count(s.lag.records), number=True),
    Column("size", lambda s: show_bytes(s.lag.bytes), number=True),
    Column("age", lambda s: show_duration(s.lag.seconds), number=True),
    Column("committed", lambda s: show_time(s.committed_ms)),
)
_PARTITION_COLUMNS = (
    Column("topic", lambda p: p.position.topic),
    Column("partition", lambda p: str(p.position.partition), number=True),
    Column("incarnation", lambda p: str(p.position.incarnation), number=True),
    Column("position", lambda p: str(p.position.offset), number=True),
    Column("lag", lambda p: show_count(p.lag.records), number=True),
    Column("size", lambda p: show_bytes(p.lag.bytes), number=True),
    Column("age", lambda p: show_duration(p.lag.seconds), number=True),
)
