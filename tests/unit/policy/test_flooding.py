"""Who keeps to what a connection may have under way is no flood, and who does not is one."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.policy.flooding import CALL_BYTES, UNHEARD_BYTES_PER_S, Flow

CALLS_MAX = 100
EARLIER = 12_345
"""Bytes of the connection before anybody looked."""


@given(
    calls_max=st.integers(10, 50),
    sizes=st.lists(st.integers(0, 1 << 18), min_size=1, max_size=200),
    heard_at_a_time=st.integers(1, 20),
    frames=st.floats(0, 0.3),
)
def test_calls_of_one_size_that_wait_for_answers_are_no_flood(
    calls_max: int, sizes: list[int], heard_at_a_time: int, frames: float
) -> None:
    """The model is a queue: never more under way than there may be, each sent in full."""
    largest = max(sizes)
    flow = Flow(calls_max, EARLIER, 0.0)
    flow.hear(largest)
    received = EARLIER + largest + 200
    under_way: deque[int] = deque()
    for size in sizes:
        if len(under_way) == calls_max:
            for _ in range(heard_at_a_time):
                if under_way:
                    flow.hear(under_way.popleft())
        under_way.append(size)
        received += int(size * (1 + frames)) + 200
        assert not flow.is_flood(received, 0.0)


@given(
    distrusted=st.booleans(),
    requests=st.lists(st.integers(0, 1 << 18), max_size=50),
    data=st.data(),
)
def test_whatever_is_sent_beyond_what_may_be_under_way_is_a_flood(
    distrusted: bool, requests: list[int], data: st.DataObject
) -> None:
    flow = Flow(CALLS_MAX, EARLIER, 0.0, distrusted=distrusted)
    for each in requests:
        flow.hear(each)
    seconds = data.draw(st.floats(0, 60))
    explained = sum(each + CALL_BYTES for each in requests) * 1.5 + seconds * UNHEARD_BYTES_PER_S
    most = EARLIER + int(explained + flow.under_way_max)
    assert not flow.is_flood(most, seconds)
    assert flow.is_flood(most + 2, seconds)


def test_one_request_of_the_largest_size_may_always_be_under_way() -> None:
    flow = Flow(10, 0, 0.0)
    assert not flow.is_flood(1 << 20, 0.0)


def test_a_connection_may_begin_even_where_others_were_hung_up_on() -> None:
    flow = Flow(10, 0, 0.0, distrusted=True)
    assert not flow.is_flood(16 << 10, 0.0)  # TLS with certificates, and settings of HTTP/2


def test_less_is_under_way_where_others_of_the_address_were_hung_up_on() -> None:
    trusted, distrusted = (Flow(CALLS_MAX, 0, 0.0, distrusted=each) for each in (False, True))
    assert distrusted.under_way_max < trusted.under_way_max / 4
