"""The run itself: starts everything, looks on, and adds it all up."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

from tests.demo import query
from tests.demo.broker_proxy import BrokerProxy
from tests.demo.checksum import Checksum
from tests.demo.crew import Crew, Ends, Member
from tests.demo.failure import DemoError
from tests.demo.metadata import Address
from tests.demo.options import Options
from tests.demo.outcome import Outcome
from tests.demo.plan import LATE_SHARE, SLOW_S, plans
from tests.demo.progress import Tracker
from tests.demo.screen import Screen
from tests.demo.service import Sealed, Service
from tests.demo.source import DirectReader, Extent, find_extent
from tests.demo.stand_in import StandIn

_LOOK_S = 0.25
_STALL_S = 60.0
_PRODUCE_S = 9.0
_RECORDS_PER_S = 20_000
"""What fewer records are produced at, so that a small run is a short one."""


class Run:
    """One run. Belongs to one event loop; `execute` may be called once.

    Args:
        options: What was asked for.
        directory: For the configuration and logs; exists.
        store: The store's directory.
        screen: Where to show how it goes on.
    """

    def __init__(self, options: Options, directory: Path, store: Path, screen: Screen) -> None:
        self._options = options
        self._directory = directory
        self._store = store
        self._screen = screen
        self._members = [Member(plan) for plan in plans(options.tasks)]
        self._tracker = Tracker(self._members, produces=options.kafka is None)
        self._proxy = BrokerProxy()
        self._stand_in: StandIn | None = None
        self._extent: Extent | None = None
        self._service: Service | None = None
        self._activity = "starting"
        self._began_s = time.monotonic()
        self._mined = 0
        self._log_ends: Ends = {}
        self._moved = (0, time.monotonic())

    async def execute(self) -> Outcome:
        """Runs from start to end; when it returns or raises, everything is stopped.

        Raises:
            DemoError: Something does not work.
        """
        self._show()
        async with AsyncExitStack() as stack:
            kafka = await self._open_source(stack)
            await stack.enter_async_context(self._proxy)
            bootstrap = await self._proxy.open(kafka)
            service = Service(self._directory, self._store, bootstrap, self._options.topics)
            self._service = await stack.enter_async_context(service)
            crew = await stack.enter_async_context(self._crew(service))
            self._moved = (0, time.monotonic())
            try:
                async with asyncio.TaskGroup() as group:
                    await self._deliver(group, crew)
                    service_bytes = self._proxy.bytes_received
                    sealed = await self._await_sealed(service)
                    rejects = await service.rejects()
                    direct = await self._read_directly(group, kafka, rejects)
            except* DemoError as failures:
                raise _first(failures) from None
            return await self._outcome(direct, sealed, service_bytes)

    @property
    def _total(self) -> int:
        return self._extent.records if self._extent is not None else self._options.records

    async def _open_source(self, stack: AsyncExitStack) -> Address:
        if self._options.kafka is not None:
            self._extent = await find_extent(self._options.kafka, self._options.topics)
            return self._options.kafka
        self._stand_in = await stack.enter_async_context(await asyncio.to_thread(StandIn))
        return self._stand_in.address

    def _crew(self, service: Service) -> Crew:
        end: Ends | None = self._extent.ends if self._extent is not None else None
        speed = self._total / min(SLOW_S, 1.5 * self._produce_s)
        return Crew(
            self._members, self._directory, service.address, self._options.topics, end, speed
        )

    @property
    def _produce_s(self) -> float:
        return min(_PRODUCE_S, self._total / _RECORDS_PER_S)

    async def _deliver(self, group: asyncio.TaskGroup, crew: Crew) -> None:
        """Fills the topic, starts tasks, and lets each go that has everything."""
        self._activity = "delivering"
        if self._stand_in is not None:
            self._activity = "producing"
            group.create_task(self._produce(self._stand_in))
        dismissed: set[str] = set()
        while not all(member.checksum for member in self._members):
            await self._look()
            for member in self._members:
                due = not member.plan.late or self._mined >= LATE_SHARE * self._total
                if member.started_s is None and due:
                    member.started_s = time.monotonic()
                    group.create_task(crew.run(member, self._mined))
                elif self._stand_in is not None and self._extent is not None:
                    name = member.plan.name
                    if name not in dismissed and member.has_reached(self._extent.ends):
                        dismissed.add(name)
                        crew.dismiss(member)

    async def _produce(self, stand_in: StandIn) -> None:
        await stand_in.produce(self._options.records, self._produce_s)
        self._extent = await find_extent(stand_in.address, self._options.topics)
        self._activity = "delivering"

    async def _await_sealed(self, service: Service) -> Sealed:
        self._activity = "sealing Parquet files"
        assert self._extent is not None
        while True:
            sealed = await service.sealed()
            if all(
                sealed.ends.get(partition, 0) >= end
                for partition, end in self._extent.ends.items()
                if end > self._extent.begins[partition]
            ):
                return sealed
            await self._look(moving=False)

    async def _read_directly(
        self, group: asyncio.TaskGroup, kafka: Address, rejects: set[tuple[str, int, int]]
    ) -> DirectReader:
        self._activity = "reading Kafka directly, to compare"
        assert self._extent is not None
        direct = DirectReader(self._extent, rejects, Checksum())
        reading = group.create_task(direct.read(kafka))
        while not reading.done():
            await self._look(moving=False)
        return direct

    async def _outcome(self, direct: DirectReader, sealed: Sealed, service_bytes: int) -> Outcome:
        orders = self._stand_in is not None
        answer = await asyncio.to_thread(query.ask, self._store, orders=orders)
        self._activity = "done"
        self._show()
        return Outcome(
            topics=direct.extent.topics,
            partitions=len(direct.extent.ends),
            source_records=direct.checksum.records,
            source_checksum=direct.checksum.hex(),
            rejects=direct.rejected,
            members=self._members,
            service_bytes=service_bytes,
            direct_bytes=direct.bytes_received,
            sealed=sealed,
            answer=answer,
            seconds=time.monotonic() - self._began_s,
        )

    async def _look(self, *, moving: bool = True) -> None:
        """Asks how far everything is, shows it, and waits a moment.

        Args:
            moving: Whether to give up if nothing moves for long.

        Raises:
            DemoError: The service is gone, or nothing moves.
        """
        assert self._service is not None
        offsets = await self._service.offsets()
        self._mined = sum(p.log_end_offset - p.log_start_offset for p in offsets)
        self._log_ends = {(p.topic, p.partition): p.log_end_offset for p in offsets}
        self._show()
        error = next((p.mining_error for p in offsets if p.mining_error), "")
        moved = self._mined + sum(member.records for member in self._members)
        now_s = time.monotonic()
        if moved != self._moved[0] or not moving:
            self._moved = (moved, now_s)
        elif now_s > self._moved[1] + _STALL_S:
            raise DemoError(f"nothing has moved for {_STALL_S:.0f} s. {error}".strip())
        await asyncio.sleep(_LOOK_S)

    def _show(self) -> None:
        produced = self._extent.records if self._extent is not None else 0
        produced = self._stand_in.produced if self._stand_in is not None else produced
        self._screen.show(
            self._tracker.picture(
                time.monotonic() - self._began_s,
                self._activity,
                total=self._total,
                produced=produced,
                mined=self._mined,
                log_ends=self._log_ends,
                broker_bytes=self._proxy.bytes_received,
            )
        )


def _first(failures: BaseExceptionGroup[DemoError]) -> DemoError:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
