from hypothesis import given
from hypothesis import strategies as st

from cachesvc.sync.sinks.postgres import together
from cachesvc.sync.sinks.postgres.together import Together


def test_a_key_that_waits_already_and_too_many_bytes_do_not_join() -> None:
    waiting = Together()
    assert waiting.joins({1, 2}, 10)
    assert waiting.joins({3}, 10)
    assert not waiting.joins({4, 2}, 10)
    assert waiting.joins({1, 3}, 10)
    assert not waiting.joins({5}, together._BYTES_MAX)
    waiting.begin()
    assert waiting.joins({5}, 10)


@given(st.lists(st.sets(st.integers(0, 20), min_size=1, max_size=4), max_size=20))
def test_what_waits_together_is_all_different(chunks: list[set[int]]) -> None:
    waiting = Together()
    together: list[int] = []
    for chunk in chunks:
        joins = waiting.joins(chunk, 1)
        assert joins is not bool(chunk & set(together))
        together = [*together, *chunk] if joins else [*chunk]
        assert len(together) == len(set(together))
