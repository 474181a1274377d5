"""How far everything is, as values to be shown. No I/O; the clock comes in as an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from tests.demo.crew import Ends, Member

_WINDOW_S = 1.5


class Rate:
    """Records per second over the last moments."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def at(self, now_s: float, count: int) -> float:
        """Enters a count and returns how fast it grows."""
        self._samples.append((now_s, count))
        while len(self._samples) > 2 and self._samples[1][0] <= now_s - _WINDOW_S:
            self._samples.popleft()
        began_s, before = self._samples[0]
        return (count - before) / (now_s - began_s) if now_s > began_s else 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        name: Whose it is.
        kind: What is special about it.
        records: How many so far; None while it has not begun.
        per_second: How fast it gets on.
        lag: How many it is behind; None where that means nothing.
        state: What it is doing.
    """

    name: str
    kind: str
    records: int | None
    per_second: float
    lag: int | None
    state: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything at one moment.

    Attributes:
        elapsed_s: Since the service answered.
        activity: What is going on.
        total: Records that there will be.
        flow: What goes into the cache: produced, mined.
        tasks: What comes out of it.
        broker_bytes: What the broker has sent to the service.
        direct_bytes: What it would have sent to all tasks for what they have by now, each reading
            by itself.
    """

    elapsed_s: float
    activity: str
    total: int
    flow: Sequence[Row]
    tasks: Sequence[Row]
    broker_bytes: int
    direct_bytes: float

    @property
    def done(self) -> float:
        """Share of the way, from 0 to 1: all records mined, and delivered to all tasks."""
        mined = self.flow[-1].records or 0
        got = mined + sum(mined - row.lag for row in self.tasks if row.lag is not None)
        return min(1.0, got / max(1, self.total * (1 + len(self.tasks))))


class Tracker:
    """Makes pictures, and remembers what it takes to tell rates.

    Args:
        members: The tasks.
        produces: Whether the demo fills the topic by itself.
    """

    def __init__(self, members: Sequence[Member], *, produces: bool) -> None:
        self._members = members
        self._produces = produces
        self._rates = {name: Rate() for name in ("produced", "mined")}
        self._task_rates = [Rate() for _ in members]

    def picture(
        self,
        elapsed_s: float,
        activity: str,
        *,
        total: int,
        produced: int,
        mined: int,
        log_ends: Ends,
        broker_bytes: int,
    ) -> Picture:
        """Everything as it is now."""
        source = ("produced", "by this demo") if self._produces else ("in Kafka", "at the start")
        speed = self._rates["produced"].at(elapsed_s, produced) if self._produces else 0.0
        mining_speed, lag = self._rates["mined"].at(elapsed_s, mined), max(0, produced - mined)
        flow = [
            Row(*source, produced, speed, None, ""),
            Row("mined", "by one reader", mined, mining_speed, lag, ""),
        ]
        tasks = [
            _row(member, rate.at(elapsed_s, member.records), member.lag(log_ends))
            for member, rate in zip(self._members, self._task_rates, strict=True)
        ]
        shares = [1 - row.lag / mined for row in tasks if row.lag is not None and mined]
        return Picture(
            elapsed_s, activity, total, flow, tasks, broker_bytes, sum(shares) * broker_bytes
        )


def _row(member: Member, per_second: float, lag: int) -> Row:
    plan = member.plan
    if member.started_s is None:
        return Row(plan.name, plan.kind, None, 0.0, None, "joins late" if plan.late else "")
    return Row(plan.name, plan.kind, member.records, per_second, lag, _state(member, lag))


def _state(member: Member, lag: int) -> str:
    if member.checksum:
        return "has it all"
    if not member.positions:
        return "connecting"
    if member.plan.slow and lag:
        return "slow"
    return "live" if member.live else "catching up"
