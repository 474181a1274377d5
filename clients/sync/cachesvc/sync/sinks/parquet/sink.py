"""The sink itself: a file per delivery, partition of the source and directory."""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from cachesvc.client import Positions
from cachesvc.sync.changes import Changes
from cachesvc.sync.errors import InvalidTask
from cachesvc.sync.own_thread import OwnThread
from cachesvc.sync.sink import Check, Delivery, Sink, SinkKind, TaskContext
from cachesvc.sync.sinks.files import check_directory, telling
from cachesvc.sync.sinks.parquet.columns import Columns
from cachesvc.sync.sinks.parquet.commits import Commits
from cachesvc.sync.sinks.parquet.directories import directories
from cachesvc.sync.sinks.parquet.settings import ParquetSettings

_OF_THE_RECORD = ("topic", "date", "hour")


class ParquetSink:
    """Adds files; none is ever changed.

    Effectively once: the files of a delivery, and the positions behind them, are one step, and a
    task goes on at the positions of the place. Files that a crash left without positions are taken
    away when the place is opened again; until then somebody may read them.

    Args:
        settings: The task's.
        context: Its name begins the files' names.
    """

    def __init__(self, settings: ParquetSettings, context: TaskContext) -> None:
        self._settings = settings
        self._place = Path(settings.path)
        self._name = quote(context.task, safe="")
        self._columns = Columns(settings.columns)
        self._commits = Commits(self._place, self._name)
        self._thread = OwnThread("parquet")

    async def open(self) -> Positions | None:
        return await self._thread.run(self._open)

    async def write(self, delivery: Delivery) -> None:
        await self._thread.run(self._write, delivery)

    async def forget(self) -> None:
        await self._thread.run(self._forget)

    async def check(self) -> Sequence[Check]:
        return await self._thread.run(check_directory, self._place)

    async def close(self) -> None:
        await self._thread.run(self._commits.close)
        await self._thread.close()

    def _open(self) -> Positions:
        with telling(self._place):
            return self._commits.open()

    def _forget(self) -> None:
        with telling(self._place):
            self._commits.forget()

    def _write(self, delivery: Delivery) -> None:
        files = dict(self._files(delivery.changes))
        with telling(self._place):
            self._commits.commit(files, delivery.positions)

    def _files(self, changes: Sequence[Changes]) -> Iterator[tuple[str, bytes]]:
        for run in _runs(changes):
            table = pa.concat_tables([self._columns.table(piece) for piece in run])
            stem = self._stem(run)
            for directory, rows in directories(table, self._settings.partitions):
                output = pa.BufferOutputStream()
                pq.write_table(rows, output, compression=self._settings.compression)
                yield self._fresh(directory, stem), output.getvalue().to_pybytes()

    def _fresh(self, directory: str, stem: str) -> str:
        """A name that no file has: rows of one record may come in several deliveries."""
        names = (f"{stem}{f'_{again:03}' if again else ''}.parquet" for again in count())
        paths = (f"{directory}/{name}" if directory else name for name in names)
        return next(path for path in paths if not (self._place / path).exists())

    def _stem(self, run: Sequence[Changes]) -> str:
        of = run[0].source
        base = run[0].rows.column("offset")[0].as_py()
        topic = quote(of.topic, safe="")
        whose = f"{of.partition}-{of.incarnation}"
        return f"{self._name}-{topic}-{whose}-{base:020}-{run[-1].next_position:020}"


def _runs(changes: Sequence[Changes]) -> list[list[Changes]]:
    """Pieces with rows, those of one partition together."""
    runs: dict[object, list[Changes]] = {}
    for piece in changes:
        if len(piece):
            runs.setdefault(piece.source, []).append(piece)
    return list(runs.values())


def _make(settings: ParquetSettings, context: TaskContext) -> Sink:
    if not settings.path:
        raise InvalidTask("sink.path is empty; give a directory")
    for level in settings.partitions:
        if level not in _OF_THE_RECORD and level not in settings.columns:
            known = ", ".join(_OF_THE_RECORD)
            raise InvalidTask(f"sink.partitions: {level!r} is none of {known} or sink.columns")
    if len(set(settings.partitions)) != len(settings.partitions):
        raise InvalidTask("sink.partitions names a level twice")
    context.check_sole_owner()
    return ParquetSink(settings, context)


PARQUET = SinkKind(ParquetSettings, _make)
