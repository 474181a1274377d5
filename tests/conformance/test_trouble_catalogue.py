"""The contract of ``ports.Troubles``, for each implementation."""

from __future__ import annotations

from cachesvc.model import PartitionId
from cachesvc.policy.blocking import Blockage, BlockReason, Trouble
from cachesvc.store.ports import Catalogue

A0 = PartitionId("main", "a", 1, 0)
B7 = PartitionId("main", "b", 2, 7)
LARGE = Trouble(Blockage(BlockReason.TOO_LARGE, 2**62, 2**40, "a “large” one"), True, 5)
DEADLY = Trouble(Blockage(BlockReason.READER_DIED, -1, 0, ""), False, 9, 2, 1, 2**61, 2**60, 1)


def test_what_is_put_is_listed_until_it_is_forgotten(catalogue: Catalogue) -> None:
    assert catalogue.troubles.list() == {}
    catalogue.troubles.put({B7: DEADLY, A0: LARGE})
    assert catalogue.troubles.list() == {A0: LARGE, B7: DEADLY}
    catalogue.troubles.put({A0: DEADLY, B7: None})
    assert catalogue.troubles.list() == {A0: DEADLY}
    catalogue.troubles.put({B7: None})
    assert catalogue.troubles.list() == {A0: DEADLY}
