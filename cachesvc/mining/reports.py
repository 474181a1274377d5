"""What a reader says of the partitions that it holds. No I/O."""

from dataclasses import dataclass

from cachesvc.mining.holdings import HeldPartition
from cachesvc.mining.source import PartitionStatus, SourcePartition
from cachesvc.model import MiningState
from cachesvc.policy.blocking import Blockage


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """What a reader says of a partition that it holds.

    Attributes:
        partition: Which one.
        incarnation: Which incarnation of its topic.
        high_watermark: The source's; None until told.
        state: What mining does.
        error: Why, where the state asks for a reason.
        problem: What only the service can settle; empty if there is no such thing.
        backfill: Whether this is about an older range of it.
        blocked: What it has stopped at, where it is blocked.
    """

    partition: SourcePartition
    incarnation: int
    high_watermark: int | None
    state: MiningState
    error: str
    problem: str = ""
    backfill: bool = False
    blocked: Blockage | None = None


def report_of(
    held: HeldPartition, status: PartitionStatus, source_error: str, *, backfill: bool
) -> PartitionReport:
    """The report on one partition.

    Args:
        held: What is known of it here.
        status: What the source says of it.
        source_error: Why the source as a whole cannot be reached; empty while it can.
        backfill: Whether this is about an older range.
    """
    problem = status.problem
    state, error = MiningState.MINING, ""
    if held.blocked is not None:
        state, error = MiningState.BLOCKED, held.blocked.told(*held.partition)
    elif held.failure:
        state, error = MiningState.FAILED, held.failure
    elif problem is not None:
        state = MiningState.SOURCE_UNREACHABLE if problem.reason.away else MiningState.FAILED
        error = str(problem)
    elif source_error:
        state, error = MiningState.SOURCE_UNREACHABLE, source_error
    elif status.throttled:
        state, error = MiningState.THROTTLED, status.throttled
    elif status.high_watermark is None:
        state = MiningState.STARTING
    unsettled = problem.reason.value if problem is not None and problem.reason.final else ""
    return PartitionReport(
        held.partition,
        held.incarnation,
        status.high_watermark,
        state,
        error,
        unsettled,
        backfill,
        held.blocked,
    )
