"""Bars over offsets, as literal offsets in and pieces out."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.v1.admin_pb2 import Journal, JournalState, Segment
from cachesvc.v1.log_cache_pb2 import (
    GapCause,
    MiningState,
    OffsetRange,
    PartitionOffsets,
    Position,
    Subscription,
    SubscriptionPartition,
)
from cachesvc.web.pages.coverage import (
    MARKS_MAX,
    SCALE,
    Bar,
    Piece,
    bar_of,
    joined,
    missing_of,
    positions_of,
)


def told(
    start: int, end: int, source: int | None = None, *older: tuple[int, int]
) -> PartitionOffsets:
    return PartitionOffsets(
        log_start_offset=start,
        log_end_offset=end,
        source_high_watermark=source,
        mining_state=MiningState.MINING,
        older=[OffsetRange(begin_offset=a, end_offset=b) for a, b in older],
    )


def segment(begin: int, end: int, records: int | None = None, rejects: int = 0) -> Segment:
    count = end - begin if records is None else records
    return Segment(
        base_offset=begin, end_offset=end, record_count=count, reject_count=rejects, bytes=1_000
    )


def shape(bar: Bar) -> list[tuple[str, int, int, float, float]]:
    return [(each.kind, each.begin, each.end, each.x, each.width) for each in bar.pieces]


def test_a_bar_reaches_from_the_first_segment_to_the_end_of_the_source() -> None:
    warm = Journal(base_offset=500, end_offset=600, state=JournalState.WARM)
    active = Journal(base_offset=600, end_offset=800, record_count=200, state=JournalState.ACTIVE)
    backfill = OffsetRange(begin_offset=200, end_offset=300)
    partition = told(500, 800, 1_000, (0, 200))
    partition.backfill.CopyFrom(backfill)
    bar = bar_of(partition, [segment(500, 600), segment(0, 200)], [active, warm], {})
    assert (bar.begin, bar.end, bar.lag) == (0, 1_000, 200)
    assert shape(bar) == [
        ("segment", 0, 200, 0, 200),
        ("backfill", 200, 300, 200, 100),
        ("segment", 500, 600, 500, 100),
        ("journal", 600, 800, 600, 200),
    ]
    assert bar.missing == [(200, 500)]
    assert (bar.state, bar.mood) == ("mining", "good")
    assert bar.label == (
        "partition 0: offsets 500 to 800 are cached, 1 ranges below are missing, 200 more are at "
        "the source"
    )


def test_what_is_lost_lies_on_top() -> None:
    partition = told(0, 100)
    partition.lost.add(begin_offset=40, end_offset=60, cause=GapCause.STORE_DAMAGED)
    bar = bar_of(partition, [segment(0, 100)], [], {})
    assert shape(bar) == [("segment", 0, 100, 0, 1_000), ("gap", 40, 60, 400, 200)]
    assert bar.pieces[1].title == "gap: offsets 40 to 60, store damaged"
    assert bar.label.endswith("are cached, 1 are lost")


def test_nothing_is_cached_yet() -> None:
    bar = bar_of(told(7, 7), [], [], {})
    assert (bar.begin, bar.end, list(bar.pieces), bar.lag) == (7, 7, [], None)


def test_holes_are_offsets_that_neither_have_a_record_nor_had_one_turned_away() -> None:
    bar = bar_of(told(0, 100), [segment(0, 100, 90, 4)], [], {})
    assert bar.holes == 6
    assert "offsets without a record: 6" in bar.pieces[0].title


def test_marks_lie_within_the_bar_and_are_bounded() -> None:
    bar = bar_of(
        told(100, 200), [segment(100, 200)], [], {"b": 150, "a": 150, "far": 5, "end": 200}
    )
    assert [(mark.name, mark.lag, mark.x) for mark in bar.marks] == [
        ("far", 195, 0),
        ("a", 50, 500),
        ("b", 50, 500),
        ("end", 0, SCALE),
    ]
    many = bar_of(told(0, 100), [], [], {f"s{number}": 1 for number in range(MARKS_MAX + 3)})
    assert (len(many.marks), many.marks_left) == (MARKS_MAX, 3)


def test_missing_ranges_lie_between_what_is_cached() -> None:
    assert missing_of(told(50, 60, None, (0, 10), (10, 20), (30, 50))) == [(20, 30)]
    assert missing_of(told(50, 60)) == []


@given(
    st.lists(st.tuples(st.sampled_from(["segment", "journal"]), st.integers(1, 9)), max_size=120),
    st.integers(20, 60),
)
def test_joined_pieces_cover_what_they_were_made_of(
    sizes: list[tuple[str, int]], count_max: int
) -> None:
    pieces, at = [], 0
    for kind, size in sorted(sizes, reverse=True):  # segments lie before journals
        pieces.append(Piece(kind, at, at + size, size, 10 * size))
        at += size
    found = joined(pieces, count_max)
    assert len(found) <= count_max
    assert sum(each.files for each in found) == len(pieces)
    assert sum(each.records or 0 for each in found) == at
    assert sum(each.bytes for each in found) == 10 * at
    assert all(one.end == other.begin for one, other in pairwise(found))


def test_where_a_stream_is_goes_before_what_is_stored() -> None:
    def row(topic: str, partition: int, offset: int, incarnation: int = 1) -> SubscriptionPartition:
        position = Position(
            topic=topic, partition=partition, incarnation=incarnation, offset=offset
        )
        return SubscriptionPartition(position=position)

    billing = Subscription(
        name="billing",
        partitions=[row("orders", 0, 5), row("orders", 1, 6), row("items", 0, 7)],
        delivering=[row("orders", 0, 9)],
    )
    old = Subscription(name="old", partitions=[row("orders", 0, 3, incarnation=2)])
    assert positions_of([billing, old], "orders", 1) == {0: {"billing": 9}, 1: {"billing": 6}}
