"""Who made which subscription, as a catalogue keeps it; a part of ``ports.Catalogue``."""

from collections.abc import Mapping
from typing import Protocol


class MakersKept(Protocol):
    """Makers of subscriptions; every method is one transaction, see ``ports``."""

    def put(self, makers: Mapping[str, str]) -> None:
        """Stores who made these subscriptions, and forgets those of subscriptions that are gone."""

    def all(self) -> dict[str, str]:
        """Who made each subscription, as far as it is known, ordered by subscription."""
