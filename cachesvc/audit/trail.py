"""Enters calls that change something, before and after."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from cachesvc.audit.file import AuditFile
from cachesvc.errors import CacheError
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.policy.callers import Caller
from cachesvc.store.audit_port import AuditEntry, AuditFilter

INTERRUPTED = "INTERRUPTED"
"""The outcome of a call that the service did not outlive."""
_SOON_S = 0.2
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An entry that waits for the next transaction, and who waits for that, if anybody does."""

    entry: AuditEntry
    done: "asyncio.Future[None] | None"


class AuditTrail:
    """The trail of one service. Belongs to one event loop; ``run`` has to run.

    Entries gather while one transaction is under way and go together into the next, so that many
    callers at a time do not wait in line. What cannot be entered is carried out all the same and
    goes to the service's log, whole: a full disk must not keep operators from making room.

    Args:
        catalogue: Where entries are durable.
        file: Where they are appended as lines too; None: nowhere.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        catalogue: CatalogueThread,
        file: AuditFile | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalogue = catalogue
        self._file = file
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._soon: asyncio.TimerHandle | None = None  # for what nobody waits for
        self._over = False
        self._last = catalogue.call_blocking(lambda port: port.audit.last_number())
        self._left = catalogue.call_blocking(lambda port: port.audit.started())

    async def begin(self, caller: Caller, call: str, request: str) -> AuditEntry:
        """Enters a call that is about to be carried out; durable when it returns."""
        entry = self._entry(caller, call, request)
        await self._enter(entry)
        return entry

    async def end(self, entry: AuditEntry, outcome: str, reason: str) -> None:
        """Completes the entry of a call that has ended; durable when it returns."""
        took_ms = max(0, self._now_ms() - entry.at_ms)
        await self._enter(replace(entry, outcome=outcome, reason=reason, took_ms=took_ms))

    def note(self, caller: Caller, call: str, request: str, outcome: str) -> None:
        """Enters what was done already, within a fifth of a second, without having anybody wait."""
        entry = replace(self._entry(caller, call, request), outcome=outcome, took_ms=0)
        if self._over:
            _say_lost([entry], "the service has ended")
            return
        self._waiting.append(_Waiting(entry, None))
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(_SOON_S, self._wake_soon)

    def _wake_soon(self) -> None:
        self._soon = None
        self._wake.set()

    def _entry(self, caller: Caller, call: str, request: str) -> AuditEntry:
        self._last += 1
        return AuditEntry(
            self._last,
            self._now_ms(),
            caller.name,
            caller.proof.value,
            caller.credential,
            caller.address,
            call,
            request,
        )

    async def list(self, wanted: AuditFilter, limit: int) -> Sequence[AuditEntry]:
        """Entries that are wanted, the newest first."""
        return await self._catalogue.call(lambda port: port.audit.list(wanted, limit))

    async def run(self) -> None:
        """Writes entries until cancelled, and then those that wait."""
        await self._write([replace(entry, outcome=INTERRUPTED) for entry in self._left])
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._write_waiting()
        finally:
            self._over = True
            await self._write_waiting()
            if self._file is not None:
                await asyncio.to_thread(self._file.close)

    async def _enter(self, entry: AuditEntry) -> None:
        if self._over:
            _say_lost([entry], "the service has ended")
            return
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(entry, done))
        self._wake.set()
        await done

    async def _write_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        await self._write([each.entry for each in waiting])
        for each in waiting:
            if each.done is not None and not each.done.done():  # whose caller has gone
                each.done.set_result(None)

    async def _write(self, entries: Sequence[AuditEntry]) -> None:
        if not entries:
            return
        try:
            await self._catalogue.call(lambda port: port.audit.put(entries))
        except CacheError as error:
            _say_lost(entries, str(error))
        if self._file is None:
            return
        try:
            await asyncio.to_thread(self._file.write, entries)
        except OSError as error:
            _say_lost(entries, str(error))

    def _now_ms(self) -> int:
        return int(self._clock() * 1_000)


def _say_lost(entries: Sequence[AuditEntry], error: str) -> None:
    for entry in entries:
        fields = {"event": "audit_lost", "error": error, "entry": asdict(entry)}
        _log.error("an entry of the audit log could not be written", extra=fields)
