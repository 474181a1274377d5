"""The part of a backup that copies what lies in other stores, so that it needs none of them."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from cachesvc.jobs.job import Progress
from cachesvc.log.stores import Stores
from cachesvc.model import LOCAL_STORE, Segment
from cachesvc.store import layout
from cachesvc.store.catalogues import open_copy
from cachesvc.store.segments import data_paths


class Fetching:
    """Fetches the files that the catalogue of a backup names elsewhere, and has it say so.

    Args:
        stores: Where they are.
        backup: The directory of a backup that has its catalogue, and no name yet.
        progress: Is told of each file.
    """

    def __init__(self, stores: Stores, backup: Path, progress: Progress) -> None:
        self._stores = stores
        self._backup = backup
        self._progress = progress

    def run(self) -> None:
        """Blocking.

        Raises:
            FileNotFoundError: A file is gone meanwhile.
            StoreUnreadable: A store does not give one for now.
            OSError: This machine does not take it.
        """
        with closing(open_copy(self._backup / layout.CATALOGUE)) as catalogue:
            segments = [each for each in catalogue.list_segments() if _is_elsewhere(each)]
            snapshots = [each for each in catalogue.snapshots.list() if _is_elsewhere(each.file)]
            files = [*segments, *(each.file for each in snapshots)]
            self._fetch(files)
            # What was elsewhere goes first: a path may be in a table once.
            catalogue.replace_segments(segments, [], 0)
            catalogue.replace_segments([], [_here(each) for each in segments], 0)
            catalogue.snapshots.replace(snapshots, [], 0)
            here = [replace(each, file=_here(each.file)) for each in snapshots]
            catalogue.snapshots.replace([], here, 0)
            catalogue.forget_retired(path.as_posix() for file in files for path in data_paths(file))

    def _fetch(self, files: Sequence[Segment]) -> None:
        paths = [(file.store, path) for file in files for path in data_paths(file)]
        for number, (store, path) in enumerate(paths):
            self._progress(number, len(paths), f"fetching from store {store}")
            self._stores.files(store).fetch(path.as_posix(), self._backup / path)


def _is_elsewhere(file: Segment) -> bool:
    return file.store != LOCAL_STORE


def _here(file: Segment) -> Segment:
    return replace(file, store=LOCAL_STORE)
