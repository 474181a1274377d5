"""What a run leaves out because a store does not give it for now, so that it does the rest."""

from cachesvc.errors import StoreUnreadable, StoreUnwritable
from cachesvc.model import LOCAL_STORE


class Skipped:
    """Stores that are away in a run, and are asked for nothing more; the local one always is."""

    def __init__(self) -> None:
        self._away: set[str] = set()
        self._first: StoreUnreadable | StoreUnwritable | None = None

    def __contains__(self, store: str) -> bool:
        return store in self._away

    def add(self, store: str, error: StoreUnreadable | StoreUnwritable) -> None:
        """Notes that a store has not given something."""
        self._first = self._first or error
        if store != LOCAL_STORE:
            self._away.add(store)

    def tell(self) -> None:
        """Ends a run that has done the rest.

        Raises:
            StoreUnreadable, StoreUnwritable: The first that was noted, if any was.
        """
        if self._first is not None:
            raise self._first
