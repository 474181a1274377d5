"""The stores edge: named places for sealed files, from the service's file and made over Admin.

``known_stores`` has all of them, changes those made over Admin, and says which one takes what:
where a topic was moved to, else what its connection names, else the default. ``store_state`` is
what one of them looks like to an operator. What a store does is in ``store.file_store``, how files
get there and back in ``log.stores``; what lies elsewhere is brought by the job ``move``.
"""

from cachesvc.stores.known_stores import KnownStores, entry_of
from cachesvc.stores.store_state import StoreState

__all__ = ["KnownStores", "StoreState", "entry_of"]
