from cachesvc.policy.fetch_size import BYTES_MIN, FIRST_BYTES, FetchSize

MIB = 1 << 20


def grown(bytes_max: int = 50 * MIB) -> FetchSize:
    size = FetchSize(bytes_max)
    for _ in range(12):
        size.brought(size.bytes, size.bytes, 0.1)
    return size


def test_begins_small_and_doubles_up_to_the_most() -> None:
    size = FetchSize(50 * MIB)
    seen = []
    for _ in range(10):
        seen.append(size.bytes)
        size.brought(size.bytes, size.bytes, 0.1)
    assert seen == [FIRST_BYTES * n for n in (1, 2, 4, 8, 16, 32, 64, 128, 200, 200)]


def test_what_brings_little_is_no_reason_to_ask_for_more() -> None:
    size = FetchSize(50 * MIB)
    size.brought(1_000, size.bytes, 0.1)
    size.brought(0, size.bytes, 0.1)
    assert size.bytes == FIRST_BYTES


def test_the_most_may_be_less_than_the_first() -> None:
    assert FetchSize(100_000).bytes == 100_000
    assert FetchSize(10).bytes == BYTES_MIN


def test_what_takes_too_long_is_asked_for_smaller() -> None:
    size = grown()
    size.brought(50 * MIB, size.bytes, 50.0)
    assert MIB <= size.bytes <= 2 * MIB


def test_it_comes_near_to_what_a_link_brings_in_a_few_seconds() -> None:
    for link in (100_000, MIB, 8 * MIB):
        size = grown()
        taken = []
        for _ in range(60):
            took_s = size.bytes / link
            taken.append(took_s)
            size.brought(size.bytes, size.bytes, took_s)
        assert max(taken[2:]) < 4
        assert min(taken[2:]) > 0.4


def test_throttling_halves_it_but_for_short_waits() -> None:
    size = grown()
    size.throttled(1.0)
    assert size.bytes == 50 * MIB
    size.brought(0, size.bytes, 0.1)
    size.throttled(1.1)
    assert size.bytes == 25 * MIB
    size.throttled(0.1)
    assert size.bytes == 25 * MIB // 2
    for _ in range(30):
        size.throttled(40.0)
    assert size.bytes == BYTES_MIN


def test_growth_is_careful_after_trouble() -> None:
    throttled, failed = grown(), grown()
    throttled.throttled(5.0)
    failed.failed()
    for size in (throttled, failed):
        before = size.bytes
        size.brought(size.bytes, size.bytes, 0.1)
        assert before < size.bytes < before * 1.2


def test_what_would_be_cut_off_is_not_asked_for_where_bytes_are_scarce() -> None:
    size = grown()
    assert size.fitting(700_000) == size.bytes == 50 * MIB
    for _ in range(8):
        size.throttled(2.0)
    assert size.fitting(0) == size.bytes
    assert size.fitting(50_000) == 200_000
    assert size.fitting(700_000) == 700_000


def quota_broker(quota: int, window_s: float, seconds: float) -> tuple[int, int, float]:
    """Bytes, the fetches that got nothing, and the longest wait, on Kafka before 2.6.

    It records what it would send, over a window, and sends nothing as long as that is too much.
    """
    size = FetchSize(50 * MIB)
    now_s, sent, empty, longest_s = 0.0, [(0.0, 0)], 0, 0.0
    while now_s < seconds:
        used = sum(size_ for at, size_ in sent if at > now_s - window_s)
        over = used + size.bytes - quota * window_s
        if over <= 0:
            sent.append((now_s, size.bytes))
            size.brought(size.bytes, size.bytes, 0.05)
            now_s += 0.05
        else:
            wait_s = over / quota
            size.throttled(wait_s)
            empty, longest_s = empty + 1, max(longest_s, wait_s)
            now_s += wait_s
    return sum(size_ for _, size_ in sent), empty, longest_s


def test_a_quota_is_used_up_and_no_wait_is_long() -> None:
    for quota in (100 << 10, MIB, 5 * MIB):
        got, _, longest_s = quota_broker(quota, 10.0, 300.0)
        assert got > 0.75 * quota * 300
        assert longest_s < 12
