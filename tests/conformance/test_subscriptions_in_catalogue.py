"""Subscriptions and their positions, in every implementation of the catalogue."""

from __future__ import annotations

from dataclasses import replace

from cachesvc.store.ports import (
    Catalogue,
    PositionCommit,
    SubscriptionChange,
)
from tests.conformance.test_catalogue import COPIES, LATER, SECOND, TOPIC, WILD, commit
from tests.support.frames import ORDERS


class TestSubscriptions:
    def test_are_listed_by_name(self, catalogue: Catalogue) -> None:
        catalogue.put_subscriptions([SubscriptionChange(WILD)])
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        assert catalogue.list_subscriptions() == [COPIES, WILD]

    def test_change_as_a_whole_but_for_their_beginning(self, catalogue: Catalogue) -> None:
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        changed = replace(
            WILD, name="copies", connection="spare", epoch=9, full_sync_done=True, created_ms=999
        )
        for _ in range(3):
            catalogue.put_subscriptions([SubscriptionChange(changed)])
        assert catalogue.list_subscriptions() == [replace(changed, created_ms=10)]

    def test_topics_change_again_and_again(self, catalogue: Catalogue) -> None:
        for count in (1, 0, 3, 200, 2):
            topics = tuple(f"topic-{number}" for number in range(count))
            catalogue.put_subscriptions(
                [SubscriptionChange(replace(COPIES, topics=topics), {ORDERS: count})]
            )
            assert catalogue.list_subscriptions()[0].topics == topics
            assert catalogue.list_positions() == {"copies": {ORDERS: count}}

    def test_many_change_at_once(self, catalogue: Catalogue) -> None:
        others = [replace(WILD, name=f"wild-{number}") for number in range(100)]
        catalogue.put_subscriptions([SubscriptionChange(COPIES, {ORDERS: 5, SECOND: 6})])
        catalogue.put_subscriptions(
            [
                SubscriptionChange(replace(COPIES, epoch=9), {SECOND: 1}, drop_positions=True),
                *(SubscriptionChange(each, {ORDERS: 7}) for each in others),
            ]
        )
        expected = [replace(COPIES, epoch=9), *others]
        assert catalogue.list_subscriptions() == sorted(expected, key=lambda each: each.name)
        positions = {each.name: {ORDERS: 7} for each in others}
        assert catalogue.list_positions() == positions | {COPIES.name: {SECOND: 1}}
        catalogue.put_subscriptions([])
        assert len(catalogue.list_subscriptions()) == 101

    def test_keep_their_positions_when_they_change(self, catalogue: Catalogue) -> None:
        catalogue.put_subscriptions([SubscriptionChange(COPIES, {ORDERS: 5, SECOND: 6})])
        catalogue.put_subscriptions([SubscriptionChange(replace(COPIES, epoch=2))])
        catalogue.put_subscriptions([SubscriptionChange(replace(COPIES, epoch=3), {SECOND: 7})])
        assert catalogue.list_positions() == {"copies": {ORDERS: 5, SECOND: 7}}

    def test_drop_their_positions_when_told_to(self, catalogue: Catalogue) -> None:
        catalogue.put_subscriptions([SubscriptionChange(COPIES, {ORDERS: 5, SECOND: 6})])
        catalogue.put_subscriptions([SubscriptionChange(COPIES, {SECOND: 1}, drop_positions=True)])
        assert catalogue.list_positions() == {"copies": {SECOND: 1}}
        catalogue.put_subscriptions([SubscriptionChange(COPIES, drop_positions=True)])
        assert catalogue.list_positions() == {}

    def test_are_forgotten_with_their_positions(self, catalogue: Catalogue) -> None:
        catalogue.put_subscriptions([SubscriptionChange(COPIES, {ORDERS: 5})])
        catalogue.put_subscriptions([SubscriptionChange(WILD, {ORDERS: 6})])
        catalogue.delete_subscription("copies")
        catalogue.delete_subscription("never-heard-of")
        assert catalogue.list_subscriptions() == [WILD]
        assert catalogue.list_positions() == {"wild": {ORDERS: 6}}
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        assert catalogue.list_positions() == {"wild": {ORDERS: 6}}

    def test_leave_their_highest_epoch_behind(self, catalogue: Catalogue) -> None:
        assert catalogue.deleted_epoch() == 0
        for name, epoch in (("copies", 3), ("more", 7), ("less", 2)):
            catalogue.put_subscriptions(
                [SubscriptionChange(replace(COPIES, name=name, epoch=epoch))]
            )
            catalogue.delete_subscription(name)
        catalogue.delete_subscription("never-heard-of")
        assert catalogue.deleted_epoch() == 7


