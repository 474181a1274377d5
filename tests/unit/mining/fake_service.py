"""The service's side of mining, in memory and in this process, behind real gRPC."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from cachesvc.model import MiningState
from cachesvc.store.record_schema import REJECT_SCHEMA, decode_payloads
from cachesvc.v1 import mining_pb2 as pb
from cachesvc.v1 import mining_pb2_grpc, watching_pb2

WAIT_S = 60.0


@dataclass(slots=True)
class FakeLog:
    """What was appended to one partition."""

    end_offset: int = -1
    leader_epoch: int | None = None
    appends: list[pb.AppendRequest] = field(default_factory=list)

    def rows(self) -> list[dict[str, Any]]:
        payloads = [append.payload for append in self.appends if append.payload]
        return list(decode_payloads(payloads).to_pylist()) if payloads else []

    def rejects(self) -> list[dict[str, Any]]:
        payloads = [append.rejects for append in self.appends if append.rejects]
        return list(decode_payloads(payloads, REJECT_SCHEMA).to_pylist()) if payloads else []

    @property
    def values(self) -> list[str | None]:
        return [row["value"] for row in self.rows()]

    @property
    def offsets(self) -> list[int]:
        return [row["offset"] for row in self.rows()]


class FakeService(mining_pb2_grpc.MiningServicer):
    """Takes contiguous appends under the epoch that it assigned.

    Attributes:
        logs: What was appended, by topic and partition.
        attempts: How often a partition was to be tried again, by topic and partition.
        joins_appends: Whether it takes several appends in a message.
        together: How many appends came in each message that had several.
        parts: Messages of appends that came in several.
        older: Ranges to be mined beside the tail, by topic and partition.
        backfills: What was appended of them.
        topics: What is assigned: topic to epoch and partitions.
        held: While set, appends are accepted but not answered.
        refuse: Answers an append with a reason instead, if it returns one.
        joins: First messages of the readers that have joined.
        reports: The newest report of each partition.
    """

    def __init__(
        self, bootstrap_servers: Sequence[str] = ("127.0.0.1:1",), **settings: Any
    ) -> None:
        self.settings = {
            "name": "default",
            "bootstrap_servers": list(bootstrap_servers),
            "topic_expression": ".*",
            "non_json_policy": "reject",
            "append_window_bytes_max": 1 << 20,
            "batch_records_max": 20_000,
            **settings,
        }
        self.logs: defaultdict[tuple[str, int], FakeLog] = defaultdict(FakeLog)
        self.attempts: dict[tuple[str, int], int] = {}
        self.joins_appends = True
        self.together: list[int] = []
        self.parts = 0
        self.older: dict[tuple[str, int], tuple[int, int]] = {}
        self.backfills: defaultdict[tuple[str, int], FakeLog] = defaultdict(FakeLog)
        self.topics: dict[str, tuple[int, Sequence[int]]] = {}
        self.spacing_ms = 0
        self.cluster_id = ""
        self.answering = asyncio.Event()
        self.answering.set()
        self.refuse: Callable[[pb.AppendRequest], str] = lambda append: ""
        self.joins: list[pb.JoinRequest] = []
        self.reports: dict[tuple[str, int], pb.PartitionReport] = {}
        self.backfill_reports: dict[tuple[str, int], pb.PartitionReport] = {}
        self.source_error = ""
        self.throttled_ms = 0
        self.figures = watching_pb2.ReaderFigures()
        self.refused: list[str] = []
        self._joined: list[asyncio.Queue[pb.JoinResponse]] = []
        self._server: grpc.aio.Server | None = None

    # For tests

    async def start(self, address: str) -> None:
        self._server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
        mining_pb2_grpc.add_MiningServicer_to_server(self, self._server)
        self._server.add_insecure_port(address)
        await self._server.start()

    async def stop(self) -> None:
        """Dies: breaks all calls."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def assign(self, topics: Mapping[str, tuple[int, Sequence[int]]]) -> None:
        """Assigns topics with their epochs and partitions to every reader."""
        self.topics = dict(topics)
        self.reports.clear()
        self.backfill_reports.clear()
        for queue in self._joined:
            queue.put_nowait(self._assignment())

    def state(self, topic: str, number: int) -> MiningState | None:
        report = self.reports.get((topic, number))
        return None if report is None else MiningState(report.state)

    def _assignment(self) -> pb.JoinResponse:
        response = pb.JoinResponse(fetch_spacing_ms=self.spacing_ms, cluster_id=self.cluster_id)
        for name, (epoch, numbers) in self.topics.items():
            topic = response.topics.add(topic=name, incarnation=1, epoch=epoch)
            for number in numbers:
                log = self.logs[name, number]
                row = topic.partitions.add(
                    partition=number,
                    resume_offset=log.end_offset,
                    leader_epoch=log.leader_epoch,
                    attempt=self.attempts.get((name, number), 0),
                )
                if (name, number) in self.older:
                    row.backfill.begin_offset, row.backfill.end_offset = self.older[name, number]
                    begin = row.backfill.begin_offset
                    self.backfills.setdefault((name, number), FakeLog(begin))
        return response

    # Mining

    async def Join(self, requests: AsyncIterator[pb.JoinRequest], context: Any) -> None:  # noqa: N802
        first = await anext(aiter(requests))
        self.joins.append(first)
        await context.write(
            pb.JoinResponse(
                connection_json=json.dumps(self.settings), takes_joined_appends=self.joins_appends
            )
        )
        queue: asyncio.Queue[pb.JoinResponse] = asyncio.Queue()
        queue.put_nowait(self._assignment())
        self._joined.append(queue)
        listening = asyncio.ensure_future(self._listen(requests))
        try:
            while not listening.done():
                waiting = asyncio.ensure_future(queue.get())
                await asyncio.wait({listening, waiting}, return_when=asyncio.FIRST_COMPLETED)
                if waiting.done():
                    await context.write(waiting.result())
                else:
                    waiting.cancel()
        finally:
            listening.cancel()
            self._joined.remove(queue)

    async def _listen(self, requests: AsyncIterator[pb.JoinRequest]) -> None:
        async for request in requests:
            self.source_error = request.source_error
            self.throttled_ms = request.throttled_ms
            self.figures = request.figures
            tail = [report for report in request.partitions if not report.backfill]
            older = [report for report in request.partitions if report.backfill]
            self.reports.update({(r.topic, r.partition): r for r in tail})
            wanted = [r for r in older if (r.topic, r.partition) in self.older]
            self.backfill_reports.update({(r.topic, r.partition): r for r in wanted})

    async def Append(self, requests: AsyncIterator[pb.AppendRequest], context: Any) -> None:  # noqa: N802
        answers: asyncio.Queue[pb.AppendResponse] = asyncio.Queue()
        answering = asyncio.ensure_future(self._answer(answers, context))
        whole = None
        try:
            async for append in requests:
                if append.joined:
                    self.together.append(len(append.joined))
                    taken = [self._take(each) for each in append.joined]
                    answers.put_nowait(pb.AppendResponse(joined=taken))
                    continue
                self.parts += append.more or whole is not None
                if whole is None:
                    whole = append
                else:
                    whole.payload += append.payload
                    whole.rejects += append.rejects
                if not append.more:
                    answers.put_nowait(self._take(whole))
                    whole = None
        finally:
            answering.cancel()

    async def _answer(self, answers: "asyncio.Queue[pb.AppendResponse]", context: Any) -> None:
        while True:
            answer = await answers.get()
            await self.answering.wait()
            await context.write(answer)

    def _take(self, append: pb.AppendRequest) -> pb.AppendResponse:
        logs = self.backfills if append.backfill else self.logs
        log = logs[append.topic, append.partition]
        refused = self.refuse(append)
        epoch, _ = self.topics.get(append.topic, (0, ()))
        if not refused and append.epoch != epoch:
            refused = "STALE_EPOCH"
        if not refused and log.end_offset not in (-1, append.base_offset):
            refused = "NOT_CONTIGUOUS"
        if refused:
            self.refused.append(refused)
        else:
            assert append.base_offset < append.end_offset
            log.end_offset = append.end_offset
            log.appends.append(append)
        return pb.AppendResponse(
            topic=append.topic,
            partition=append.partition,
            log_end_offset=log.end_offset,
            refused=refused,
            leader_epoch=log.leader_epoch,
        )


@asynccontextmanager
async def serving(service: FakeService, directory: Path) -> AsyncIterator[str]:
    """Runs a service on a socket of its own; yields the address."""
    address = f"unix:{directory / 'service.sock'}"
    await service.start(address)
    try:
        yield address
    finally:
        await service.stop()


async def until(condition: Callable[[], bool], what: str = "") -> None:
    """Waits for something that will be so soon.

    Raises:
        AssertionError: It is not.
    """
    try:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110 (any condition, not one event)
                await asyncio.sleep(0.005)
    except TimeoutError as error:
        raise AssertionError(f"waited in vain: {what or condition}") from error
