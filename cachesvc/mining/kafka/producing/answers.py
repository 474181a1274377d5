"""What a broker's answer to a write means for who wrote. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from aiokafka import errors

NO_ERROR = 0
CORRUPT, UNKNOWN_TOPIC, TOO_LARGE, BATCH_TOO_LARGE = 2, 3, 10, 18
NOT_ENOUGH_REPLICAS = 19
TOPIC_NOT_AUTHORIZED, CLUSTER_NOT_AUTHORIZED, ID_NOT_AUTHORIZED = 29, 31, 53
INVALID_TIMESTAMP, INVALID_RECORD = 32, 87
CONCURRENT_TRANSACTIONS = 51

# aiokafka does not know them.
_NAMES = {
    76: "UnsupportedCompressionType",
    87: "InvalidRecord",
    89: "ThrottlingQuotaExceeded",
    90: "ProducerFenced",
    120: "TransactionAbortable",
}


class Outcome(Enum):
    """What becomes of what was written."""

    DONE = "done"
    RETRY = "retry"
    """The same bytes may be taken later, perhaps by another broker."""
    TOO_LARGE = "too large"
    """As one batch; of a single record, for good."""
    REFUSED = "refused"
    """Something in it is not taken, however often it is tried."""
    ANEW = "anew"
    """The broker has another idea of what this producer wrote; it has to begin again."""
    FENCED = "fenced"
    """Another producer has taken this one's place, or its transaction took too long."""
    NOT_ALLOWED = "not allowed"
    IMPOSSIBLE = "impossible"
    """Nothing will be taken before somebody changes something."""


_OUTCOMES = {
    NO_ERROR: Outcome.DONE,
    46: Outcome.DONE,  # a duplicate of what is stored
    TOO_LARGE: Outcome.TOO_LARGE,
    BATCH_TOO_LARGE: Outcome.TOO_LARGE,
    INVALID_TIMESTAMP: Outcome.REFUSED,
    INVALID_RECORD: Outcome.REFUSED,
    45: Outcome.ANEW,  # out of sequence
    48: Outcome.ANEW,  # not the state of a transaction for this
    49: Outcome.ANEW,  # a producer id that is not this transaction's
    59: Outcome.ANEW,  # a producer that is not known any more
    120: Outcome.ANEW,  # the transaction can only be aborted
    47: Outcome.FENCED,
    90: Outcome.FENCED,
    TOPIC_NOT_AUTHORIZED: Outcome.NOT_ALLOWED,
    CLUSTER_NOT_AUTHORIZED: Outcome.NOT_ALLOWED,
    ID_NOT_AUTHORIZED: Outcome.NOT_ALLOWED,
    17: Outcome.IMPOSSIBLE,  # not a topic's name
    21: Outcome.IMPOSSIBLE,  # acks
    35: Outcome.IMPOSSIBLE,  # version
    42: Outcome.IMPOSSIBLE,  # request
    43: Outcome.IMPOSSIBLE,  # message format
    50: Outcome.IMPOSSIBLE,  # transaction timeout
    76: Outcome.IMPOSSIBLE,  # compression
}


def outcome_of(error_code: int) -> Outcome:
    """What an error code of Kafka's means; what is not known is worth another try."""
    return _OUTCOMES.get(error_code, Outcome.RETRY)


def name_of(error_code: int) -> str:
    """What Kafka calls an error."""
    return _NAMES.get(error_code) or str(errors.for_code(error_code).__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a broker says of one record batch.

    Attributes:
        error_code: Kafka's.
        message: For people; empty where it tells none, as before Kafka 2.4.
        records: Why single records are refused, by their place in the batch; likewise.
    """

    error_code: int
    message: str = ""
    records: Mapping[int, str] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """What it means."""
        return outcome_of(self.error_code)

    def __str__(self) -> str:
        name = name_of(self.error_code)
        return f"{name} ({self.message})" if self.message else name


@dataclass(frozen=True, slots=True)
class RecordRefused:
    """One record that a cluster does not take.

    Attributes:
        part: Which one of the parts that were written.
        row: Which of its records.
        reason: Word in capitals.
        detail: For people.
    """

    part: int
    row: int
    reason: str
    detail: str


class RecordsRefused(Exception):
    """A cluster does not take something, and never will.

    Attributes:
        refused: The records, as far as the broker tells or it can be known; empty if not.
    """

    def __init__(self, detail: str, refused: Sequence[RecordRefused] = ()) -> None:
        super().__init__(detail)
        self.refused = tuple(refused)
