"""Streams that share a subscription: who gets what, from where on, and who may commit it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cachesvc.errors import (
    InvalidRequest,
    MemberStalled,
    PreconditionFailed,
    Superseded,
)
from cachesvc.serving import views
from cachesvc.serving.convert import subscribe_call
from cachesvc.v1 import log_cache_pb2 as pb
from tests.unit.assignment.plans import PATIENT, STALLING
from tests.unit.log.running import until
from tests.unit.serving.workers import ORDERS, Workers, play


def test_partitions_are_split_and_each_is_read_once_where_all_is_committed(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        await workers.mine_all(5)
        async with workers.open("one") as one:
            (started,) = one.heard("started")
            assert (started.member, list(started.positions)) == ("one", [])
            await until(lambda: len(one.rows) == 20)
            await workers.commit(dict.fromkeys(range(4), 5), one.epochs)
            async with workers.open("two") as two:
                await until(lambda: two.has == [2, 3] and one.has == [0, 1])
                assert two.starts == {2: 5, 3: 5}
                for number in range(4):
                    await workers.mine(number, 5, 8)
                await until(lambda: len(one.rows) + len(two.rows) == 32)
                assert sorted(one.rows + two.rows) == sorted(
                    (number, offset) for number in range(4) for offset in range(8)
                )
            await until(lambda: one.has == [0, 1, 2, 3])

    play(tmp_path, test)


def test_a_partition_goes_on_at_what_its_member_still_committed(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        await workers.mine_all(5)
        async with workers.open("one") as one:
            await until(lambda: len(one.rows) == 20)
            epochs = dict(one.epochs)
            async with workers.open("two") as two:
                await until(lambda: one.revoked == {2: 5, 3: 5})
                assert not two.has
                await workers.commit({2: 3}, epochs)
                await asyncio.sleep(0.05)
                assert not two.has, "what it was delivered is not all committed"
                await workers.commit({2: 5}, epochs)
                await until(lambda: two.has == [2])
                assert two.starts == {2: 5}

    play(tmp_path, test, sharing=PATIENT)


def test_a_partition_that_is_not_committed_is_taken_after_the_bound(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        await workers.mine_all(5)
        async with workers.open("one") as one:
            await until(lambda: len(one.rows) == 20)
            epochs = dict(one.epochs)
            async with workers.open("two") as two:
                await until(lambda: two.has == [2, 3])
                assert two.starts[3] == 0
                await until(lambda: two.offsets(3) == [0, 1, 2, 3, 4])
                with pytest.raises(Superseded, match="orders/3") as refused:
                    await workers.commit({3: 5}, epochs)
                assert refused.value.reason == "PARTITION_REVOKED"
                assert workers.stored[3] == 0

    play(tmp_path, test)


def test_the_start_of_what_has_no_position_is_the_same_for_whoever_has_it(tmp_path: Path) -> None:
    """Increments begin at the end as it was when the group began, not when a member came."""

    async def test(workers: Workers) -> None:
        await workers.mine_all(5)
        async with workers.open("one", mode=pb.INCREMENTAL) as one:
            async with workers.open("two", mode=pb.INCREMENTAL) as two:
                await until(lambda: len(one.has) == len(two.has) == 2)
                assert set({**one.starts, **two.starts}.values()) == {5}
                for number in range(4):
                    await workers.mine(number, 5, 7)
                    workers.lookup.ends["orders", number] = 7
                await until(lambda: len(one.rows) + len(two.rows) == 8)
            await until(lambda: len(one.has) == 4)
            await until(lambda: len(set(one.rows)) == 8)
        async with workers.open("three", mode=pb.INCREMENTAL) as three:
            await until(lambda: len(three.rows) == 8)

    play(tmp_path, test)


def test_a_start_counts_where_nothing_is_stored_alone(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        await workers.mine_all(5, partitions=1)
        at = [pb.Position(topic="orders", partition=0, offset=2)]
        start = pb.Start(positions=pb.Positions(positions=at))
        async with workers.open("one", start=start) as one:
            await until(lambda: one.offsets(0) == [2, 3, 4])
            await workers.commit({0: 4}, one.epochs)
        async with workers.open("one", start=start) as one:
            await until(lambda: one.offsets(0) == [4])

    play(tmp_path, test, partitions=1)


def test_new_partitions_are_shared_as_well_from_their_first_record_on(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        await workers.mine_all(5, partitions=2)
        latest = pb.Start(latest=pb.Latest())
        async with (
            workers.open("one", start=latest) as one,
            workers.open("two", start=latest) as two,
        ):
            await until(lambda: len(one.has) == len(two.has) == 1)
            workers.lookup.topics["orders"] = (0, 1, 2, 3)
            await workers.plan.sources.look(workers.plan.source)
            await workers.plan.assignments.create_logs(workers.plan.source, ["orders"])
            for number in (2, 3):
                await workers.mine(number, 0, 3)
            await until(lambda: len(one.has) == len(two.has) == 2)
            await until(lambda: len(one.rows) == len(two.rows) == 3)
            assert {*one.rows, *two.rows} == {(n, o) for n in (2, 3) for o in range(3)}

    play(tmp_path, test, partitions=2)


def test_a_member_that_takes_nothing_loses_all_to_one_that_does(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        await workers.mine_all(5)
        async with workers.open("one") as one:
            await until(lambda: len(one.rows) == 20)
            one.takes.clear()
            for number in range(4):
                await workers.mine(number, 5, 6)
            await asyncio.sleep(0.8)
            assert not one.serving.done(), "there is nobody else"
            async with workers.open("two") as two:
                await until(one.serving.done)
                assert isinstance(one.failure, MemberStalled)
                await until(lambda: two.has == [0, 1, 2, 3])
                await until(lambda: len(two.rows) == 24)

    play(tmp_path, test, sharing=STALLING)


def test_a_full_sync_ends_for_all_when_all_is_delivered(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        await workers.mine_all(5)
        for number in range(4):
            workers.lookup.ends["orders", number] = 7
        async with (
            workers.open("one", mode=pb.FULL) as one,
            workers.open("two", mode=pb.FULL) as two,
        ):
            await until(lambda: len(two.has) == 2)
            for number in one.has:
                await workers.mine(number, 5, 9)
            await asyncio.sleep(0.1)
            assert not one.heard("ended"), "the other member may die, and its share would be left"
            for number in two.has:
                await workers.mine(number, 5, 9)
            for each in (one, two):
                await until(lambda each=each: each.serving.done())  # type: ignore[misc]
                (ended,) = each.heard("ended")
                assert {p.partition: p.epoch for p in ended.positions} == each.epochs
                assert {p.offset for p in ended.positions} == {7}
            record = workers.plan.subscriptions.get("copies").record
            assert not record.full_sync_done
            await workers.commit(dict.fromkeys(one.has, 7), one.epochs)
            assert not workers.plan.subscriptions.get("copies").record.full_sync_done
            await workers.commit(dict.fromkeys(two.has, 7), two.epochs)
            assert workers.plan.subscriptions.get("copies").record.full_sync_done
        assert not workers.plan.subscriptions.get("copies").connected

    play(tmp_path, test)


def test_a_client_that_goes_as_soon_as_it_hears_of_the_end_may_commit(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        await workers.mine_all(5)
        async with workers.open("one", mode=pb.FULL) as one:
            one.hurries = True
            await until(one.serving.done)
            assert one.serving.cancelled()
            await workers.commit(dict.fromkeys(one.has, 5), one.epochs)
            assert workers.plan.subscriptions.get("copies").record.full_sync_done

    play(tmp_path, test)


def test_a_full_sync_is_finished_by_who_is_left(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        await workers.mine_all(5)
        async with workers.open("one", mode=pb.FULL) as one:
            async with workers.open("two", mode=pb.FULL, holds_at=2) as two:
                await until(lambda: not two.takes.is_set())
            await until(one.serving.done)
            one.serving.result()
            assert {*one.rows} == {(number, offset) for number in range(4) for offset in range(5)}

    play(tmp_path, test)


def test_an_end_that_is_given_counts_as_that_of_a_full_sync(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        await workers.mine_all(5)
        at = [pb.Position(topic="orders", partition=n, offset=3) for n in (0, 2)]
        end = pb.Positions(positions=at)
        async with workers.open("one", mode=pb.FULL, end=end) as one:
            await until(one.serving.done)
            one.serving.result()
            assert sorted(one.rows) == [(n, offset) for n in (0, 2) for offset in range(3)]
            await workers.commit({0: 3}, one.epochs)
            assert not workers.plan.subscriptions.get("copies").record.full_sync_done
            await workers.commit({2: 3}, one.epochs)
            assert workers.plan.subscriptions.get("copies").record.full_sync_done

    play(tmp_path, test)


def test_a_topic_that_comes_to_a_group_of_none_begins_at_its_first_record(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        async with workers.open(
            "one", mode=pb.INCREMENTAL, topics=[], topic_expression="ord.*"
        ) as one:
            workers.lookup.topics["orders"] = (0,)
            workers.lookup.ends["orders", 0] = 3
            await workers.plan.sources.look(workers.plan.source)
            await workers.plan.assignments.create_logs(workers.plan.source, ["orders"])
            await workers.mine(0, 0, 3)
            await until(lambda: one.offsets(0) == [0, 1, 2])

    play(tmp_path, test, partitions=0)


def test_takeover_between_one_and_many_reset_and_delete(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        await workers.mine_all(5)
        async with workers.open("one") as one, workers.open("two") as two:
            await until(lambda: bool(one.has and two.has))
            epochs = dict(two.epochs)
            async with workers.open(sharing=pb.EXCLUSIVE) as alone:
                for each in (one, two):
                    await until(lambda each=each: each.serving.done())  # type: ignore[misc]
                    assert each.failure.reason == "SUBSCRIPTION_TAKEN_OVER"
                (started,) = alone.heard("started")
                assert len(started.positions) == 4
                with pytest.raises(Superseded):
                    await workers.commit({max(epochs): 1}, epochs)
                async with workers.open("three") as three:
                    await until(alone.serving.done)
                    assert alone.failure.reason == "SUBSCRIPTION_TAKEN_OVER"
                    await until(lambda: len(three.rows) == 20)
                    await workers.plan.subscriptions.reset("copies", {}, forget_full_sync=False)
                    await until(three.serving.done)
                    assert three.failure.reason == "SUBSCRIPTION_RESET"
        async with workers.open("four") as four, workers.open("five") as five:
            await until(lambda: bool(four.has and five.has))
            assert min(four.epochs.values()) > max(epochs.values())
            await workers.plan.subscriptions.delete("copies")
            for each in (four, five):
                await until(lambda each=each: each.serving.done())  # type: ignore[misc]
                assert each.failure.reason == "SUBSCRIPTION_DELETED"

    play(tmp_path, test)


def test_who_does_not_know_of_the_next_group_has_lost_partitions_and_not_its_place(
    tmp_path: Path,
) -> None:
    async def test(workers: Workers) -> None:
        await workers.mine_all(5)
        async with workers.open("one") as one:
            await until(lambda: len(one.rows) == 20)
        epoch = workers.plan.subscriptions.get("copies").record.epoch
        async with workers.open("two") as two:
            await until(lambda: len(two.has) == 4)
            at = {ORDERS.partition(0): 5}
            epochs = {ORDERS.partition(0): one.epochs[0]}
            with pytest.raises(Superseded) as refused:
                await workers.plan.subscriptions.commit("copies", epoch, at, epochs)
            assert refused.value.reason == "PARTITION_REVOKED"
            with pytest.raises(Superseded) as refused:
                await workers.plan.subscriptions.commit("copies", epoch, at)
            assert refused.value.reason == "SUBSCRIPTION_TAKEN_OVER"
            with pytest.raises(Superseded) as refused:
                await workers.plan.subscriptions.commit("copies", epoch + 1, at)
            assert refused.value.reason == "PARTITION_REVOKED"
        # Nor when that group has gone again.
        with pytest.raises(Superseded) as refused:
            await workers.plan.subscriptions.commit("copies", epoch, at, epochs)
        assert refused.value.reason == "PARTITION_REVOKED"

    play(tmp_path, test)


def test_members_that_want_something_else_are_refused(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        await workers.mine_all(5)
        async with workers.open("one") as one:
            for other in (
                {"mode": pb.INCREMENTAL},
                {"gap_policy": pb.GO_ON_BEHIND_GAP},
                {"topics": [], "topic_expression": "orders"},
                {"filter_text": 'key == "a"'},
                {"end": pb.Positions(positions=[pb.Position(topic="orders", offset=9)])},
            ):
                async with workers.open("two", **other) as two:
                    assert isinstance(two.failure, PreconditionFailed)
                    assert two.failure.reason == "SHARING_CONTRADICTED"
            await until(lambda: one.has == [0, 1, 2, 3])
            assert not one.serving.done()

    play(tmp_path, test)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"sharing": 9}, "UNKNOWN_SHARING"),
        ({"sharing": pb.EXCLUSIVE, "member": "one"}, "SHARING_CONTRADICTED"),
        ({"sharing": pb.SHARED, "member": "a/b"}, "INVALID_MEMBER_NAME"),
    ],
)
def test_what_does_not_go_together(request_: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        subscribe_call(
            pb.SubscribeRequest(subscription="s", topics=["t"], mode=pb.FULL, **request_)
        )
    assert refused.value.reason == reason


def test_members_are_shown_with_what_they_have(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        await workers.mine_all(5)

        def shown() -> Any:
            return views.subscription(workers.plan.subscriptions.get("copies"), workers.plan.store)

        async with workers.open("one") as one:
            await until(lambda: len(one.rows) == 20)
            epochs = dict(one.epochs)
            async with workers.open("two"):
                await until(lambda: bool(one.revoked))
                found = shown()
                assert (found.sharing, found.connected) == (pb.SHARED, True)
                first, second = found.members
                assert (first.name, second.name) == ("one", "two")
                assert [(p.partition, p.offset) for p in first.positions] == [(0, 5), (1, 5)]
                assert [(p.partition, p.epoch) for p in first.revoked] == [
                    (2, epochs[2]),
                    (3, epochs[3]),
                ]
                assert sorted(p.position.partition for p in found.delivering) == [0, 1, 2, 3]
        assert not shown().members
        assert not shown().connected

    play(tmp_path, test, sharing=PATIENT)


def test_a_partition_that_cannot_be_asked_joins_later_with_its_member(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        workers.lookup.silent = {("orders", 3)}
        async with workers.open("one") as one, workers.open("two") as two:
            await until(lambda: len(one.has) + len(two.has) == 3)
            await until(
                lambda: any(
                    p.partition == 3 and p.mining_error.startswith("SOURCE_UNREACHABLE")
                    for each in (one, two)
                    for told in each.heard("progress")
                    for p in told.partitions
                )
            )
            workers.lookup.silent.clear()
            await until(lambda: len(one.has) == len(two.has) == 2)

    play(tmp_path, test)
