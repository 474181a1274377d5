from cachesvc.policy.throttling import Throttling


def test_a_broker_throttles_until_a_while_after_its_last_wait() -> None:
    throttling = Throttling()
    assert throttling.describe(0.0) == ""
    throttling.told(3.0, 100.0)
    assert throttling.describe(100.0) == (
        "a quota of the broker holds its answers back, for up to 5 s at a time"
    )
    assert throttling.describe(112.9)
    assert throttling.describe(113.1) == ""


def test_what_is_said_changes_in_rough_steps_only() -> None:
    throttling = Throttling()
    said = []
    for turn in range(40):
        throttling.told(2.1 + turn % 5 / 2, float(turn))
        said.append(throttling.describe(float(turn)))
    assert len(set(said)) == 1


def test_an_hour_of_it_is_forgotten_when_it_is_over() -> None:
    throttling = Throttling()
    throttling.told(3_600.0, 0.0)
    assert "more than 600 s" in throttling.describe(10.0)
    throttling.told(0.2, 5_000.0)
    assert "up to 1 s" in throttling.describe(5_000.0)