class TestPositions:
    def test_of_many_subscriptions_at_once(self, catalogue: Catalogue) -> None:
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        catalogue.put_subscriptions([SubscriptionChange(WILD)])
        catalogue.commit_positions(
            [commit("copies", {ORDERS: 5, LATER: 1}), commit("wild", {ORDERS: 2**63 - 1})]
        )
        assert catalogue.list_positions() == {
            "copies": {ORDERS: 5, LATER: 1},
            "wild": {ORDERS: 2**63 - 1},
        }

    def test_later_ones_win(self, catalogue: Catalogue) -> None:
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        catalogue.commit_positions([commit("copies", {ORDERS: 5, SECOND: 6})])
        catalogue.commit_positions(
            [commit("copies", {ORDERS: 9}, 60), commit("copies", {ORDERS: 3}, 70)]
        )
        assert catalogue.list_positions() == {"copies": {ORDERS: 3, SECOND: 6}}
        assert catalogue.list_subscriptions()[0].committed_ms == 70

    def test_of_nobody_are_not_kept(self, catalogue: Catalogue) -> None:
        """A subscription may be deleted while a commit of it waits its turn."""
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        catalogue.delete_subscription("copies")
        catalogue.commit_positions([commit("copies", {ORDERS: 5})])
        assert catalogue.list_positions() == {}
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        assert catalogue.list_positions() == {}

    def test_of_one_that_was_deleted_are_not_those_of_the_next(self, catalogue: Catalogue) -> None:
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        catalogue.delete_subscription("copies")
        catalogue.commit_positions([commit("copies", {ORDERS: 5})])
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        assert catalogue.list_positions() == {}
        assert catalogue.list_subscriptions() == [COPIES]

    def test_before_another_is_made(self, catalogue: Catalogue) -> None:
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        catalogue.commit_positions([commit("copies", {ORDERS: 5}, 60)])
        catalogue.put_subscriptions([SubscriptionChange(WILD)])
        catalogue.commit_positions([commit("copies", {SECOND: 6}, 70)])
        changed = replace(COPIES, epoch=2, committed_ms=70)
        catalogue.put_subscriptions([SubscriptionChange(changed)])
        assert catalogue.list_positions() == {"copies": {ORDERS: 5, SECOND: 6}}
        assert catalogue.list_subscriptions() == [changed, WILD]

    def test_before_positions_are_replaced(self, catalogue: Catalogue) -> None:
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        catalogue.commit_positions([commit("copies", {ORDERS: 5, SECOND: 6}, 60)])
        reset = SubscriptionChange(COPIES, {SECOND: 1}, drop_positions=True)
        catalogue.put_subscriptions([reset, SubscriptionChange(WILD)])
        assert catalogue.list_positions() == {"copies": {SECOND: 1}}
        assert catalogue.list_subscriptions() == [COPIES, WILD]

    def test_commits_of_nothing(self, catalogue: Catalogue) -> None:
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        catalogue.commit_positions([])
        catalogue.commit_positions([commit("copies", {}, None)])
        assert catalogue.list_subscriptions() == [COPIES]
        catalogue.commit_positions([commit("copies", {}, 60)])
        assert catalogue.list_subscriptions() == [replace(COPIES, committed_ms=60)]
        assert catalogue.list_positions() == {}

    def test_a_start_is_no_commit(self, catalogue: Catalogue) -> None:
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        catalogue.commit_positions([commit("copies", {ORDERS: 5}, None)])
        assert catalogue.list_positions() == {"copies": {ORDERS: 5}}
        assert catalogue.list_subscriptions()[0].committed_ms is None

    def test_a_full_sync_stays_done(self, catalogue: Catalogue) -> None:
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        done = PositionCommit("copies", {ORDERS: 5}, 60, full_sync_done=True)
        catalogue.commit_positions([done, commit("copies", {ORDERS: 6}, 61)])
        assert catalogue.list_subscriptions()[0].full_sync_done
        catalogue.commit_positions([commit("copies", {ORDERS: 7}, 62)])
        assert catalogue.list_subscriptions()[0].full_sync_done

    def test_many(self, catalogue: Catalogue) -> None:
        names = [f"task-{number:03}" for number in range(100)]
        for name in names:
            catalogue.put_subscriptions([SubscriptionChange(replace(COPIES, name=name))])
        for offset in range(5):
            catalogue.commit_positions(
                [
                    commit(name, {TOPIC.partition(number): offset for number in range(20)})
                    for name in names
                ]
            )
        expected = {TOPIC.partition(number): 4 for number in range(20)}
        assert catalogue.list_positions() == dict.fromkeys(names, expected)
