from __future__ import annotations

import pytest

from cachesvc.assignment.loads import Loads
from tests.support.frames import ORDERS

TOPIC = ORDERS.topic_id


def test_weights_follow_what_comes_now_and_then_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1_000.0
    monkeypatch.setattr("cachesvc.assignment.loads.time.monotonic", lambda: now_s)
    loads = Loads(rebalance_interval_s=30.0)
    assert (loads.bytes_per_s(TOPIC), loads.weight(TOPIC)) == (0.0, 0.0)
    for _ in range(600):
        now_s += 1.0
        loads.count(TOPIC, 10, 5_000, 0)
    assert loads.bytes_per_s(TOPIC) == pytest.approx(5_000, rel=0.02)
    loads.weigh()
    weight = loads.weight(TOPIC)
    assert weight == pytest.approx(5_000, rel=0.02)
    now_s += 29.0
    loads.weigh()
    assert loads.weight(TOPIC) == weight
    now_s += 1.0
    loads.weigh()
    assert loads.weight(TOPIC) == pytest.approx(weight * 0.6065, rel=0.01)
