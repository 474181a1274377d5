import pytest

from cachesvc.mining.kafka.fetch_state import UNKNOWN_TOPIC_OR_PARTITION, FetchState
from cachesvc.mining.kafka.record_batches import KafkaBatch
from cachesvc.mining.source import EARLIEST, ProblemReason, SourcePartition

PARTITION = SourcePartition("orders", 0)


def state(offset: int = 10, *, known: bool = True) -> FetchState:
    made = FetchState(PARTITION, offset, 1_000)
    if known:
        made.identify("id-1")
    return made


def batch(begin: int, end: int, epoch: int = -1) -> KafkaBatch:
    return KafkaBatch(PARTITION, begin, end, b"", leader_epoch=epoch)


def reason(of: FetchState) -> ProblemReason | None:
    return None if of.problem is None else of.problem.reason


def test_a_new_partition_has_to_be_looked_at_first() -> None:
    new = state(known=False)
    before = (new.unsettled, new.fetchable)

    new.identify("id-1")

    assert before == (True, False)
    assert (new.unsettled, new.fetchable) == (False, True)


def test_the_earliest_offset_has_to_be_asked_for() -> None:
    new = state(EARLIEST)
    before = (new.unsettled, new.fetchable)

    new.locate(7, 20)

    assert before == (True, False)
    assert (new.offset, new.fetchable) == (7, True)


def test_retention_that_passes_before_anything_was_fetched_is_no_loss() -> None:
    new = state(EARLIEST)
    new.locate(7, 20)
    new.out_of_range = True

    new.locate(12, 20)

    assert new.offset == 12
    assert new.problem is None


def test_retention_that_passes_a_position_is_a_named_gap() -> None:
    late = state(10)
    late.out_of_range = True

    late.locate(15, 20)

    assert late.given_up
    assert str(late.problem) == (
        "SOURCE_RETENTION: orders/0: the source deleted [10, 15) before it was mined"
    )


def test_retention_after_the_first_fetch_is_a_gap_too() -> None:
    begun = state(EARLIEST)
    begun.locate(7, 20)
    begun.buffer(batch(7, 9))
    begun.out_of_range = True

    begun.locate(12, 20)

    assert reason(begun) is ProblemReason.SOURCE_RETENTION


def test_a_source_that_ends_before_the_position_lost_records() -> None:
    ahead = state(10)

    ahead.locate(0, 9)

    assert reason(ahead) is ProblemReason.SOURCE_TRUNCATED
    assert ahead.given_up


@pytest.mark.parametrize("offset", [5, 7, 9])
def test_an_offset_that_is_there_after_all_is_fetched(offset: int) -> None:
    fine = state(offset)
    fine.out_of_range = True

    fine.locate(5, 9)

    assert fine.fetchable
    assert fine.offset == offset


def test_another_topic_of_the_same_name_is_given_up() -> None:
    old = state()
    old.buffered = batch(10, 11)

    old.identify("id-2")

    assert reason(old) is ProblemReason.TOPIC_RECREATED
    assert old.given_up
    assert old.buffered is None


def test_clusters_without_ids_are_fine() -> None:
    old = state(known=False)

    old.identify("")
    old.identify("")

    assert old.fetchable


def test_a_watermark_that_falls_makes_the_topic_suspect() -> None:
    fetched = state()

    assert fetched.note_watermark(20, 1.0)
    assert fetched.note_watermark(20, 2.0)
    assert not fetched.note_watermark(5, 3.0)

    assert fetched.suspect
    assert fetched.high_watermark == 5
    fetched.identify("id-1")
    assert fetched.fetchable
    assert fetched.note_watermark(5, 4.0)


def test_a_deleted_topic_is_looked_at_until_it_is_back() -> None:
    gone = state()

    gone.refuse(UNKNOWN_TOPIC_OR_PARTITION, "UnknownTopicOrPartitionError")

    assert reason(gone) is ProblemReason.UNKNOWN_TOPIC
    assert gone.unsettled
    assert not gone.given_up
    gone.identify("id-1")
    gone.works()
    assert gone.fetchable
    assert gone.problem is None


@pytest.mark.parametrize(
    ("code", "expected"),
    [(29, ProblemReason.TOPIC_NOT_AUTHORIZED), (6, ProblemReason.SOURCE_ERROR)],
)
def test_other_refusals(code: int, expected: ProblemReason) -> None:
    refused = state()

    refused.refuse(code, "NameOfIt")

    assert reason(refused) is expected
    assert refused.unsettled


def test_a_final_problem_stays() -> None:
    lost = state()
    lost.fail(ProblemReason.SOURCE_RETENTION, "gone")

    lost.works()
    lost.fail(ProblemReason.SOURCE_UNREACHABLE, "away")
    lost.identify("id-1")

    assert reason(lost) is ProblemReason.SOURCE_RETENTION
    assert not lost.fetchable
    assert not lost.unsettled


def test_what_keeps_a_partition_from_being_fetched() -> None:
    for attribute in ("suspect", "out_of_range", "paused"):
        one = state()
        setattr(one, attribute, True)
        assert not one.fetchable
    one = state()
    one.buffer(batch(10, 12))
    assert not one.fetchable
    assert one.offset == 12


def test_a_leader_of_another_epoch_has_to_prove_itself() -> None:
    begun = state()
    begun.leader_epoch = 2
    begun.buffer(batch(10, 12, 1))
    begun.prove(2)
    begun.buffered = None
    assert begun.fetchable

    begun.leader_epoch = 3
    assert (begun.unproven, begun.unsettled, begun.fetchable) == (True, True, False)
    begun.compare(3, 1, 12)

    assert (begun.unproven, begun.fetchable, begun.problem) == (False, True, None)


@pytest.mark.parametrize(("found_epoch", "end"), [(1, 11), (0, 50), (-1, -1)])
def test_a_leader_that_has_other_records_is_given_up(found_epoch: int, end: int) -> None:
    begun = state()
    begun.buffer(batch(10, 12, 1))
    begun.leader_epoch = 3

    begun.compare(3, found_epoch, end)

    assert reason(begun) is ProblemReason.SOURCE_TRUNCATED
    assert begun.buffered is None
    assert not begun.unsettled


def test_what_comes_from_the_leader_before_has_to_be_compared_again() -> None:
    begun = state()
    begun.epoch, begun.leader_epoch = 1, 2
    begun.prove(2)
    # A fetch was on its way while its successor was asked.
    begun.leader_epoch = 3
    begun.compare(3, 1, 10)
    begun.buffer(batch(10, 12, 2))
    begun.prove(2)

    assert begun.unproven


@pytest.mark.parametrize(("epoch", "leader_epoch"), [(-1, 5), (5, 5), (5, -1)])
def test_nothing_has_to_be_proven_without_another_epoch(epoch: int, leader_epoch: int) -> None:
    fine = state()
    fine.epoch, fine.leader_epoch = epoch, leader_epoch

    assert not fine.unproven
    assert fine.fetchable
