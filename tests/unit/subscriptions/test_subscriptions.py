"""Who is subscribed: makes, takes over, resets, deletes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cachesvc.errors import NotFound, ShuttingDown, StoreUnwritable, Superseded
from cachesvc.model import Mode
from cachesvc.subscriptions.retention import Unread
from cachesvc.subscriptions.subscriptions import Opened
from tests.support.frames import ORDERS
from tests.unit.subscriptions.subscribers import (
    SECOND,
    Setting,
    SlowCatalogue,
    ended_with,
    in_setting,
    setting,
)


def test_the_first_use_makes_a_subscription() -> None:
    async def test(it: Setting) -> None:
        subscription, subscriber = await it.open()
        assert subscriber.epoch == subscription.record.epoch == 1
        assert subscription.record.topics == ("orders",)
        assert it.subscriptions.get("copies") is subscription
        assert it.catalogue.list_subscriptions() == [subscription.record]
        assert it.changes == 1

    in_setting(test)


def test_there_is_none_of_that_name() -> None:
    async def test(it: Setting) -> None:
        with pytest.raises(NotFound) as caught:
            it.subscriptions.get("copies")
        assert caught.value.reason == "UNKNOWN_SUBSCRIPTION"
        with pytest.raises(NotFound):
            await it.subscriptions.commit("copies", 1, {ORDERS: 1})
        with pytest.raises(NotFound):
            await it.subscriptions.delete("copies")
        with pytest.raises(NotFound):
            await it.subscriptions.reset("copies", {}, forget_full_sync=False)

    in_setting(test)


def test_a_newer_subscriber_ends_the_older_one() -> None:
    async def test(it: Setting) -> None:
        subscription, older = await it.open()
        _, newer = await it.open()
        error = await ended_with(older)
        assert isinstance(error, Superseded)
        assert error.reason == "SUBSCRIPTION_TAKEN_OVER"
        assert not newer.ended.done()
        assert newer.epoch == older.epoch + 1
        with pytest.raises(Superseded) as caught:
            await it.subscriptions.commit("copies", older.epoch, {ORDERS: 5})
        assert caught.value.reason == "SUBSCRIPTION_TAKEN_OVER"
        it.subscriptions.leave(subscription, older)
        assert subscription.connected
        it.subscriptions.leave(subscription, newer)
        assert not subscription.connected

    in_setting(test)


def test_where_the_open_stream_is() -> None:
    async def test(it: Setting) -> None:
        subscription, subscriber = await it.open()
        other, next_incarnation = ORDERS.topic_id.partition(7), replace(ORDERS, incarnation=2)
        subscriber.delivered = {next_incarnation: 3, ORDERS: 50, other: 9}
        assert subscription.delivering == {other: 9, next_incarnation: 3}, (
            "of the newest incarnation alone"
        )
        it.subscriptions.leave(subscription, subscriber)
        assert subscription.delivering == {}

    in_setting(test)


def test_only_the_newest_of_many_at_once_stays() -> None:
    async def test(it: Setting) -> None:
        opened = await asyncio.gather(*[it.open() for _ in range(20)])
        epochs = [subscriber.epoch for _, subscriber in opened]
        assert sorted(epochs) == list(range(1, 21))
        alive = [subscriber for _, subscriber in opened if not subscriber.ended.done()]
        assert [subscriber.epoch for subscriber in alive] == [20]

    in_setting(test)


def test_epochs_rise_over_restarts() -> None:
    async def run() -> None:
        catalogue = SlowCatalogue()
        for epoch in (1, 2, 3):
            async with setting(catalogue) as it:
                _, subscriber = await it.open()
                assert subscriber.epoch == epoch

    asyncio.run(run())


def test_a_reset_replaces_positions_and_ends_the_subscriber() -> None:
    async def test(it: Setting) -> None:
        subscription, subscriber = await it.open()
        await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 50, SECOND: 5})
        await it.subscriptions.reset("copies", {SECOND: 1}, forget_full_sync=False)
        assert (await ended_with(subscriber)).reason == "SUBSCRIPTION_RESET"
        assert it.catalogue.list_positions() == {"copies": {SECOND: 1}}
        with pytest.raises(Superseded):
            await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 60})
        await it.subscriptions.reset("copies", {}, forget_full_sync=False)
        assert it.catalogue.list_positions() == {}
        assert subscription.positions == {}
        _, newer = await it.open()
        assert newer.epoch == subscription.record.epoch > subscriber.epoch

    in_setting(test)


def test_a_deletion_forgets_everything_and_ends_the_subscriber() -> None:
    async def test(it: Setting) -> None:
        _, subscriber = await it.open()
        await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 50})
        await it.subscriptions.delete("copies")
        assert (await ended_with(subscriber)).reason == "SUBSCRIPTION_DELETED"
        assert it.subscriptions.all() == []
        assert it.catalogue.list_subscriptions() == []
        assert it.catalogue.list_positions() == {}
        with pytest.raises(NotFound):
            await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 60})
        assert it.changes == 2

    in_setting(test)


def test_who_streamed_from_a_deleted_subscription_cannot_commit_to_the_next_of_its_name() -> None:
    async def commits_of_the_former_are_refused(it: Setting, former_epochs: set[int]) -> None:
        _, subscriber = await it.open()
        for former in former_epochs:
            with pytest.raises(Superseded) as caught:
                await it.subscriptions.commit("copies", former, {ORDERS: 900})
            assert caught.value.reason == "SUBSCRIPTION_TAKEN_OVER"
        former_epochs.add(subscriber.epoch)

    async def run() -> None:
        catalogue = SlowCatalogue()
        former: set[int] = set()
        for _ in range(2):  # over a restart of the service, too
            async with setting(catalogue) as it:
                for _ in range(2):
                    await commits_of_the_former_are_refused(it, former)
                await it.subscriptions.delete("copies")
                await commits_of_the_former_are_refused(it, former)
                assert it.catalogue.list_positions() == {}
                await it.subscriptions.delete("copies")

    asyncio.run(run())


def test_another_connection_means_other_positions() -> None:
    async def test(it: Setting) -> None:
        subscription, subscriber = await it.open()
        await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 50})
        await it.open(topics=("items",), mode=Mode.FULL)
        assert subscription.positions == {ORDERS: 50}
        await it.open(connection="spare", topics=(), topic_expression="o.*")
        assert subscription.positions == {}
        assert it.catalogue.list_positions() == {}
        assert subscription.record.topic_expression == "o.*"
        assert it.catalogue.list_subscriptions() == [subscription.record]

    in_setting(test)


def test_the_end_of_the_service_ends_every_subscriber() -> None:
    async def test(it: Setting) -> None:
        opened = [await it.open(name) for name in ("one", "two")]
        error = ShuttingDown("the service is about to end")
        it.subscriptions.end_all(error)
        it.subscriptions.end_all(ShuttingDown("again"))
        assert [await ended_with(subscriber) for _, subscriber in opened] == [error] * 2

    in_setting(test)


def test_are_listed_by_name() -> None:
    async def test(it: Setting) -> None:
        for name in ("b", "c", "a"):
            await it.open(name)
        assert [each.record.name for each in it.subscriptions.all()] == ["a", "b", "c"]

    in_setting(test)


def test_what_the_stream_before_read_stays_until_the_next_has_places() -> None:
    async def test(it: Setting) -> None:
        subscription, first = await it.open()
        first.delivered = {ORDERS: 50}
        it.subscriptions.leave(subscription, first)
        # Nothing was committed, so the next begins anew; the one in between never got so far.
        latest = first
        for _ in range(2):
            _, latest = await it.open()
            latest.delivered = {}
            assert Unread([subscription]).lowest(ORDERS) == 0
        latest.delivered = {SECOND: 3}
        assert Unread([subscription]).lowest(ORDERS) is None
        assert Unread([subscription]).lowest(SECOND) == 0

    in_setting(test)


def test_many_that_subscribe_at_once_share_transactions() -> None:
    async def test(it: Setting) -> None:
        names = [f"copies-{number:02}" for number in range(20)]
        async with it.busy():
            opening = [asyncio.ensure_future(it.open(name)) for name in ("first", *names)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.gather(*opening)
        assert sorted(name for put in it.catalogue.puts for name in put) == [*names, "first"]
        assert len(it.catalogue.puts) <= 2
        async with it.busy():  # those that take over, a reset, and a new one
            opening = [asyncio.ensure_future(it.open(name)) for name in names]
            reset = it.subscriptions.reset("first", {ORDERS: 7}, forget_full_sync=False)
            changing = [*opening, asyncio.ensure_future(reset), asyncio.ensure_future(it.open())]
            await asyncio.sleep(0)
        await asyncio.gather(*changing)
        assert len(it.catalogue.puts) <= 5
        records = it.catalogue.list_subscriptions()
        assert {each.epoch for each in records if each.name != "copies"} == {2}
        assert it.catalogue.list_positions() == {"first": {ORDERS: 7}}

    in_setting(test)


def test_a_transaction_that_fails_is_told_to_all_and_the_next_goes_on() -> None:
    async def test(it: Setting) -> None:
        it.catalogue.error = StoreUnwritable("no room")
        opening = [it.open(name) for name in ("one", "two")]
        found = await asyncio.gather(*opening, return_exceptions=True)
        assert [str(each) for each in found] == ["no room", "no room"]
        assert it.subscriptions.all() == []
        it.catalogue.error = None
        await it.open("one")
        assert [each.name for each in it.catalogue.list_subscriptions()] == ["one"]

    in_setting(test)


def test_tells_what_who_subscribes_has_done() -> None:
    async def test(it: Setting) -> None:
        told: list[Opened] = []
        it.subscriptions.on_opened = told.append
        subscription, subscriber = await it.open()
        made = subscription.record
        await it.open()
        after = subscription.record
        it.subscriptions.leave(subscription, subscription.subscriber or subscriber)
        await it.open(mode=Mode.FULL)
        assert told == [
            Opened(made, None, taken_over=False),
            Opened(after, made, taken_over=True),
            Opened(subscription.record, after, taken_over=False),
        ]

    in_setting(test)
