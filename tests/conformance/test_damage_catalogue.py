"""The contract of ``ports.Catalogue`` for what was lost or damaged, for each implementation."""

from __future__ import annotations

from cachesvc.model import GapCause, LostRange
from cachesvc.policy.coverage import OffsetRange
from cachesvc.store.ports import Catalogue, RetiredFile
from tests.conformance.test_catalogue import SECOND, segment
from tests.support.frames import ORDERS


class TestLost:
    def test_keeps_ranges_in_order(self, catalogue: Catalogue) -> None:
        late, early = (LostRange(at, at + 5, GapCause.SOURCE_RETENTION) for at in (20, 10))
        catalogue.put_lost(ORDERS, late, 1)
        catalogue.put_lost(ORDERS, early, 2)
        catalogue.put_lost(SECOND, early, 3)
        assert catalogue.list_lost() == {ORDERS: [early, late], SECOND: [early]}

    def test_a_range_that_begins_there_already_is_replaced(self, catalogue: Catalogue) -> None:
        longer = LostRange(10, 30, GapCause.SOURCE_RETENTION)
        catalogue.put_lost(ORDERS, LostRange(10, 15, GapCause.SOURCE_RETENTION), 1)
        catalogue.put_lost(ORDERS, longer, 2)
        assert catalogue.list_lost() == {ORDERS: [longer]}


class TestDamaged:
    def test_publishes_what_is_whole_and_keeps_what_is_not(self, catalogue: Catalogue) -> None:
        catalogue.put_partition(ORDERS, 0)
        whole = segment(0, 10)
        missing_ranges = [OffsetRange(10, 15), OffsetRange(20, 30)]
        catalogue.put_damaged(ORDERS, missing_ranges, [whole], {ORDERS: 30}, 7)
        catalogue.put_damaged(SECOND, [OffsetRange(1, 2)], [], {}, 8)
        assert catalogue.list_damaged() == {ORDERS: missing_ranges, SECOND: [OffsetRange(1, 2)]}
        assert catalogue.list_segments() == [whole]
        assert catalogue.list_partitions() == {ORDERS: 30}
        assert catalogue.list_mined_from() == {ORDERS: 0}

    def test_retires_the_damaged_file_in_the_same_step(self, catalogue: Catalogue) -> None:
        damaged, whole = segment(0, 30), segment(0, 10)
        catalogue.replace_segments([], [damaged], 1)
        catalogue.put_damaged(ORDERS, [OffsetRange(10, 30)], [whole], {ORDERS: 30}, 7, [damaged])
        assert catalogue.list_segments() == [whole]
        assert catalogue.list_retired() == {damaged.path: RetiredFile(7, bytes=damaged.bytes)}

    def test_keeps_what_was_scrubbed_until_the_pass_is_over(self, catalogue: Catalogue) -> None:
        assert catalogue.list_scrubbed() == set()
        catalogue.put_scrubbed(["a", "b"])
        catalogue.put_scrubbed(["b", "c"])
        assert catalogue.list_scrubbed() == {"a", "b", "c"}
        catalogue.forget_scrubbed()
        assert catalogue.list_scrubbed() == set()

    def test_forgets_what_is_mended(self, catalogue: Catalogue) -> None:
        catalogue.put_damaged(ORDERS, [OffsetRange(10, 15)], [], {}, 7)
        catalogue.put_damaged(ORDERS, [OffsetRange(10, 12)], [], {}, 8)
        assert catalogue.list_damaged() == {ORDERS: [OffsetRange(10, 15)]}, "the longer one"
        for _ in range(2):
            catalogue.forget_damaged(ORDERS, OffsetRange(10, 15))
            assert catalogue.list_damaged() == {}
