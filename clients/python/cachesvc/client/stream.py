"""Streams: what a sync task reads from."""

from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Self

from cachesvc.client.batch import Batch
from cachesvc.client.committer import Committer
from cachesvc.client.cursor import RecordCursor
from cachesvc.client.errors import StreamBusy, StreamClosed
from cachesvc.client.events import Event, Started
from cachesvc.client.feed import Feed
from cachesvc.client.ledger import Ledger
from cachesvc.client.positions import Positions, PositionsLike, as_positions
from cachesvc.client.record import Record
from cachesvc.client.rpc import Service
from cachesvc.client.settings import Sharing, Subscribe
from cachesvc.client.shared_ledger import SharedLedger


class Stream:
    """A live stream on a subscription; made by ``Client.subscribe``, used in ``async with``.

    Per partition, records come in offset order, none twice and none left out, also when the
    connection is lost in between: the stream connects again by itself and goes on. Across
    streams delivery is at least once: a new stream starts at the committed positions. So does a
    member of a shared subscription in each partition that it gets, also after a lost connection.

    Three ways to read, which may be mixed, by one task at a time; each goes on where the one
    before was left:

    - ``async for batch in stream``: batches of records; ends when the stream is complete
    - ``stream.records()``: single records
    - ``stream.events()``: batches and everything else that the service tells

    All of them are cancel-safe: a wait that was cancelled loses nothing.
    """

    def __init__(self, service: Service, request: Subscribe) -> None:
        shared = request.sharing is Sharing.SHARED
        self._ledger = SharedLedger() if shared else Ledger()
        self._feed = Feed(service, request, self._ledger)
        self._committer = Committer(service, request, self._feed, self._ledger)
        self._cursor: RecordCursor | None = None
        self._entered = False
        self._open = False
        self._waiting = False

    async def __aenter__(self) -> Self:
        if self._entered:
            raise StreamClosed("a stream can be entered once; ask the client for another")
        self._entered = True
        await self._feed.open()
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open = False
        await self._feed.close()

    @property
    def started(self) -> Started:
        """How the newest connection began: epoch, positions, end.

        Raises:
            StreamClosed: The stream was not entered yet.
        """
        if self._feed.started is None:
            raise StreamClosed("enter the stream first: async with client.subscribe(…) as stream")
        return self._feed.started

    @property
    def position(self) -> Positions:
        """Covers exactly what was handed out so far: what ``commit()`` would store now.

        A batch is handed out when it is given. A record is handed out when the next one is asked
        for: the record in hand is not covered. Partitions that have given nothing yet are where
        they started, or behind the holes they began with.
        """
        return self._with_cursor(covered=True)

    async def commit(self, positions: PositionsLike | None = None) -> None:
        """Stores positions; when this returns, they survive the death of the service.

        May be called by any task, also after the stream is complete. A task other than the
        reading one had better say which positions it means: ``batch.position``,
        ``record.position``, or a ``stream.position`` taken at the right moment.

        While the connection is lost, it waits for the next one, for ``commit_timeout_s`` in all.
        Positions only go forward; what is stored already costs no call. A member of a shared
        subscription stores those of its partitions: others are left out, as another member has
        them and began where they are stored. Cancelled, or after
        ``TimedOut``, they may be stored or not.

        Args:
            positions: One position, several, or a mapping of partitions to offsets; those not
                named stay where they are. None means ``stream.position``.

        Raises:
            PositionNotDelivered: They cover more than was handed out; nothing is stored.
            Superseded: The subscription belongs to somebody else now; nothing is stored.
            PartitionRevoked: A shared stream is complete, and others have its partitions by now.
            TimedOut: No answer came in time.
            StreamClosed: The stream is not open.
            ClientError: The service refuses it.
        """
        self._check_open()
        wanted = self.position if positions is None else as_positions(positions)
        await self._committer.commit(wanted, self._with_cursor(covered=False))

    def __aiter__(self) -> AsyncIterator[Batch]:
        return self

    async def __anext__(self) -> Batch:
        while (event := await self._next()) is not None:
            if isinstance(event, Batch):
                return event
        raise StopAsyncIteration

    async def records(self) -> AsyncGenerator[Record, None]:
        """The records, one by one.

        Raises:
            ClientError: The stream has failed.
        """
        while (cursor := self._cursor or await self._next_cursor()) is not None:
            for run in cursor.runs():
                for record in run:
                    yield record
            if self._cursor is cursor:
                self._cursor = None
                self._ledger.hand_out(cursor.batch)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Everything that the service tells, in order; the last is ``Ended``.

        Raises:
            ClientError: The stream has failed.
        """
        while (event := await self._next()) is not None:
            yield event

    async def _next(self) -> Event | None:
        """The next event, handed out; None when the stream is complete."""
        rest = self._leave_cursor()
        event = rest if rest is not None else await self._receive()
        if event is not None:
            self._ledger.hand_out(event)
        return event

    async def _next_cursor(self) -> RecordCursor | None:
        """The next batch with records, to be handed out one by one; None when complete."""
        while (event := await self._receive()) is not None:
            if isinstance(event, Batch) and event.record_count:
                self._cursor = RecordCursor(event)
                return self._cursor
            self._ledger.hand_out(event)
        return None

    async def _receive(self) -> Event | None:
        self._check_open()
        if self._waiting:
            raise StreamBusy("another task is waiting for the next item of this stream")
        self._waiting = True
        try:
            return await self._feed.next()
        finally:
            self._waiting = False

    def _leave_cursor(self) -> Batch | None:
        """What ``records()`` left of its batch, if anything."""
        if self._cursor is None:
            return None
        rest = self._cursor.rest()
        self._cursor = None
        if rest.record_count:
            return rest
        self._ledger.hand_out(rest)
        return None

    def _with_cursor(self, *, covered: bool) -> Positions:
        """What was handed out, without the record in hand or, for a bound, with it."""
        handed_out = self._ledger.handed_out
        record = self._cursor.in_hand if self._cursor is not None else None
        if self._cursor is None or record is None:
            return handed_out
        if covered:
            position = self._cursor.covered
            return handed_out if position is None else handed_out.moved(position)
        return handed_out.moved(record.position)

    def _check_open(self) -> None:
        if not self._open:
            raise StreamClosed("the stream is open only inside its async with")
