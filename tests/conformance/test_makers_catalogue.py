"""The contract of ``makers_port``, for each implementation of the catalogue."""

from __future__ import annotations

from cachesvc.model import Mode
from cachesvc.store.ports import Catalogue, SubscriptionChange, SubscriptionRecord


def _make(catalogue: Catalogue, name: str) -> None:
    record = SubscriptionRecord(name, "main", ("orders",), "", Mode.FULL, 1, False, 1)
    catalogue.put_subscriptions([SubscriptionChange(record)])


def test_makers_are_kept_as_long_as_their_subscriptions(catalogue: Catalogue) -> None:
    assert catalogue.makers.all() == {}
    for name in ("b", "a", "c"):
        _make(catalogue, name)
    catalogue.makers.put({"b": "principal:ops", "a": "ipv4:10.0.0.7", "nothing": "principal:ops"})
    assert list(catalogue.makers.all().items()) == [("a", "ipv4:10.0.0.7"), ("b", "principal:ops")]
    catalogue.delete_subscription("a")
    assert catalogue.makers.all() == {"b": "principal:ops"}
    catalogue.makers.put({"c": "principal:ci", "b": "principal:ci"})
    assert catalogue.makers.all() == {"b": "principal:ci", "c": "principal:ci"}
    _make(catalogue, "a")
    assert "a" not in catalogue.makers.all(), "one that is made again has no maker yet"
