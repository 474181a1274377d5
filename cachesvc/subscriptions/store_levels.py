"""How full the stores are that have a budget, as it was last looked at."""

from dataclasses import dataclass

from cachesvc.errors import StoreUnwritable
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import LOCAL_STORE


@dataclass(frozen=True, slots=True)
class StoreLevel:
    """What a store holds of its budget.

    Attributes:
        bytes: What it holds.
        bytes_max: Its budget.
        kept_bytes: What of that may not go, as far as it is known to be much.
        full: Why nothing more may come; empty where there is room.
    """

    bytes: int
    bytes_max: int
    kept_bytes: int = 0
    full: str = ""


class StoreLevels:
    """The level of each store with a budget. Belongs to one event loop.

    Args:
        store: Whose stores.
    """

    def __init__(self, store: LogStore) -> None:
        self._stores = store.stores
        self._levels: dict[str, StoreLevel] = {}

    def note(self, name: str, level: StoreLevel) -> None:
        """Enters what was found."""
        self._levels[name] = level

    def all(self) -> dict[str, StoreLevel]:
        """By store; those that were not looked at yet are left out."""
        return dict(self._levels)

    def check_room(self, log: PartitionLog) -> None:
        """Lets nothing more be mined for a store that is full, nor into journals on a full disk.

        Raises:
            StoreUnwritable: As said (``STORE_FULL``).
        """
        for name in {LOCAL_STORE, self._stores.choose(log.id.topic_id)}:
            level = self._levels.get(name)
            if level is not None and level.full:
                raise StoreUnwritable(
                    f"{log.id}: store {name!r} is full: {level.full}",
                    reason="STORE_FULL",
                    metadata={"store": name},
                )
