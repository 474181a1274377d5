"""Commits: durable, never back, of the newest subscriber only, many in one transaction."""

from __future__ import annotations

import asyncio

import pytest

from cachesvc.errors import InvalidRequest, PreconditionFailed, Superseded
from cachesvc.model import Mode, PartitionId
from tests.support.frames import ORDERS
from tests.unit.subscriptions.subscribers import SECOND, Setting, SlowCatalogue, in_setting, setting


def test_a_commit_is_durable_when_it_returns() -> None:
    async def test(it: Setting) -> None:
        subscription, subscriber = await it.open()
        await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 5})
        await it.subscriptions.commit("copies", subscriber.epoch, {SECOND: 7})
        assert it.catalogue.list_positions() == {"copies": {ORDERS: 5, SECOND: 7}}
        assert subscription.positions == {ORDERS: 5, SECOND: 7}
        assert subscription.record.committed_ms is not None
        assert it.catalogue.list_subscriptions() == [subscription.record]

    in_setting(test)


def test_positions_are_there_after_a_restart() -> None:
    async def run() -> None:
        catalogue = SlowCatalogue()
        async with setting(catalogue) as it:
            _, subscriber = await it.open()
            await it.subscriptions.commit("copies", 1, {ORDERS: 5})
        async with setting(catalogue) as it:
            assert it.subscriptions.get("copies").positions == {ORDERS: 5}
            # The epoch still counts: the client may not know of the restart yet.
            await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 6})
            assert catalogue.list_positions() == {"copies": {ORDERS: 6}}

    asyncio.run(run())


@pytest.mark.parametrize("positions", [{ORDERS: 1_001}, {ORDERS: 5, SECOND: 2_000}])
def test_refuses_positions_behind_what_was_delivered(positions: dict[PartitionId, int]) -> None:
    async def test(it: Setting) -> None:
        _, subscriber = await it.open()
        with pytest.raises(InvalidRequest, match="cannot commit orders/") as caught:
            await it.subscriptions.commit("copies", subscriber.epoch, positions)
        assert caught.value.reason == "POSITION_NOT_DELIVERED"
        assert it.catalogue.list_positions() == {}

    in_setting(test)


def test_refuses_positions_of_partitions_that_are_not_read() -> None:
    async def test(it: Setting) -> None:
        _, subscriber = await it.open()
        with pytest.raises(InvalidRequest, match="does not read it"):
            await it.subscriptions.commit(
                "copies", subscriber.epoch, {ORDERS.topic_id.partition(9): 0}
            )

    in_setting(test)


def test_refuses_epochs_that_are_not_the_newest() -> None:
    async def test(it: Setting) -> None:
        await it.open()
        for epoch in (0, 2, -1):
            with pytest.raises(Superseded):
                await it.subscriptions.commit("copies", epoch, {ORDERS: 5})

    in_setting(test)


def test_a_commit_never_moves_back() -> None:
    async def test(it: Setting) -> None:
        subscription, subscriber = await it.open()
        await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 50, SECOND: 5})
        await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 30, SECOND: 6})
        assert subscription.positions == {ORDERS: 50, SECOND: 6}
        assert it.catalogue.list_positions() == {"copies": {ORDERS: 50, SECOND: 6}}

    in_setting(test)


def test_commits_under_way_at_once_never_move_back_either() -> None:
    async def test(it: Setting) -> None:
        subscription, subscriber = await it.open()
        offsets = [10, 50, 30, 20, 40]
        async with it.busy():
            waiting = [
                asyncio.ensure_future(
                    it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: offset})
                )
                for offset in offsets
            ]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        assert subscription.positions == {ORDERS: 50}
        assert it.catalogue.list_positions() == {"copies": {ORDERS: 50}}

    in_setting(test)


def test_an_explicit_start_may_move_back() -> None:
    async def test(it: Setting) -> None:
        subscription, subscriber = await it.open()
        await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 50, SECOND: 5})
        committed_ms = subscription.record.committed_ms
        subscription, subscriber = await it.open()
        await it.subscriptions.store_start(subscription, subscriber.epoch, {ORDERS: 10})
        assert it.catalogue.list_positions() == {"copies": {ORDERS: 10, SECOND: 5}}
        assert subscription.record.committed_ms == committed_ms
        await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 20})
        assert subscription.positions == {ORDERS: 20, SECOND: 5}

    in_setting(test)


