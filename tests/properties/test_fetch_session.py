"""A fetch session against a broker's, whatever happens to either.

The model is Kafka's: it applies what a fetch names, then what it forgets; takes a fetch only with
the epoch that it expects; and forgets sessions when it likes.
"""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.mining.kafka.fetch_session import (
    INVALID_SESSION_EPOCH,
    SESSION_ID_NOT_FOUND,
    Asked,
    FetchSession,
    Naming,
)
from cachesvc.mining.source import SourcePartition

PARTITIONS = [SourcePartition("t", number) for number in range(5)]
PARTITION = st.sampled_from(PARTITIONS)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("want"), PARTITION, st.integers(0, 3), st.integers(1, 2)),
        st.tuples(st.just("drop"), PARTITION),
        st.tuples(st.sampled_from(["fetch", "lose request", "lose answer", "evict", "no slots"])),
    ),
    max_size=40,
)


@dataclass
class Broker:
    slots: bool = True
    next_id: int = 1
    sessions: dict[int, tuple[int, dict[SourcePartition, Asked]]] = field(default_factory=dict)

    def fetch(self, naming: Naming) -> tuple[int, int, dict[SourcePartition, Asked]]:
        """Error code, session id, and what the broker goes over."""
        if naming.full:
            self.sessions.pop(naming.session_id, None)
            asked = dict(naming.named)
            if not self.slots:
                return 0, 0, asked
            self.next_id += 1
            self.sessions[self.next_id] = (1, asked)
            return 0, self.next_id, dict(asked)
        if naming.session_id not in self.sessions:
            return SESSION_ID_NOT_FOUND, 0, {}
        expected, asked = self.sessions[naming.session_id]
        if naming.session_epoch != expected:
            return INVALID_SESSION_EPOCH, 0, {}
        asked.update(naming.named)
        for partition in naming.forgotten:
            del asked[partition]  # a client that forgets what was never named is wrong
        self.sessions[naming.session_id] = (expected + 1, asked)
        return 0, naming.session_id, dict(asked)


@given(STEPS)
def test_a_broker_goes_over_exactly_what_is_wanted(steps: list[tuple[object, ...]]) -> None:
    session, broker = FetchSession(), Broker()
    wanted: dict[SourcePartition, Asked] = {}
    for step in [*steps, ("fetch",), ("fetch",), ("fetch",)]:
        match step:
            case ("want", SourcePartition() as partition, int(offset), int(generation)):
                wanted[partition] = Asked(offset, 0, 100, generation)
                session.want(partition, wanted[partition])
            case ("drop", SourcePartition() as partition):
                wanted.pop(partition, None)
                session.drop(partition)
            case ("lose request",):
                session.request()
                session.lost()
            case ("lose answer",):
                broker.fetch(session.request())
                session.lost()
            case ("evict",):
                broker.sessions.clear()
            case ("no slots",):
                broker.slots = not broker.slots
            case _:
                naming = session.request()
                error_code, session_id, gone_over = broker.fetch(naming)
                if error_code:
                    session.lost(error_code)
                    continue
                session.answered(session_id)
                assert gone_over == wanted
                assert {p: session.asked(p) for p in wanted} == wanted
                if not naming.full:
                    assert len(naming.named) + len(naming.forgotten) <= len(PARTITIONS)
    assert set(session.wanted) == set(wanted)
    if broker.slots:
        quiet = session.request()
        assert not quiet.named
        assert not quiet.forgotten
