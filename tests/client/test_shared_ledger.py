"""The ledger of a member: literal positions before and after."""

from __future__ import annotations

import pytest

from cachesvc.client import (
    Batch,
    Ended,
    Event,
    MiningState,
    PartitionProgress,
    PartitionsAssigned,
    PartitionsRevoked,
    Position,
    PositionNotDelivered,
    Positions,
    Progress,
    Started,
)
from cachesvc.client.incoming import received
from cachesvc.client.shared_ledger import SharedLedger
from cachesvc.v1 import log_cache_pb2 as pb
from tests.client import fake_log

FIRST = ("orders", 0)


def at(partition: int, offset: int) -> Position:
    return Position("orders", partition, offset, 1)


def batch(partition: int, *offsets: int) -> Batch:
    key = ("orders", partition)
    records = [fake_log.record(key, offset) for offset in offsets]
    message = fake_log.encode(key, records, offsets[-1] + 1)
    (made,) = received(pb.SubscribeResponse(batch=message).SerializeToString())
    assert isinstance(made, Batch)
    return made


def assigned(epoch: int, *starts: Position) -> PartitionsAssigned:
    return PartitionsAssigned(Positions(starts), {each.key: epoch for each in starts})


def started(epoch: int = 1) -> Started:
    return Started(epoch, Positions(), Positions(), "main", member="one")


def given(*events: Event) -> SharedLedger:
    """A ledger whose caller was told all of these."""
    ledger = SharedLedger()
    for each in events:
        tell(ledger, each)
    return ledger


def tell(ledger: SharedLedger, told: Event) -> None:
    assert ledger.receive(told) is not None
    ledger.hand_out(told)


def sent(ledger: SharedLedger, *wanted: Position) -> dict[tuple[str, int], tuple[int, int]]:
    """What a commit sends: offset and epoch of each partition."""
    positions = ledger.to_commit(Positions(wanted) or ledger.handed_out, ledger.handed_out)
    return {key: (each.offset, ledger.epoch(key)) for key, each in positions.items()}


def test_a_batch_is_committed_under_the_epoch_of_its_partition() -> None:
    ledger = given(started(), assigned(7, at(0, 0), at(1, 5)))
    assert sent(ledger) == {}, "that is where they are stored"
    tell(ledger, batch(0, 0, 1, 2))
    assert sent(ledger) == {FIRST: (3, 7)}
    ledger.committed(Positions([at(0, 3)]))
    assert sent(ledger) == {}


def test_what_is_revoked_may_still_be_committed_holes_included() -> None:
    ledger = given(started(), assigned(7, at(0, 0)), batch(0, 0, 1))
    tell(ledger, PartitionsRevoked(Positions([at(0, 4)])))
    assert sent(ledger) == {FIRST: (4, 7)}
    ledger.lost({FIRST: 7}, [FIRST])
    assert sent(ledger) == {}
    assert sent(ledger, at(0, 2)) == {}, "late, and of nobody's use"
    with pytest.raises(PositionNotDelivered):
        sent(ledger, at(0, 5))


def test_an_epoch_counts_once_the_caller_knows_of_it() -> None:
    ledger = given(started(), assigned(7, at(0, 0)), batch(0, 0, 1))
    ledger.receive(PartitionsRevoked(Positions([at(0, 2)])))
    ledger.receive(again := assigned(9, at(0, 0)))
    assert sent(ledger, at(0, 2)) == {FIRST: (2, 7)}
    ledger.hand_out(PartitionsRevoked(Positions([at(0, 2)])))
    ledger.hand_out(again)
    assert sent(ledger, at(0, 2)) == {}, "behind what was handed out under the new epoch"
    tell(ledger, batch(0, 0))
    assert sent(ledger, at(0, 1)) == {FIRST: (1, 9)}
    with pytest.raises(PositionNotDelivered):
        sent(ledger, at(0, 3))


def test_a_refusal_under_an_old_epoch_takes_nothing_of_the_new_one() -> None:
    ledger = given(started(), assigned(7, at(0, 0)), batch(0, 0))
    tell(ledger, assigned(9, at(0, 0)))
    tell(ledger, batch(0, 0, 1))
    ledger.lost({FIRST: 7}, [FIRST])
    assert sent(ledger) == {FIRST: (2, 9)}


def test_records_come_again_after_a_lost_connection() -> None:
    ledger = given(started(), assigned(7, at(0, 0)), batch(0, 0, 1, 2))
    tell(ledger, started(2))
    assert sent(ledger) == {}
    assert sent(ledger, at(0, 3)) == {}
    tell(ledger, assigned(9, at(0, 1)))
    again = ledger.receive(batch(0, 1, 2))
    assert isinstance(again, Batch)
    assert [record.offset for record in again] == [1, 2]
    ledger.hand_out(again)
    assert sent(ledger) == {FIRST: (3, 9)}


def test_holes_and_the_end_are_covered() -> None:
    ledger = given(started(), assigned(7, at(0, 0)))
    state = MiningState.MINING
    tell(ledger, Progress((PartitionProgress(at(0, 5), 9, None, state, ""),)))
    assert sent(ledger) == {FIRST: (5, 7)}
    tell(ledger, Ended(Positions([at(0, 8)])))
    assert sent(ledger) == {FIRST: (8, 7)}


def test_another_partition_is_refused() -> None:
    ledger = given(started(), assigned(7, at(0, 0)))
    with pytest.raises(PositionNotDelivered):
        sent(ledger, at(1, 1))
