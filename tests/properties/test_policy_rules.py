"""Sealing and start positions for any input."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.model import Mode
from cachesvc.policy.sealing import SealLimits, should_seal
from cachesvc.policy.start_position import (
    At,
    FromEarliest,
    FromLatest,
    FromPosition,
    FromTimestamp,
    NeedsSourceEnd,
    NeedsSourceStart,
    NeedsTimestampLookup,
    PartitionFacts,
    after_lookup,
    start_position,
)

OFFSETS = st.integers(0, 100)


@given(
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(0, 20),
    st.builds(SealLimits, st.integers(1, 20), st.integers(1, 20), st.integers(1, 20)),
)
def test_sealing_never_goes_back(size: int, records: int, age_ms: int, limits: SealLimits) -> None:
    cause = should_seal(size, records, 0, age_ms, limits)
    if cause is None:
        assert should_seal(0, 0, 0, age_ms, limits) is None
    else:
        assert should_seal(size + 1, records + 1, 0, age_ms + 1, limits) is not None


@st.composite
def partitions(draw: st.DrawFn) -> PartitionFacts:
    log_start = draw(OFFSETS)
    log_end = draw(st.integers(log_start, 150))
    start = draw(
        st.none()
        | st.just(FromEarliest())
        | st.just(FromLatest())
        | st.builds(FromTimestamp, st.integers(0, 9))
        | st.builds(FromPosition, OFFSETS)
    )
    return PartitionFacts(
        draw(st.sampled_from(Mode)),
        start,
        draw(st.none() | OFFSETS),
        draw(st.booleans()),
        log_start,
        log_end,
        draw(st.none() | st.integers(log_end, 200)),
        draw(st.none() | OFFSETS),
        draw(st.booleans()),
    )


@given(partitions(), OFFSETS, st.integers(150, 200), st.none() | OFFSETS)
def test_asking_ends_and_nothing_that_was_asked_for_is_left_out(
    facts: PartitionFacts, source_start: int, source_end: int, found: int | None
) -> None:
    asked: list[type] = []
    decision = start_position(facts)
    while not isinstance(decision, At):
        assert type(decision) not in asked, "nothing is asked for twice"
        asked.append(type(decision))
        match decision:
            case NeedsSourceStart():
                assert facts.source_start is None
                facts = replace(facts, source_start=source_start)
            case NeedsSourceEnd():
                assert facts.source_end is None
                facts = replace(facts, source_end=source_end)
            case NeedsTimestampLookup():
                facts = replace(facts, start=after_lookup(found))
        decision = start_position(facts)
    earliest = min(facts.log_start, facts.source_start or 0)
    match facts.start:
        case FromPosition(offset):
            assert decision == At(offset)
        case FromEarliest():
            assert decision == At(earliest)
        case None if facts.stored is not None:
            assert decision == At(facts.stored)
        case None if facts.added_later:
            assert decision == At(earliest)
        case FromLatest():
            assert decision.offset >= facts.log_end
