"""Assignment for any topics, readers and past."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.policy.assignment import IMBALANCE_TOLERATED, Pin, assign

names = st.sampled_from([f"t{number}" for number in range(12)])
reader_names = st.sampled_from([f"r{number}" for number in range(5)])
weight_maps = st.dictionaries(names, st.floats(0, 1_000), max_size=12)
reader_sets = st.sets(reader_names, max_size=5)
pasts = st.dictionaries(names, reader_names, max_size=12)


@given(weight_maps, reader_sets, pasts)
def test_every_topic_has_one_reader_and_planning_again_moves_nothing(
    weights: dict[str, float], readers: set[str], current: dict[str, str]
) -> None:
    after = assign(weights, readers, current)
    assert list(after) == (list(weights) if readers else [])
    assert set(after.values()) <= readers
    assert assign(weights, readers, after) == after


@given(weight_maps, reader_sets, pasts)
def test_the_order_of_arguments_does_not_matter(
    weights: dict[str, float], readers: set[str], current: dict[str, str]
) -> None:
    after = assign(weights, sorted(readers), current)
    turned = dict(reversed(list(weights.items())))
    assert assign(turned, sorted(readers, reverse=True), current) == after


@given(st.sets(names), reader_sets, pasts)
def test_equal_topics_end_up_even(
    topics: set[str], readers: set[str], current: dict[str, str]
) -> None:
    after = assign(dict.fromkeys(sorted(topics), 1.0), readers, current)
    counts = Counter(after.values())
    loads = [counts[reader] for reader in readers] or [0]
    assert max(loads) - min(loads) <= 1


@given(weight_maps, reader_sets, pasts)
def test_moves_are_never_without_need(
    weights: dict[str, float], readers: set[str], current: dict[str, str]
) -> None:
    """A topic of a reader that is still there moves only where loads were uneven without it."""
    kept = {t: r for t, r in current.items() if t in weights and r in readers}
    after = assign(weights, readers, current)
    moved = [topic for topic, reader in kept.items() if after[topic] != reader]
    if moved and len(kept) == len(weights):
        loads = Counter(dict.fromkeys(readers, 0))
        for topic, reader in kept.items():
            loads[reader] += max(1, round(weights[topic]))
        gap = max(loads.values()) - min(loads.values())
        assert gap * len(readers) * IMBALANCE_TOLERATED > loads.total()


@given(st.sets(names, min_size=1), st.sets(reader_names, min_size=2, max_size=5), pasts)
def test_a_reader_that_leaves_moves_only_its_own_topics(
    topics: set[str], readers: set[str], current: dict[str, str]
) -> None:
    weights = dict.fromkeys(sorted(topics), 1.0)
    before = assign(weights, readers, current)
    leaver = min(readers)
    after = assign(weights, readers - {leaver}, before)
    assert all(after[topic] == reader for topic, reader in before.items() if reader != leaver)


pin_maps = st.dictionaries(names, st.builds(Pin, reader_names, st.booleans()), max_size=12)


@given(weight_maps, reader_sets, pasts, pin_maps)
def test_pins_are_kept_and_leave_nothing_else_alone(
    weights: dict[str, float], readers: set[str], current: dict[str, str], pins: dict[str, Pin]
) -> None:
    after = assign(weights, readers, current, pins)
    for topic in weights:
        pin = pins.get(topic)
        if pin is not None and pin.reader in readers:
            assert after[topic] == pin.reader
        elif pin is not None and pin.strict:
            assert topic not in after
        else:
            assert (topic in after) == bool(readers)
    assert assign(weights, readers, after, pins) == after


@given(weight_maps, reader_sets, pasts, pin_maps, st.sets(reader_names))
def test_who_is_cut_off_has_only_what_is_strictly_pinned_to_it(
    weights: dict[str, float],
    readers: set[str],
    current: dict[str, str],
    pins: dict[str, Pin],
    cut_off: set[str],
) -> None:
    after = assign(weights, readers, current, pins, cut_off)
    assert assign(weights, readers, after, pins, cut_off) == after
    if readers <= cut_off:
        assert after == assign(weights, readers, current, pins)
        return
    for topic, reader in after.items():
        assert reader not in cut_off or pins[topic] == Pin(reader, strict=True)
    waiting = weights.keys() - after.keys()
    assert all(pins[topic].strict and pins[topic].reader not in readers for topic in waiting)


@given(st.sets(names, min_size=1), st.sets(reader_names, min_size=2), st.data())
def test_a_pinned_topic_goes_back_to_its_reader(
    topics: set[str], readers: set[str], data: st.DataObject
) -> None:
    weights = dict.fromkeys(sorted(topics), 1.0)
    topic = data.draw(st.sampled_from(sorted(topics)))
    pins = {topic: Pin(data.draw(st.sampled_from(sorted(readers))))}
    home = pins[topic].reader
    before = assign(weights, readers, {}, pins)
    away = assign(weights, readers - {home}, before, pins)
    assert before[topic] == home != away[topic]
    assert assign(weights, readers, away, pins)[topic] == home
