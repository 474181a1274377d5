"""All stores of a service: looked at, changed, tested, and chosen for what is sealed."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import msgspec

from cachesvc.errors import CacheError, InvalidConfig, InvalidRequest, NotFound, PreconditionFailed
from cachesvc.log.log_store import LogStore
from cachesvc.model import LOCAL_STORE, Segment, TopicId
from cachesvc.settings.connection import ConnectionConfig
from cachesvc.settings.stores import (
    StoreEntry,
    budgets,
    check_store_of,
    default_store,
    parse_store,
    store_dict,
    store_of,
)
from cachesvc.store.examination import StoreCheck, examine_store
from cachesvc.store.file_store import FileStore
from cachesvc.store.stores_port import Placement, StoreRecord, StoreTested, placed
from cachesvc.stores.store_state import StoreState, Surroundings, state_of

_log = logging.getLogger(__name__)
Open = Callable[[StoreEntry], FileStore]


def entry_of(record: StoreRecord) -> StoreEntry | None:
    """The settings of a store that was made over Admin; None if this version cannot read them."""
    try:
        tree = msgspec.json.decode(record.settings_json)
        return parse_store(tree, f"store {record.name!r} of the catalogue")
    except (InvalidConfig, msgspec.DecodeError) as error:
        _log.error(
            "a store of the catalogue makes no sense to this version and is left out",
            extra={"event": "store_unreadable", "store": record.name, "error": str(error)},
        )
        return None


class KnownStores:
    """Belongs to one event loop. Changes follow one another.

    Args:
        in_file: ``local``, which is the service's own directory, and those of the service's file;
            they hide those of the catalogue with their name.
        store: The logs.
        open_one: Opens one; blocking.
        open_for_test: The same without anything that is kept of what was read.
        connections: All of them.
        connection: One of them by its name; None where there is none.
    """

    def __init__(
        self,
        in_file: Sequence[StoreEntry],
        store: LogStore,
        open_one: Open,
        open_for_test: Open,
        connections: Callable[[], Iterable[ConnectionConfig]],
        connection: Callable[[str], ConnectionConfig | None],
    ) -> None:
        self._in_file = {entry.name: entry for entry in in_file}
        self._store = store
        self._catalogue = store.catalogue
        self._open_one = open_one
        self._open_for_test = open_for_test
        self._connections = connections
        self._connection = connection
        self._made: dict[str, tuple[StoreEntry, StoreRecord]] = {}
        self.entries: list[StoreEntry] = []
        """All but ``local``, which is the default where no other one is."""
        self.budgets: dict[str, int] = {}
        """Bytes that each store may hold, by name; those without a budget are left out."""
        self._placements: list[Placement] = []
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Enters what the catalogue has; the log store has opened those stores already."""
        for record in await self._catalogue.call(lambda port: port.stores.list_made()):
            entry = entry_of(record)
            if entry is not None and record.name not in self._in_file:
                self._made[record.name] = entry, record
        self._follow()
        await self._load_placements()

    def _follow(self) -> None:
        """Makes of the stores there are what is asked for often."""
        made = (entry for _, (entry, _) in sorted(self._made.items()))
        others = (entry for name, entry in self._in_file.items() if name != LOCAL_STORE)
        self.entries = [*others, *made]
        self.budgets.clear()
        self.budgets.update(budgets(self._in_file[LOCAL_STORE].bytes_max, self.entries))

    def made(self) -> list[StoreEntry]:
        """Those that were made over Admin, ordered by name."""
        return [entry for _, (entry, _) in sorted(self._made.items())]

    # Choosing

    def check(self, connection: ConnectionConfig) -> None:
        """Refuses a connection that names a store which is not there.

        Raises:
            InvalidConfig: As said.
        """
        check_store_of(connection, self.entries, connection.name, "")

    def choose(self, topic: TopicId) -> str:
        """Which store takes what is sealed of a topic."""
        moved = placed(self._placements, topic)
        if moved and moved in self._store.stores.names:
            return moved
        connection = self._connection(topic.connection)
        if connection is None:
            return default_store(self.entries)
        return store_of(connection, self.entries)

    def misplaced(self) -> list[Segment]:
        """Segments of topics that were moved, as long as they lie elsewhere; by partition."""
        if not self._placements:
            return []
        names = self._store.stores.names
        found = []
        for log in self._store.in_order():
            target = placed(self._placements, log.id.topic_id)
            if target in names:
                found += [segment for segment in log.segments if segment.store != target]
        return found

    async def place(self, connection: str, topic: str, store: str) -> list[Segment]:
        """Has a topic, or all of a connection, lie in a store; what lies elsewhere until it moved.

        Raises:
            NotFound: There is no such store.
            InvalidRequest: No store is named.
        """
        async with self._changing:
            if not store:
                raise InvalidRequest("store: name the store that is to take it")
            self._get(store)
            placement = Placement(connection, topic, store)
            now_ms = time.time_ns() // 1_000_000
            await self._catalogue.call(lambda port: port.stores.place(placement, now_ms))
            await self._load_placements()
        named = (connection, topic) if topic else (connection,)
        return [
            segment
            for segment in self.misplaced()
            if (segment.partition.connection, segment.partition.topic)[: len(named)] == named
        ]

    async def forget(self, connection: str) -> None:
        """Forgets where what there will be of a connection was to lie: it was deleted."""
        async with self._changing:
            await self._catalogue.call(lambda port: port.stores.forget_placements(connection))
            await self._load_placements()

    async def _load_placements(self) -> None:
        self._placements = await self._catalogue.call(lambda port: port.stores.list_placements())

    # Looking

    async def states(self) -> list[StoreState]:
        """All stores, ``local`` first, then by name."""
        retired = await self._catalogue.call(lambda port: port.list_retired())
        tested = await self._catalogue.call(lambda port: port.stores.list_tests())
        snapshots = await self._catalogue.call(lambda port: port.snapshots.list())
        around = Surroundings(
            self.entries, list(self._connections()), self._placements, snapshots, retired, tested
        )
        default = default_store(self.entries)
        found = []
        for name in [LOCAL_STORE, *sorted({*self._in_file, *self._made} - {LOCAL_STORE})]:
            entry = msgspec.structs.replace(self._get(name), default=name == default)
            record = self._made[name][1] if name in self._made else None
            free = await asyncio.to_thread(_free, self._store.stores.files(name))
            found.append(state_of(entry, record, self._store, around, free))
        return found

    async def state(self, name: str) -> StoreState:
        """One store.

        Raises:
            NotFound: There is none of that name.
        """
        self._get(name)
        return next(state for state in await self.states() if state.entry.name == name)

    def _get(self, name: str) -> StoreEntry:
        if name in self._in_file:
            return self._in_file[name]
        if name in self._made:
            return self._made[name][0]
        names = ", ".join([*self._in_file, *sorted(self._made)])
        raise NotFound(
            f"there is no store {name!r}; there are: {names}",
            reason="UNKNOWN_STORE",
            metadata={"store": name},
        )

    # Changing

    async def create(self, entry: StoreEntry) -> StoreState:
        """Makes a store that survives a restart.

        Raises:
            PreconditionFailed: The name is taken (``STORE_EXISTS``), the file names the default
                (``STORE_IN_FILE``), or the catalogue cannot be written.
            ConnectionUnusable: Credentials are not where the settings say (``SECRET_MISSING``).
        """
        async with self._changing:
            if entry.name in self._in_file or entry.name in self._made:
                raise PreconditionFailed(
                    f"there is a store {entry.name!r}; choose another name, or update that one",
                    reason="STORE_EXISTS",
                    metadata={"store": entry.name},
                )
            await self._keep(entry)
        return await self.state(entry.name)

    async def update(self, entry: StoreEntry) -> StoreState:
        """Replaces the settings of a store.

        Raises:
            NotFound: There is none of that name.
            PreconditionFailed: It is in the file (``STORE_IN_FILE``), files lie there and it would
                be another place (``STORE_IN_USE``), or the catalogue cannot be written.
            ConnectionUnusable: As for ``create``.
        """
        async with self._changing:
            before = self._changeable(entry.name)
            if _place_of(before) != _place_of(entry):
                state = await self.state(entry.name)
                if state.segments or state.snapshots or state.retired_files:
                    raise self._in_use(
                        state,
                        f"it cannot be another place than {before.location} while it has "
                        f"files: make another store, and move them there",
                    )
            await self._keep(entry)
        return await self.state(entry.name)

    async def delete(self, name: str) -> None:
        """Forgets a store that nobody uses.

        Raises:
            NotFound: There is none of that name.
            PreconditionFailed: It is in the file (``STORE_IN_FILE``), somebody uses it
                (``STORE_IN_USE``), or the catalogue cannot be written.
        """
        async with self._changing:
            self._changeable(name)
            state = await self.state(name)
            if state.users:
                raise self._in_use(state, "move topics with `cachesvc store move` first")
            await self._catalogue.call(lambda port: port.stores.delete(name))
            del self._made[name]
            self._store.stores.remove(name)
            self._follow()

    async def _keep(self, entry: StoreEntry) -> None:
        """Opens a store and makes it durable; of others that were the default it takes that."""
        changed = [entry]
        if entry.default:
            self._check_default(entry.name)
            others = (each for each, _ in self._made.values() if each.name != entry.name)
            changed += [msgspec.structs.replace(o, default=False) for o in others if o.default]
        files = await asyncio.to_thread(self._open_one, entry)
        now_ms = time.time_ns() // 1_000_000
        records = [_record(each, now_ms) for each in changed]
        await self._catalogue.call(lambda port: port.stores.put(records))
        for each, record in zip(changed, records, strict=True):
            created_ms = self._made[each.name][1].created_ms if each.name in self._made else now_ms
            self._made[each.name] = each, replace(record, created_ms=created_ms)
        self._store.stores.put(entry.name, files)
        self._follow()

    def _check_default(self, name: str) -> None:
        in_file = [each.name for each in self._in_file.values() if each.default]
        if in_file:
            raise PreconditionFailed(
                f"{name!r} cannot be the default: the service's file says that {in_file[0]!r} is",
                reason="STORE_IN_FILE",
                metadata={"store": in_file[0]},
            )

    def _changeable(self, name: str) -> StoreEntry:
        entry = self._get(name)
        if name in self._in_file:
            what = "is the service's own directory" if name == LOCAL_STORE else "is in its file"
            raise PreconditionFailed(
                f"store {name!r} {what}; change the file and restart the service",
                reason="STORE_IN_FILE",
                metadata={"store": name},
            )
        return entry

    def _in_use(self, state: StoreState, advice: str) -> PreconditionFailed:
        name = state.entry.name
        return PreconditionFailed(
            f"store {name!r} is used by {state.users}; {advice}",
            reason="STORE_IN_USE",
            metadata={"store": name, "users": state.users},
        )

    # Testing

    async def test(self, name: str) -> AsyncGenerator[StoreCheck, None]:
        """Tries a store, one check after the other, and remembers what came of it.

        Raises:
            NotFound: There is none of that name.
        """
        failed = detail = ""
        async for check in self.examine(self._get(name)):
            if check.works is False:
                failed, detail = check.name, check.detail
            yield check
        tested = StoreTested(time.time_ns() // 1_000_000, failed, detail)
        await self._catalogue.call(lambda port: port.stores.put_test(name, tested))

    async def examine(self, entry: StoreEntry) -> AsyncGenerator[StoreCheck, None]:
        """Tries a store that need not be one of the service."""
        try:
            files = await asyncio.to_thread(self._open_for_test, entry)
        except (CacheError, OSError) as error:
            yield StoreCheck("open", False, str(error))
            return
        yield StoreCheck("open", True, f"settings and credentials are there: {entry.location}")
        checks: Iterator[StoreCheck] = examine_store(files)
        while (check := await asyncio.to_thread(partial(next, checks, None))) is not None:
            yield check


def _record(entry: StoreEntry, now_ms: int) -> StoreRecord:
    return StoreRecord(entry.name, msgspec.json.encode(store_dict(entry)).decode(), now_ms, now_ms)


def _place_of(entry: StoreEntry) -> tuple[str, ...]:
    return entry.kind, entry.path, entry.bucket, entry.prefix


def _free(files: FileStore) -> int | None:
    try:
        return files.free_bytes()
    except CacheError:
        return None
