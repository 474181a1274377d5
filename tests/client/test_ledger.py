"""The ledger: literal positions before and after."""

from __future__ import annotations

import pytest

from cachesvc.client import (
    Batch,
    DataLoss,
    Ended,
    MiningState,
    PartitionAdded,
    PartitionProgress,
    Position,
    PositionNotDelivered,
    Positions,
    Progress,
    Started,
)
from cachesvc.client.incoming import received
from cachesvc.client.ledger import Ledger
from cachesvc.v1 import log_cache_pb2 as pb
from tests.client import fake_log


def at(partition: int, offset: int, incarnation: int = 1) -> Position:
    return Position("orders", partition, offset, incarnation)


def started(*positions: Position, end: tuple[Position, ...] = ()) -> Started:
    return Started(1, Positions(positions), Positions(end), "main")


def progress(*positions: Position) -> Progress:
    state = MiningState.MINING
    return Progress(tuple(PartitionProgress(each, 99, None, state, "") for each in positions))


def batch(
    partition: int, offsets: list[int], next_position: int | None = None, incarnation: int = 1
) -> Batch:
    key = ("orders", partition)
    records = [fake_log.record(key, offset) for offset in offsets]
    message = fake_log.encode(key, records, next_position or offsets[-1] + 1)
    message.incarnation = incarnation
    (made,) = received(pb.SubscribeResponse(batch=message).SerializeToString())
    assert isinstance(made, Batch)
    return made


def offsets_of(received: object) -> list[int] | None:
    if received is None:
        return None
    assert isinstance(received, Batch)
    return [record.offset for record in received]


def test_everything_begins_where_the_stream_started() -> None:
    ledger = Ledger()
    assert ledger.end is None
    ledger.receive(started(at(0, 5), at(1, 0), end=(at(0, 9),)))
    assert ledger.received == ledger.handed_out == Positions([at(0, 5), at(1, 0)])
    assert ledger.end == Positions([at(0, 9)])


def test_received_and_handed_out_go_their_own_ways() -> None:
    ledger = Ledger()
    ledger.receive(started(at(0, 5), at(1, 0)))
    first, second = batch(0, [5, 6, 8], 11), batch(0, [11])
    ledger.receive(first)
    ledger.receive(second)
    assert ledger.received == Positions([at(0, 12), at(1, 0)])
    assert ledger.handed_out == Positions([at(0, 5), at(1, 0)])
    ledger.hand_out(first)
    assert ledger.handed_out == Positions([at(0, 11), at(1, 0)])


@pytest.mark.parametrize(
    ("sent", "passed_on"),
    [
        ([7, 8], None),
        ([8, 9], None),
        ([8, 9, 10, 12], [10, 12]),
        ([10, 12], [10, 12]),
        ([11, 12], [11, 12]),
    ],
)
def test_what_was_received_before_is_not_passed_on_again(
    sent: list[int], passed_on: list[int] | None
) -> None:
    ledger = Ledger()
    ledger.receive(started(at(0, 10)))
    assert offsets_of(ledger.receive(batch(0, sent))) == passed_on
    assert ledger.received["orders", 0].offset == max(10, sent[-1] + 1)


def test_partitions_join_and_are_remembered() -> None:
    ledger = Ledger()
    ledger.receive(started(at(0, 5)))
    ledger.receive(PartitionAdded(at(1, 0)))
    assert ledger.received == ledger.handed_out == Positions([at(0, 5), at(1, 0)])
    ledger.receive(batch(1, [0, 1]))
    ledger.receive(PartitionAdded(at(1, 0)))
    ledger.receive(batch(2, [3]))
    assert ledger.received == Positions([at(0, 5), at(1, 2), at(2, 4)])
    ledger.receive(started(at(0, 5), at(1, 2), at(2, 4), at(3, 0)))
    assert ledger.received == Positions([at(0, 5), at(1, 2), at(2, 4), at(3, 0)])


def test_a_next_incarnation_of_a_topic_begins_anew() -> None:
    ledger = Ledger()
    ledger.receive(started(at(0, 50)))
    ledger.receive(PartitionAdded(at(0, 0, 2)))
    assert ledger.receive(batch(0, [50, 51])) is None
    new = batch(0, [0, 1], incarnation=2)
    assert offsets_of(ledger.receive(new)) == [0, 1]
    assert ledger.handed_out == Positions([at(0, 50)])
    ledger.hand_out(new)
    assert ledger.handed_out == Positions([at(0, 2, 2)])


def test_a_service_that_goes_on_too_far_ahead_has_lost_records() -> None:
    ledger = Ledger()
    ledger.receive(started(at(0, 5)))
    ledger.receive(batch(0, [5, 6]))
    ledger.receive(started(at(0, 6)))
    ledger.receive(started(at(0, 7)))
    with pytest.raises(DataLoss, match="at offset 8 of incarnation 1 instead of 7 of 1"):
        ledger.receive(started(at(0, 8)))
    with pytest.raises(DataLoss):
        ledger.receive(started(at(0, 0, 2)))


def test_the_end_is_that_of_the_first_connection_and_complete_when_handed_out() -> None:
    ledger = Ledger()
    ledger.receive(started(at(0, 0), end=(at(0, 10),)))
    ledger.receive(started(at(0, 0), end=(at(0, 99),)))
    assert ledger.end == Positions([at(0, 10)])
    ledger.hand_out(batch(0, [0, 7]))
    ledger.hand_out(Ended(Positions([at(0, 10)])))
    assert ledger.handed_out == Positions([at(0, 10)])


def test_progress_covers_holes_at_the_end() -> None:
    ledger = Ledger()
    ledger.receive(started(at(0, 0), at(1, 5)))
    first = batch(0, [0, 7])
    reached = progress(at(0, 10), at(1, 4), at(2, 3), at(1, 9, 2))
    ledger.receive(first)
    ledger.receive(reached)
    assert ledger.received == Positions([at(0, 10), at(1, 5)])
    assert ledger.handed_out == Positions([at(0, 0), at(1, 5)])
    ledger.hand_out(first)
    assert ledger.handed_out == Positions([at(0, 8), at(1, 5)])
    ledger.hand_out(reached)
    assert ledger.handed_out == Positions([at(0, 10), at(1, 5)])


def test_a_commit_is_bounded_by_what_was_delivered() -> None:
    ledger = Ledger()
    delivered = Positions([at(0, 10)])
    assert ledger.to_commit(Positions([at(0, 10)]), delivered) == Positions([at(0, 10)])
    assert ledger.to_commit(Positions([at(0, 3, 0)]), delivered) == Positions([at(0, 3)])
    with pytest.raises(
        PositionNotDelivered, match=r"at offset 11: .* handed out up to 10"
    ) as error:
        ledger.to_commit(Positions([at(0, 11)]), delivered)
    assert error.value.metadata == {"topic": "orders", "partition": "0"}
    with pytest.raises(PositionNotDelivered, match="does not read it"):
        ledger.to_commit(Positions([at(1, 0)]), delivered)


def test_a_commit_sends_only_what_moves_forward() -> None:
    ledger = Ledger()
    delivered = Positions([at(0, 10), at(1, 10)])
    ledger.committed(Positions([at(0, 7)]))
    assert ledger.to_commit(delivered, delivered) == delivered
    assert ledger.to_commit(Positions([at(0, 7), at(1, 0)]), delivered) == Positions([at(1, 0)])
    assert not ledger.to_commit(Positions([at(0, 6)]), delivered)
    ledger.committed(Positions([at(0, 5)]))
    assert not ledger.to_commit(Positions([at(0, 7)]), delivered)