def test_a_start_of_a_subscriber_that_is_not_the_newest_is_refused() -> None:
    async def test(it: Setting) -> None:
        subscription, older = await it.open()
        await it.open()
        with pytest.raises(Superseded):
            await it.subscriptions.store_start(subscription, older.epoch, {ORDERS: 10})

    in_setting(test)


def test_commits_of_many_go_into_few_transactions() -> None:
    async def test(it: Setting) -> None:
        names = [f"task-{number}" for number in range(50)]
        for name in names:
            await it.open(name)
        it.catalogue.commits.clear()
        async with it.busy():
            waiting = [
                asyncio.ensure_future(it.subscriptions.commit(name, 1, {ORDERS: offset}))
                for offset in (1, 2)
                for name in names
            ]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        assert len(it.catalogue.commits) <= 2
        assert it.catalogue.list_positions() == {name: {ORDERS: 2} for name in names}

    in_setting(test)


def test_a_failed_transaction_is_told_to_all_and_stores_nothing() -> None:
    async def test(it: Setting) -> None:
        subscription, subscriber = await it.open()
        it.catalogue.error = PreconditionFailed("no space", reason="STORE_WRITE_FAILED")
        with pytest.raises(PreconditionFailed):
            await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 5})
        with pytest.raises(PreconditionFailed):
            await it.open()
        assert subscription.positions == {}
        it.catalogue.error = None
        # Nobody took over, so the subscriber goes on.
        assert not subscriber.ended.done()
        await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 5})
        assert it.catalogue.list_positions() == {"copies": {ORDERS: 5}}

    in_setting(test)


class TestTakeoverAmidCommits:
    """What was accepted before a takeover is stored before it; nothing is stored after it."""

    def test_accepted_commits_come_first(self) -> None:
        async def test(it: Setting) -> None:
            subscription, older = await it.open()
            async with it.busy():
                commit = asyncio.ensure_future(
                    it.subscriptions.commit("copies", older.epoch, {ORDERS: 5})
                )
                await asyncio.sleep(0)
                takeover = asyncio.ensure_future(it.open())
                await asyncio.sleep(0)
                with pytest.raises(Superseded):
                    await it.subscriptions.commit("copies", older.epoch, {ORDERS: 9})
            await commit
            await takeover
            assert subscription.positions == {ORDERS: 5}
            assert subscription.record.committed_ms is not None
            assert it.catalogue.list_subscriptions() == [subscription.record]

        in_setting(test)

    def test_a_reset_is_not_undone_by_a_commit_under_way(self) -> None:
        async def test(it: Setting) -> None:
            subscription, older = await it.open()
            async with it.busy():
                commits = [
                    asyncio.ensure_future(
                        it.subscriptions.commit("copies", older.epoch, {ORDERS: offset})
                    )
                    for offset in (700, 800)
                ]
                await asyncio.sleep(0)
                reset = asyncio.ensure_future(
                    it.subscriptions.reset("copies", {ORDERS: 3}, forget_full_sync=False)
                )
                await asyncio.sleep(0)
                late = asyncio.ensure_future(
                    it.subscriptions.commit("copies", older.epoch, {ORDERS: 900})
                )
                await asyncio.sleep(0)
            await asyncio.gather(reset, *commits)
            with pytest.raises(Superseded):
                await late
            assert subscription.positions == {ORDERS: 3}
            assert it.catalogue.list_positions() == {"copies": {ORDERS: 3}}

        in_setting(test)

    def test_a_full_sync_that_ends_just_now_is_remembered(self) -> None:
        async def test(it: Setting) -> None:
            subscription, older = await it.open(mode=Mode.FULL)
            older.full_end = {ORDERS: 10}
            async with it.busy():
                commit = asyncio.ensure_future(
                    it.subscriptions.commit("copies", older.epoch, {ORDERS: 10})
                )
                await asyncio.sleep(0)
                takeover = asyncio.ensure_future(it.open(mode=Mode.FULL_AND_INCREMENTAL))
                await asyncio.sleep(0)
            await asyncio.gather(commit, takeover)
            assert subscription.record.full_sync_done
            assert it.catalogue.list_subscriptions() == [subscription.record]

        in_setting(test)

    def test_a_move_to_another_connection_leaves_no_position_behind(self) -> None:
        async def test(it: Setting) -> None:
            subscription, older = await it.open()
            async with it.busy():
                commit = asyncio.ensure_future(
                    it.subscriptions.commit("copies", older.epoch, {ORDERS: 10})
                )
                await asyncio.sleep(0)
                takeover = asyncio.ensure_future(it.open(connection="spare"))
                await asyncio.sleep(0)
            await asyncio.gather(commit, takeover)
            assert subscription.positions == {}
            assert it.catalogue.list_positions() == {}

        in_setting(test)

    def test_a_commit_of_a_subscription_that_is_deleted_meanwhile(self) -> None:
        async def test(it: Setting) -> None:
            _, older = await it.open()
            async with it.busy():
                deletion = asyncio.ensure_future(it.subscriptions.delete("copies"))
                await asyncio.sleep(0)
                commit = asyncio.ensure_future(
                    it.subscriptions.commit("copies", older.epoch, {ORDERS: 10})
                )
                await asyncio.sleep(0)
            await asyncio.gather(deletion, commit)
            assert it.catalogue.list_positions() == {}
            subscription, _ = await it.open()
            assert subscription.positions == {}

        in_setting(test)


