"""How a stream delivers, as its client asked for it."""

from dataclasses import dataclass

from cachesvc.filters import Reduction
from cachesvc.model import GapPolicy
from cachesvc.serving.calling import MayRead, may_read_all
from cachesvc.serving.forms import Form
from cachesvc.shared_memory.neighbours import Neighbour


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How a stream delivers.

    Attributes:
        form: How batches carry records.
        batch_bytes_max: Bound for what a batch carries.
        progress_interval_s: Longest silence.
        bounded: Whether the stream is complete once all its partitions are.
        gap_policy: What to do at a gap, once it is told.
        message_bytes_max: The largest message that the client takes; 0 where it does not say.
        joins_batches: Whether it takes several batches in a message.
        reduction: What is left out; None if nothing is.
        subscription: Its name.
        parquet_bytes_max: The largest Parquet file that it takes in a batch; 0 for none.
        may_read: Which topics the client may read; any other ends the stream.
        neighbour: Where records are handed over in shared memory; None where they are not.
        lent_bytes_max: Bound for what a batch has that is handed over, as its records are kept.
    """

    form: Form
    batch_bytes_max: int
    progress_interval_s: float
    bounded: bool
    gap_policy: GapPolicy = GapPolicy.STOP_AT_GAP
    message_bytes_max: int = 0
    joins_batches: bool = False
    reduction: Reduction | None = None
    subscription: str = ""
    parquet_bytes_max: int = 0
    may_read: MayRead = may_read_all
    neighbour: Neighbour | None = None
    lent_bytes_max: int = 0
