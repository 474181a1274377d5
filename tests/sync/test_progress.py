from cachesvc.sync.runner.progress import Meter


def test_a_rate_that_nobody_asks_for_takes_no_memory() -> None:
    now_s = 0.0
    meter = Meter(clock=lambda: now_s)
    for _ in range(1_000):
        now_s += 1.0
        meter.dealt_with(50)
    assert len(meter._recent) < 20
    assert meter.records_per_s == 50.0
