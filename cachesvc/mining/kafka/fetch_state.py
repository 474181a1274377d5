"""What is known of a partition that is being fetched, and what follows from it. No I/O."""

from dataclasses import dataclass, field

from cachesvc.errors import SourceUnreachable
from cachesvc.mining.kafka.failures import told
from cachesvc.mining.kafka.fetch_session import Asked
from cachesvc.mining.kafka.record_batches import KafkaBatch
from cachesvc.mining.source import (
    EARLIEST,
    Problem,
    ProblemReason,
    SourcePartition,
)
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH, continues

UNKNOWN_TOPIC_OR_PARTITION = 3
_TOPIC_AUTHORIZATION_FAILED = 29


@dataclass(slots=True, eq=False)
class FetchState:
    """One partition, from the moment it is added; moving it makes a new state.

    Attributes:
        partition: Which one.
        offset: The next one to fetch; ``EARLIEST`` until the source was asked.
        bytes_max: For the next fetch; grows while a single record batch does not fit.
        topic_id: The cluster's id of the topic when it was first seen; None before.
        suspect: Leader and topic id have to be looked at before anything is fetched.
        out_of_range: The source says that it does not have ``offset``.
        paused: Not to be fetched.
        buffered: Fetched and not yet polled.
        generation: Which stay of the partition at its source it is.
        node: The broker that leads it; None where that is not known, or there is none.
        high_watermark: The last stable offset; None until told.
        watermark_s: When that was, on the monotonic clock.
        problem: Why it is not being fetched.
        epoch: Leader epoch of the record batch before ``offset``.
        leader_epoch: Of the present leader.
        proven_epoch: Of the last leader whose log is known to continue what was fetched.
    """

    partition: SourcePartition
    offset: int
    bytes_max: int
    topic_id: str | None = None
    suspect: bool = True
    out_of_range: bool = False
    paused: bool = False
    buffered: KafkaBatch | None = None
    generation: int = 0
    node: int | None = None
    high_watermark: int | None = None
    watermark_s: float = float("-inf")
    problem: Problem | None = None
    epoch: int = UNKNOWN_EPOCH
    leader_epoch: int = UNKNOWN_EPOCH
    proven_epoch: int = UNKNOWN_EPOCH
    _nothing_yet: bool = field(init=False)

    def __post_init__(self) -> None:
        self._nothing_yet = self.offset == EARLIEST

    @property
    def given_up(self) -> bool:
        """Whether only adding it anew helps."""
        return self.problem is not None and self.problem.reason.final

    @property
    def fetchable(self) -> bool:
        """Whether a fetch may be sent, if its leader is known."""
        waiting = self.unsettled or self.buffered is not None
        return not (waiting or self.paused or self.given_up)

    @property
    def unproven(self) -> bool:
        """Whether another leader than before may have other records before ``offset``."""
        known = self.epoch, self.proven_epoch, UNKNOWN_EPOCH
        return self.epoch != UNKNOWN_EPOCH and self.leader_epoch not in known

    @property
    def unsettled(self) -> bool:
        """Whether something has to be asked before it can be fetched."""
        open_question = self.suspect or self.out_of_range or self.unproven or self.offset < 0
        return open_question and not self.given_up

    @property
    def asked(self) -> Asked:
        """What to ask its leader for."""
        return Asked(self.offset, self.leader_epoch, self.bytes_max, self.generation)

    def fail(self, reason: ProblemReason, detail: str, resume_offset: int | None = None) -> None:
        """Notes a problem; a final one stays and takes along what is buffered."""
        if self.given_up:
            return
        self.problem = Problem(reason, f"{self.partition}: {detail}", resume_offset)
        if reason.final:
            self.buffered = None

    def fail_by(self, error: SourceUnreachable) -> None:
        """Its leader did not answer, or is not to be believed."""
        if error.reason == ProblemReason.SOURCE_CHANGED.value:
            self.fail(ProblemReason.SOURCE_CHANGED, str(error))
        else:
            self.fail(ProblemReason.SOURCE_UNREACHABLE, told(error))

    def works(self) -> None:
        """The source answered for it: forgets a problem that is not final."""
        if not self.given_up:
            self.problem = None

    def note_watermark(self, watermark: int, now_s: float) -> bool:
        """Notes what the source says; False if it went back, as another incarnation does."""
        fell = self.high_watermark is not None and watermark < self.high_watermark
        self.high_watermark, self.watermark_s = watermark, now_s
        if fell:
            self.suspect = True
        return not fell

    def expects(self, asked: Asked | None) -> bool:
        """Whether the answer to what was asked is of use."""
        if asked is None or self.buffered is not None or self.paused or self.given_up:
            return False
        return (asked.generation, asked.offset) == (self.generation, self.offset)

    def buffer(self, batch: KafkaBatch) -> None:
        """Takes what a fetch brought."""
        self.buffered, self.offset = batch, batch.end_offset
        self.epoch = batch.leader_epoch
        self._nothing_yet = False

    def refuse(self, error_code: int, name: str) -> None:
        """The source refused to say anything about it, now or in a fetch."""
        self.suspect = True
        if error_code == UNKNOWN_TOPIC_OR_PARTITION:
            self.fail(ProblemReason.UNKNOWN_TOPIC, "the source has no such topic and partition")
        elif error_code == _TOPIC_AUTHORIZATION_FAILED:
            self.fail(ProblemReason.TOPIC_NOT_AUTHORIZED, "the source does not let us read it")
        else:
            self.fail(ProblemReason.SOURCE_ERROR, f"the source answers {name}")

    def identify(self, topic_id: str) -> None:
        """The topic of this name has this id: the same as ever, or another one."""
        if self.topic_id is None:
            self.topic_id = topic_id
        if self.topic_id != topic_id:
            detail = f"the topic {self.topic_id} is gone, one of the same name is {topic_id}"
            self.fail(ProblemReason.TOPIC_RECREATED, detail)
        else:
            self.suspect = False

    def prove(self, leader_epoch: int) -> None:
        """The leader of that epoch has what was fetched, or nobody can tell."""
        self.proven_epoch = leader_epoch

    def compare(self, leader_epoch: int, found_epoch: int, end_offset: int) -> None:
        """The leader of ``leader_epoch`` says where the epoch ends, or the one before it."""
        if continues(self.epoch, self.offset, found_epoch, end_offset):
            self.prove(leader_epoch)
            return
        detail = (
            f"what was mined up to {self.offset} under leader epoch {self.epoch} is not what the"
            f" source has now: its leader of epoch {leader_epoch} knows epoch {found_epoch} up to"
            f" {end_offset}; it lost records, or the topic was deleted and created again"
        )
        self.fail(ProblemReason.SOURCE_TRUNCATED, detail)

    def locate(self, earliest: int, end: int) -> None:
        """The source has ``[earliest, end)``: begins, goes on, or gives up. Never jumps."""
        self.out_of_range = False
        if self.offset == EARLIEST or (self._nothing_yet and self.offset < earliest):
            self.offset = earliest
        elif self.offset < earliest:
            gap = f"[{self.offset}, {earliest})"
            detail = f"the source deleted {gap} before it was mined"
            self.fail(ProblemReason.SOURCE_RETENTION, detail, earliest)
        elif self.offset > end:
            detail = (
                f"the source ends at {end}, before {self.offset}, where mining has to go on:"
                " it lost records, or the topic was deleted and created again"
            )
            self.fail(ProblemReason.SOURCE_TRUNCATED, detail)
