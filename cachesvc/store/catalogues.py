"""The one place that says which catalogue a store has: ``catalogue.DuckDBCatalogue``.

Another implementation of ``ports.Catalogue`` begins here.
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cachesvc.errors import DamagedFile
from cachesvc.store import layout
from cachesvc.store.catalogue import DuckDBCatalogue
from cachesvc.store.change_log import delete_changes, has_changes, read_changes
from cachesvc.store.ports import Catalogue


@dataclass(frozen=True, slots=True)
class Repeated:
    """What a copy got of the changes behind it.

    Attributes:
        changes: How many.
        whole: Whether these are all that there were, as far as files can tell.
    """

    changes: int
    whole: bool


def open_catalogue(store: Path) -> Catalogue:
    """The catalogue of a store, for the service that owns it; made if there is none. Blocking.

    Raises:
        StoreFormatUnsupported: A newer version wrote it; nothing is changed.
        DamagedFile: It cannot be read; it is left as it is.
        StoreUnwritable: The disk does not take it.
    """
    return DuckDBCatalogue(store / layout.CATALOGUE, log_changes=True)


def open_copy(path: Path) -> Catalogue:
    """A copy that a catalogue made, or a new one; the same is raised. Blocking."""
    return DuckDBCatalogue(path)


def is_readable(path: Path) -> bool:
    """Whether everything in a catalogue can be read, which opening it makes sure of. Blocking."""
    try:
        DuckDBCatalogue(path).close()
    except DamagedFile:
        return False
    return True


def catch_up(store: Path, copy: Path) -> Repeated:
    """Brings a copy of a store's catalogue, or a new one, up to what was changed last. Blocking.

    Raises:
        StoreUnwritable: The disk does not take it.
    """
    with closing(DuckDBCatalogue(copy)) as catalogue:
        changes = read_changes(store / layout.CATALOGUE, catalogue.change_number())
        done = catalogue.repeat(changes.found)
        # What is changed from here on follows from no older copy.
        catalogue.skip_change_number()
    return Repeated(done, changes.whole and done == len(changes.found))


def was_changed(store: Path) -> bool:
    """Whether a store has, or had, a catalogue, as what was changed in it says. Blocking."""
    return has_changes(store / layout.CATALOGUE)


def forget_all_changes(store: Path) -> None:
    """Deletes what is kept of the changes of a store's catalogue, once a copy has them."""
    delete_changes(store / layout.CATALOGUE)
