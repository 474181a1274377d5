"""Limits of size and shedding against plain lists of segments in the order of mining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, takewhile

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.model import Segment
from cachesvc.policy.shedding import TopicSegments, plan_shedding
from cachesvc.policy.size_limits import (
    Held,
    LogSegments,
    Protection,
    SizeLimits,
    plan_topic_limits,
)
from tests.unit.policy.notation import segment

NOW_MS = 1_000
HERE = "local"
PROTECTIONS = st.none() | st.builds(
    Protection, st.integers(0, 1_000), st.none() | st.integers(0, 120)
)


@dataclass(frozen=True)
class Log:
    """A log of which segments are mined at these times, with what is unread of it."""

    segments: list[Segment]
    unread_from: int | None
    journals: Held

    @property
    def given(self) -> LogSegments:
        return LogSegments(self.segments, lambda: self.unread_from, self.journals)


@st.composite
def topics(draw: st.DrawFn, topics_max: int = 3) -> list[list[Log]]:
    """Topics with logs of segments; no two segments were mined at the same time."""
    shapes = draw(
        st.lists(
            st.lists(st.integers(0, 6), min_size=1, max_size=4), min_size=1, max_size=topics_max
        )
    )
    count = sum(sum(shape) for shape in shapes)
    times = iter(draw(st.permutations(range(count))))
    return [[_log(draw, [next(times) for _ in range(size)]) for size in shape] for shape in shapes]


def _log(draw: st.DrawFn, times: list[int]) -> Log:
    if draw(st.booleans()):
        times = sorted(times)  # as mining goes; else ranges were mined afterwards
    made = [
        replace(
            segment(
                10 * n,
                10 * n + 10,
                draw(st.integers(1, 20)),
                records=draw(st.integers(0, 9)),
                mined_ms=(at, at * 10),
            ),
            rejects_bytes=draw(st.integers(0, 3)),
            store=draw(st.sampled_from([HERE, HERE, "cold"])),
        )
        for n, at in enumerate(times)
    ]
    unread = draw(st.none() | st.integers(0, 10 * len(times) + 5))
    return Log(made, unread, Held(draw(st.integers(0, 9)), draw(st.integers(0, 5))))


def size(each: Segment) -> int:
    return each.bytes + each.rejects_bytes


def newer(logs: Sequence[Log]) -> dict[tuple[int, int], Held]:
    """By log and number: what of a topic is as new as a segment or newer, as a plain list says.

    A segment behind a later one of its log counts as that: it cannot go before.
    """
    flat = sorted(
        (latest, number, at)
        for number, log in enumerate(logs)
        for at, latest in enumerate(accumulate((s.newest_mined_ms for s in log.segments), max))
    )
    journals = sum(log.journals.bytes for log in logs), sum(log.journals.records for log in logs)
    found = {}
    held = Held(*journals)
    for _, number, at in reversed(flat):
        each = logs[number].segments[at]
        held = Held(held.bytes + size(each), held.records + each.record_count)
        found[number, at] = held
    return found


def needed(log: Log, each: Segment, held: Held, protection: Protection | None) -> bool:
    """Whether a protected subscription that is within its limits has still to read it."""
    return (
        protection is not None
        and log.unread_from is not None
        and each.end_offset > log.unread_from
        and NOW_MS - each.newest_mined_ms <= protection.age_ms
        and (protection.bytes_max is None or held.bytes <= protection.bytes_max)
    )


@given(
    topics(topics_max=1),
    st.none() | st.integers(0, 150),
    st.none() | st.integers(0, 60),
    PROTECTIONS,
)
def test_a_topic_keeps_what_is_newest_and_what_somebody_needs(
    found: list[list[Log]],
    bytes_max: int | None,
    records_max: int | None,
    protection: Protection | None,
) -> None:
    (logs,) = found
    limits = SizeLimits(bytes_max, records_max, protection)
    plan = plan_topic_limits([log.given for log in logs], limits, NOW_MS)
    held = newer(logs)

    def goes(number: int, at: int) -> bool:
        so_new = held[number, at]
        too_much = (bytes_max is not None and so_new.bytes > bytes_max) or (
            records_max is not None and so_new.records > records_max
        )
        return too_much and not needed(logs[number], logs[number].segments[at], so_new, protection)

    for number, log in enumerate(logs):
        prefix = takewhile(lambda at, n=number: goes(n, at), range(len(log.segments)))  # type: ignore[misc]
        assert plan[number] == len(list(prefix))
    left = [
        LogSegments(log.segments[gone:], log.given.unread_from, log.journals)
        for log, gone in zip(logs, plan, strict=True)
    ]
    assert not any(plan_topic_limits(left, limits, NOW_MS)), "twice, it does nothing more"


@given(topics(), st.integers(-5, 200), PROTECTIONS)
def test_shedding_is_fair_takes_no_more_than_it_has_to_and_nothing_that_is_needed(
    found: list[list[Log]], over_bytes: int, protection: Protection | None
) -> None:
    given_topics = [
        TopicSegments(("main", str(n)), [log.given for log in logs], protection)
        for n, logs in enumerate(found)
    ]
    plan = plan_shedding(given_topics, HERE, over_bytes, NOW_MS)
    freed, sizes, lasts = 0, {}, {}
    able: dict[tuple[str, str], bool] = {}
    for topic, logs in zip(given_topics, found, strict=True):
        counts = plan.dropped.get(topic.topic, [0] * len(logs))
        held = newer(logs)
        here = []
        for number, (log, count) in enumerate(zip(logs, counts, strict=True)):
            for at, each in enumerate(log.segments[:count]):
                assert not needed(log, each, held[number, at], protection)
                if each.store == HERE:
                    here.append((held[number, at].bytes, size(each)))
            assert not count or log.segments[count - 1].store == HERE, "it goes for something"
            free = takewhile(
                lambda at, n=number, of=log, h=held: (
                    not needed(  # type: ignore[misc]
                        of, of.segments[at], h[n, at], protection
                    )
                ),
                range(count, len(log.segments)),
            )
            able[topic.topic] = able.get(topic.topic, False) or any(
                log.segments[at].store == HERE for at in free
            )
        gone = sum(bytes_ for _, bytes_ in here)
        freed += gone
        sizes[topic.topic] = topic.bytes_in(HERE) - gone
        if here:
            lasts[topic.topic] = min(here)[1]  # of what went, the newest
    assert plan.over_bytes == max(0, over_bytes - freed)
    if plan.over_bytes:
        assert not any(able.values()), "it holds more than its budget only where it may not shed"
    assert freed == 0 or freed - max(lasts.values()) < over_bytes
    for topic_, last in lasts.items():
        for other, may_shed in able.items():
            assert not may_shed or sizes[topic_] + last >= sizes[other], "the largest sheds"
