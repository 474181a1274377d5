"""What a catalogue keeps of mining that was watched, as ports; see ``ports.Catalogue``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cachesvc.model import TopicId
from cachesvc.policy.alarms import AlarmKey
from cachesvc.policy.throughput import Counts

PAST_ALARMS_MAX = 10_000
"""The newest cleared alarms that a catalogue keeps."""
ALARM_NOTICES_MAX = 10_000
"""The newest undelivered notices that a catalogue keeps."""


@dataclass(frozen=True, slots=True)
class AlarmRecord:
    """An alarm.

    Attributes:
        id: Rises with every alarm of a store, from 1.
        key: What it is about.
        message: What was wrong when it was raised.
        raised_ms: When it was raised.
        cleared_ms: When it was cleared; None while it stands.
    """

    id: int
    key: AlarmKey
    message: str
    raised_ms: int
    cleared_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the webhook has to be told: an alarm as it was raised, or as it was cleared.

    Attributes:
        number: Rises in the order in which notices are to be delivered.
        alarm: As it was then.
    """

    number: int
    alarm: AlarmRecord


class MiningCountsKept(Protocol):
    """What was mined of topics; every method is one transaction, see ``ports``."""

    def put(self, counts: Mapping[TopicId, Counts]) -> None:
        """Stores what was mined of these topics."""

    def all(self) -> dict[TopicId, Counts]:
        """What was mined of every topic, ordered by topic."""


class Alarms(Protocol):
    """Alarms and notices; every method is one transaction, see ``ports``."""

    def put(self, alarms: Sequence[AlarmRecord], *, notify: bool) -> None:
        """Enters alarms that were raised, and follows those that were cleared.

        With ``notify`` the webhook is to be told of each, in this order. The newest
        ``PAST_ALARMS_MAX`` past alarms are kept, and the newest ``ALARM_NOTICES_MAX`` notices.
        """

    def list(self, connection: str, limit: int, *, past: bool) -> Sequence[AlarmRecord]:
        """Alarms that stand, the newest first; with ``past`` those that were cleared behind them.

        Of a connection, or of all for an empty name.
        """

    def last_id(self) -> int:
        """The greatest id; 0 if there was never an alarm."""

    def first_notice(self) -> Notice | None:
        """What the webhook has to be told next."""

    def drop_notice(self, number: int) -> None:
        """Forgets a notice that was delivered."""

    def count_notices(self) -> int:
        """How many wait."""
