from __future__ import annotations

from dataclasses import replace

import pytest

from cachesvc.model import Mode
from cachesvc.policy.start_position import (
    At,
    ExplicitStart,
    FromEarliest,
    FromLatest,
    FromPosition,
    FromTimestamp,
    NeedsSourceEnd,
    NeedsSourceStart,
    NeedsTimestampLookup,
    PartitionFacts,
    StartPosition,
    after_lookup,
    first_at,
    postponed,
    start_position,
)

SOURCE_START, LOG_START, LOG_END, SOURCE_END = 40, 100, 200, 250

INCREMENTAL, FULL, BOTH = Mode.INCREMENTAL, Mode.FULL, Mode.FULL_AND_INCREMENTAL


def facts(
    mode: Mode = INCREMENTAL,
    start: ExplicitStart | None = None,
    stored: int | None = None,
    *,
    full_sync_done: bool = False,
    source_end: int | None = SOURCE_END,
    source_start: int | None = SOURCE_START,
    added_later: bool = False,
) -> PartitionFacts:
    return PartitionFacts(
        mode,
        start,
        stored,
        full_sync_done,
        LOG_START,
        LOG_END,
        source_end,
        source_start,
        added_later,
    )


@pytest.mark.parametrize(
    ("mode", "full_sync_done", "start"),
    [
        (FULL, False, At(SOURCE_START)),
        (FULL, True, At(SOURCE_START)),
        (INCREMENTAL, False, At(SOURCE_END)),
        (INCREMENTAL, True, At(SOURCE_END)),
        (BOTH, False, At(SOURCE_START)),
        (BOTH, True, At(SOURCE_END)),
    ],
)
def test_mode_decides_without_a_stored_position(
    mode: Mode, full_sync_done: bool, start: StartPosition
) -> None:
    assert start_position(facts(mode, full_sync_done=full_sync_done)) == start


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("full_sync_done", [False, True])
@pytest.mark.parametrize("added_later", [False, True])
@pytest.mark.parametrize("source_end", [None, SOURCE_END])
@pytest.mark.parametrize(
    ("stored", "start"),
    [
        (100, At(100)),
        (170, At(170)),
        (200, At(200)),
        # The log lost a tail that it mines again: wait there.
        (230, At(230)),
        # Not cached: mined again, or told as a gap.
        (99, At(99)),
        (0, At(0)),
    ],
)
def test_stored_position_wins_over_everything_but_an_explicit_start(
    mode: Mode,
    full_sync_done: bool,
    added_later: bool,
    source_end: int | None,
    stored: int,
    start: StartPosition,
) -> None:
    given = facts(
        mode,
        stored=stored,
        full_sync_done=full_sync_done,
        added_later=added_later,
        source_end=source_end,
    )
    assert start_position(given) == start


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("stored", [None, 0, 170])
@pytest.mark.parametrize(
    ("explicit", "start"),
    [
        (FromEarliest(), At(SOURCE_START)),
        (FromLatest(), At(SOURCE_END)),
        (FromTimestamp(5_000), NeedsTimestampLookup(5_000)),
        (FromPosition(100), At(100)),
        (FromPosition(180), At(180)),
        (FromPosition(230), At(230)),
        (FromPosition(99), At(99)),
    ],
)
def test_explicit_start_wins_over_stored_position_and_mode(
    mode: Mode, stored: int | None, explicit: ExplicitStart, start: StartPosition
) -> None:
    assert start_position(facts(mode, explicit, stored)) == start


@pytest.mark.parametrize(
    "given",
    [
        facts(INCREMENTAL, source_end=None),
        facts(BOTH, full_sync_done=True, source_end=None),
        facts(FULL, FromLatest(), source_end=None),
        # Asked before the lookup, so that nothing produced in between is left out.
        facts(FULL, FromTimestamp(5_000), source_end=None),
    ],
)
def test_the_source_is_asked_where_its_end_decides(given: PartitionFacts) -> None:
    assert start_position(given) == NeedsSourceEnd()


@pytest.mark.parametrize(
    "given",
    [
        facts(FULL, source_end=None),
        facts(BOTH, source_end=None),
        facts(INCREMENTAL, FromEarliest(), source_end=None),
        facts(INCREMENTAL, source_end=None, added_later=True),
    ],
)
def test_the_source_is_asked_for_its_start_where_the_earliest_offset_is_meant(
    given: PartitionFacts,
) -> None:
    assert start_position(replace(given, source_start=None)) == NeedsSourceStart()
    assert start_position(replace(given, source_start=LOG_START + 1)) == At(LOG_START)
    # All that there ever was is cached.
    assert start_position(replace(given, source_start=None, log_start=0)) == At(0)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("full_sync_done", [False, True])
def test_a_partition_found_later_starts_at_the_earliest(mode: Mode, full_sync_done: bool) -> None:
    given = facts(mode, full_sync_done=full_sync_done, added_later=True)
    assert start_position(given) == At(SOURCE_START)


@pytest.mark.parametrize(
    ("explicit", "start"), [(FromLatest(), At(SOURCE_END)), (FromPosition(230), At(230))]
)
def test_an_explicit_start_speaks_for_every_partition_there_is(
    explicit: ExplicitStart, start: StartPosition
) -> None:
    assert start_position(facts(INCREMENTAL, explicit, added_later=True)) == start


def test_the_source_end_is_never_before_what_was_mined() -> None:
    assert start_position(facts(INCREMENTAL, source_end=150)) == At(LOG_END)


@pytest.mark.parametrize(
    ("found", "start"),
    [
        (180, At(180)),
        (240, At(240)),
        # The source has older records of that time than the cache.
        (60, At(60)),
        (None, At(SOURCE_END)),
    ],
)
def test_timestamp_after_the_lookup(found: int | None, start: StartPosition) -> None:
    assert start_position(facts(INCREMENTAL, after_lookup(found), stored=170)) == start


@pytest.mark.parametrize(
    ("cached", "at_source", "found"),
    [
        (150, 60, 60),
        (150, 150, 150),
        # What lies between is cached: the record at 120 is not among them, such as a reject.
        (150, 120, 150),
        (150, None, 150),
        (None, 60, 60),
        # Nothing cached is as new: the record is still to be mined.
        (None, 230, 230),
        (None, 150, LOG_END),
        (None, None, None),
    ],
)
def test_the_first_at_a_time_of_cache_and_source(
    cached: int | None, at_source: int | None, found: int | None
) -> None:
    assert first_at(cached, at_source, LOG_START, LOG_END) == found


@pytest.mark.parametrize(
    ("before", "meant"),
    [
        (facts(FULL), FromEarliest()),
        (facts(BOTH), FromEarliest()),
        (facts(BOTH, full_sync_done=True), FromTimestamp(77)),
        (facts(INCREMENTAL), FromTimestamp(77)),
        (facts(INCREMENTAL, added_later=True), FromEarliest()),
        (facts(INCREMENTAL, stored=170), FromPosition(170)),
        (facts(FULL, FromLatest()), FromTimestamp(77)),
        (facts(FULL, FromTimestamp(5)), FromTimestamp(5)),
        (facts(INCREMENTAL, FromEarliest(), stored=170), FromEarliest()),
        (facts(INCREMENTAL, FromPosition(9)), FromPosition(9)),
    ],
)
def test_what_cannot_be_asked_for_keeps_its_meaning(
    before: PartitionFacts, meant: ExplicitStart
) -> None:
    assert postponed(before, 77) == meant
