"""The checker finds each anomaly, and finds nothing where all is well."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.support.checker import Anomaly, AnomalyKind, Delivery, Observation, Restart, check


@dataclass(frozen=True, slots=True)
class TrueRecord:
    """A record as the broker has it."""

    offset: int
    value: bytes | None


def value_of(offset: int) -> bytes | None:
    """Return the true value at an offset; every fifth record is a tombstone."""
    return None if offset % 5 == 0 else b"value %d" % offset


def truth_of(*offsets: int) -> dict[int, list[TrueRecord]]:
    """Return a truth with these offsets in partition 0."""
    return {0: [TrueRecord(offset, value_of(offset)) for offset in offsets]}


def saw(*events: int | Restart, begin: int = 0, end: int | None = None) -> Observation:
    """Return what a task saw of partition 0: true values at these offsets."""
    stream: list[Delivery | Restart] = [
        event if isinstance(event, Restart) else (event, value_of(event)) for event in events
    ]
    return Observation("task", 0, stream, begin, end)


def found(
    kind: AnomalyKind, begin: int, end: int, *, stream: int | None = 0, records: int = 1
) -> Anomaly:
    """Return the anomaly that is expected of `saw`."""
    return Anomaly(kind, "task", 0, stream, begin, end, records)


@pytest.mark.parametrize(
    "observation",
    [
        pytest.param(saw(1, 2, 4, 7), id="all in order, over the source's own holes"),
        pytest.param(saw(2, 4, 7, begin=2), id="from a position on a record"),
        pytest.param(saw(7, begin=5), id="from a position in a hole"),
        pytest.param(saw(1, 2, end=4), id="up to an end"),
        pytest.param(saw(begin=8), id="from the end of the log"),
        pytest.param(saw(1, 2, Restart(3), 4, 7), id="restart where it stopped"),
        pytest.param(saw(1, 2, 4, Restart(2), 2, 4, 7), id="restart repeats what was uncommitted"),
        pytest.param(saw(1, Restart(0), Restart(0), 1, 2, 4, 7), id="streams without deliveries"),
    ],
)
def test_nothing_is_wrong(observation: Observation) -> None:
    assert check(truth_of(1, 2, 4, 7), [observation]) == []


def test_lost_at_the_end() -> None:
    lost = found(AnomalyKind.LOST, 4, 8, stream=None, records=2)
    assert check(truth_of(1, 2, 4, 7), [saw(1, 2)]) == [lost]


def test_lost_between_two_streams_is_skipped_by_the_second_only_if_it_was_asked_for() -> None:
    lost = found(AnomalyKind.LOST, 2, 3, stream=None)
    skipped = found(AnomalyKind.SKIPPED, 2, 3, stream=1)
    assert check(truth_of(1, 2, 3), [saw(1, Restart(3), 3)]) == [lost]
    assert check(truth_of(1, 2, 3), [saw(1, Restart(2), 3)]) == [skipped, lost]


def test_lost_is_reported_in_runs() -> None:
    assert check(truth_of(1, 2, 4, 5, 7), [saw(4, begin=4), saw()]) == [
        found(AnomalyKind.LOST, 5, 8, stream=None, records=2),
        found(AnomalyKind.LOST, 1, 8, stream=None, records=5),
    ]


def test_skipped_but_delivered_by_a_later_stream() -> None:
    observation = saw(1, 4, 6, Restart(2), 2, 3, 4, 5, 6)
    assert check(truth_of(1, 2, 3, 4, 5, 6), [observation]) == [
        found(AnomalyKind.SKIPPED, 2, 4, records=2),
        found(AnomalyKind.SKIPPED, 5, 6),
    ]


def test_skipped_at_the_beginning() -> None:
    assert check(truth_of(1, 2, 3), [saw(2, 3)]) == [
        found(AnomalyKind.SKIPPED, 1, 2),
        found(AnomalyKind.LOST, 1, 2, stream=None),
    ]


def test_duplicated_within_one_stream() -> None:
    duplicated = found(AnomalyKind.DUPLICATED, 2, 3)
    assert check(truth_of(1, 2, 3), [saw(1, 2, 2, 3)]) == [duplicated]
    assert check(truth_of(1, 2, 3), [saw(1, 2, 3, 2)]) == [duplicated]


def test_reordered_is_not_skipped() -> None:
    reordered = found(AnomalyKind.REORDERED, 2, 3)
    assert check(truth_of(1, 2, 3), [saw(1, 3, 2)]) == [reordered]


def test_went_back_behind_its_position() -> None:
    went_back = found(AnomalyKind.WENT_BACK, 1, 2, stream=1)
    assert check(truth_of(1, 2, 3), [saw(1, 2, Restart(3), 1, 3)]) == [went_back]


@pytest.mark.parametrize(("offset", "value"), [(1, b"other"), (1, None), (5, b""), (1, b"")])
def test_value_mismatch(offset: int, value: bytes | None) -> None:
    mismatch = found(AnomalyKind.VALUE_MISMATCH, offset, offset + 1)
    observation = Observation("task", 0, [(offset, value)])
    assert check(truth_of(offset), [observation]) == [mismatch]


def test_phantom() -> None:
    assert check(truth_of(1, 3), [saw(1, 2, 3)]) == [found(AnomalyKind.PHANTOM, 2, 3)]


def test_aborted_read_is_told_from_a_phantom() -> None:
    anomalies = check(truth_of(1, 4), [saw(1, 2, 3, 4)], uncommitted=truth_of(1, 2, 4))
    assert anomalies == [
        found(AnomalyKind.ABORTED_READ, 2, 3),
        found(AnomalyKind.PHANTOM, 3, 4),
    ]


def test_tasks_and_partitions_are_apart() -> None:
    truth = {0: [TrueRecord(0, b"a"), TrueRecord(1, b"b")], 1: [TrueRecord(0, b"c")], 2: []}
    anomalies = check(
        truth,
        [
            Observation("first", 0, [(0, b"a"), (1, b"b")]),
            Observation("first", 1, [(0, b"a")]),
            Observation("first", 2, []),
            Observation("second", 0, [(1, b"b"), (0, b"a")]),
        ],
    )
    assert anomalies == [
        Anomaly(AnomalyKind.VALUE_MISMATCH, "first", 1, 0, 0, 1),
        Anomaly(AnomalyKind.REORDERED, "second", 0, 0, 0, 1),
    ]


def test_several_anomalies_of_one_record() -> None:
    observation = Observation("task", 0, [(1, b"value 1"), (1, b"other")])
    assert check(truth_of(1), [observation]) == [
        found(AnomalyKind.VALUE_MISMATCH, 1, 2),
        found(AnomalyKind.DUPLICATED, 1, 2),
    ]


def test_a_line_for_a_person() -> None:
    assert str(found(AnomalyKind.SKIPPED, 2, 4, records=2)) == (
        "skipped: task task, partition 0, stream 0, offsets [2, 4), 2 records"
    )
    assert str(found(AnomalyKind.LOST, 2, 3, stream=None)) == (
        "lost: task task, partition 0, offsets [2, 3), 1 record"
    )


def test_the_truth_must_be_one() -> None:
    with pytest.raises(ValueError, match="do not grow"):
        check(truth_of(1, 1), [])
    with pytest.raises(KeyError):
        check(truth_of(1), [Observation("task", 3, [])])