class TestFullSync:
    def test_is_done_once_every_partition_is_committed_to_its_end(self) -> None:
        async def test(it: Setting) -> None:
            subscription, subscriber = await it.open(mode=Mode.FULL)
            subscriber.full_end = {ORDERS: 10, SECOND: 20}
            for positions in ({ORDERS: 9, SECOND: 20}, {SECOND: 30}):
                await it.subscriptions.commit("copies", subscriber.epoch, positions)
                assert not subscription.record.full_sync_done
            await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 10})
            assert subscription.record.full_sync_done
            assert it.catalogue.list_subscriptions()[0].full_sync_done

        in_setting(test)

    def test_may_be_completed_by_commits_under_way_at_once(self) -> None:
        async def test(it: Setting) -> None:
            subscription, subscriber = await it.open(mode=Mode.FULL)
            subscriber.full_end = {ORDERS: 10, SECOND: 20}
            async with it.busy():
                waiting = [
                    asyncio.ensure_future(
                        it.subscriptions.commit("copies", subscriber.epoch, {partition: end})
                    )
                    for partition, end in subscriber.full_end.items()
                ]
                await asyncio.sleep(0)
            await asyncio.gather(*waiting)
            assert subscription.record.full_sync_done

        in_setting(test)

    def test_may_be_committed_after_the_stream_has_ended(self) -> None:
        async def test(it: Setting) -> None:
            subscription, subscriber = await it.open(mode=Mode.FULL)
            subscriber.full_end = {ORDERS: 10}
            it.subscriptions.leave(subscription, subscriber)
            with pytest.raises(InvalidRequest):
                await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 5_000})
            await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 10})
            assert subscription.record.full_sync_done

        in_setting(test)

    def test_asks_for_no_commit_where_there_was_nothing_to_read(self) -> None:
        async def test(it: Setting) -> None:
            subscription, subscriber = await it.open(mode=Mode.FULL)
            subscriber.full_start = {ORDERS: 0, SECOND: 7}
            subscriber.full_end = {ORDERS: 10, SECOND: 7}
            await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 10})
            assert subscription.record.full_sync_done

        in_setting(test)

    def test_is_none_in_other_modes(self) -> None:
        async def test(it: Setting) -> None:
            subscription, subscriber = await it.open()
            await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 1_000})
            assert not subscription.record.full_sync_done

        in_setting(test)

    def test_is_forgotten_only_when_an_operator_says_so(self) -> None:
        async def test(it: Setting) -> None:
            subscription, subscriber = await it.open(mode=Mode.FULL)
            subscriber.full_end = {ORDERS: 10}
            await it.subscriptions.commit("copies", subscriber.epoch, {ORDERS: 10})
            await it.open(mode=Mode.FULL_AND_INCREMENTAL)
            assert subscription.record.full_sync_done
            await it.subscriptions.reset("copies", {}, forget_full_sync=False)
            assert subscription.record.full_sync_done
            await it.subscriptions.reset("copies", {}, forget_full_sync=True)
            assert it.catalogue.list_subscriptions() == [subscription.record]
            assert not it.catalogue.list_subscriptions()[0].full_sync_done

        in_setting(test)
