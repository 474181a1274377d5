"""The contract of ``stores_port.StoresKept``, for each implementation."""

from __future__ import annotations

from cachesvc.store.ports import Catalogue
from cachesvc.store.stores_port import Placement, StoreRecord, StoreTested


def test_a_new_one_is_empty(catalogue: Catalogue) -> None:
    assert catalogue.stores.list_made() == []
    assert catalogue.stores.list_tests() == {}
    assert catalogue.stores.list_placements() == []


def test_stores_are_entered_changed_and_forgotten(catalogue: Catalogue) -> None:
    catalogue.stores.put([StoreRecord("warm", "{}", 5, 5), StoreRecord("cold", "{}", 6, 6)])
    catalogue.stores.put([StoreRecord("cold", '{"default":true}', 9, 9)])
    assert catalogue.stores.list_made() == [
        StoreRecord("cold", '{"default":true}', 6, 9),
        StoreRecord("warm", "{}", 5, 5),
    ]
    for _ in range(2):
        catalogue.stores.delete("warm")
        assert [each.name for each in catalogue.stores.list_made()] == ["cold"]


def test_the_last_test_of_a_store_is_kept_as_long_as_the_store(catalogue: Catalogue) -> None:
    catalogue.stores.put_test("local", StoreTested(4))
    catalogue.stores.put_test("cold", StoreTested(5, "write", "AccessDenied"))
    catalogue.stores.put_test("cold", StoreTested(6))
    assert catalogue.stores.list_tests() == {"local": StoreTested(4), "cold": StoreTested(6)}
    catalogue.stores.delete("cold")
    assert catalogue.stores.list_tests() == {"local": StoreTested(4)}


def test_what_is_said_of_a_connection_replaces_what_was_said_of_its_topics(
    catalogue: Catalogue,
) -> None:
    catalogue.stores.place(Placement("main", "orders", "cold"), 1)
    catalogue.stores.place(Placement("main", "items", "warm"), 2)
    catalogue.stores.place(Placement("spare", "items", "warm"), 3)
    catalogue.stores.place(Placement("main", "items", "cold"), 4)
    of_spare = Placement("spare", "items", "warm")
    assert catalogue.stores.list_placements() == [
        Placement("main", "items", "cold"),
        Placement("main", "orders", "cold"),
        of_spare,
    ]
    catalogue.stores.place(Placement("main", "", "warm"), 5)
    assert catalogue.stores.list_placements() == [Placement("main", "", "warm"), of_spare]
    catalogue.stores.place(Placement("main", "orders", "cold"), 6)
    catalogue.stores.forget_placements("main")
    assert catalogue.stores.list_placements() == [of_spare]
