from __future__ import annotations

from cachesvc.policy.rings import Rings


def put(rings: Rings[str], at_ms: int, **found: float) -> None:
    rings.begin()
    for subject, value in found.items():
        rings.put(subject, [value])
    rings.end(at_ms)


def test_who_was_idle_long_enough_makes_room() -> None:
    rings: Rings[str] = Rings(1, 2, 1)
    put(rings, 0, first=1, second=2)
    assert list(rings.of("second")) == [(0, (0,))], "no room"
    put(rings, 1, second=2)
    assert list(rings.of("first")) == [(0, (1,)), (1, (0,))]
    put(rings, 2, second=2)
    assert list(rings.of("second")) == [(1, (0,)), (2, (2,))]
    assert len(rings) == 1


def test_what_is_not_a_number_stays_so() -> None:
    rings: Rings[str] = Rings(1, 2, 1)
    put(rings, 0, a=float("nan"))
    ((_, (value,)),) = rings.of("a")
    assert value != value
