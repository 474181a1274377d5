from cachesvc.mining.kafka.cut_batch import cut_batch_bytes
from tests.unit.mining.record_batches import record_batch

WHOLE, NEXT = record_batch(0, [b"{}"]), record_batch(1, [bytes(500)], compression=0)


def test_whole_batches_are_not_cut_off() -> None:
    assert cut_batch_bytes(b"") == 0
    assert cut_batch_bytes(WHOLE + NEXT) == 0


def test_the_size_of_a_batch_is_known_from_its_begin() -> None:
    for there in (12, 30, len(NEXT) - 1):
        assert cut_batch_bytes(WHOLE + NEXT[:there]) == len(NEXT)
    assert cut_batch_bytes(NEXT[:100]) == len(NEXT)


def test_less_than_that_tells_nothing() -> None:
    assert cut_batch_bytes(WHOLE + NEXT[:11]) == 0
