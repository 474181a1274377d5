"""Leader epochs against a model of replicated logs, of which any may become the leader."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import takewhile

from hypothesis import event, given, settings
from hypothesis import strategies as st

from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH, EpochHistory, continues

Log = list[tuple[int, int]]
"""Leader epoch and a number of its own per record; the index is the offset."""


@dataclass
class Replicas:
    """Three logs of one partition; followers copy the leader as KIP-101 says."""

    logs: list[Log] = field(default_factory=lambda: [[], [], []])
    leader: int = 0
    epoch: int = 0
    led_from: int = 0
    _written: int = 0

    @property
    def log(self) -> Log:
        return self.logs[self.leader]

    def elect(self, replica: int) -> None:
        self.leader, self.epoch = replica, self.epoch + 1
        self.led_from = len(self.log)

    def write(self, count: int) -> None:
        for _ in range(count):
            self._written += 1
            self.log.append((self.epoch, self._written))

    def follow(self, replica: int, count: int) -> None:
        """Drops what the leader does not have, then copies some records."""
        pairs = zip(self.logs[replica], self.log, strict=False)
        same = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
        self.logs[replica] = self.log[: max(same, same + count)]

    def end_of(self, asked: int) -> tuple[int, int]:
        """What Kafka's LeaderEpochFileCache answers."""
        starts = {epoch: offset for offset, (epoch, _) in reversed(list(enumerate(self.log)))}
        starts.setdefault(self.epoch, self.led_from)
        epochs = sorted(starts)
        if asked == epochs[-1]:
            return asked, len(self.log)
        higher = bisect_right(epochs, asked)
        if higher == len(epochs):
            return UNKNOWN_EPOCH, -1
        floor = epochs[higher - 1] if higher else asked
        return floor, starts[epochs[higher]]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("elect"), st.integers(0, 2)),
        st.tuples(st.just("write"), st.integers(1, 5)),
        st.tuples(st.just("follow"), st.integers(0, 2), st.integers(0, 6)),
        st.just(("mine",)),
    ),
    min_size=8,
    max_size=60,
)


@settings(max_examples=1_000)
@given(STEPS)
def test_a_leader_continues_what_was_mined_just_if_it_has_it(
    steps: list[tuple[object, ...]],
) -> None:
    replicas = Replicas()
    mined: Log = []
    for name, *arguments in steps:
        if name != "mine":
            getattr(replicas, str(name))(*arguments)
            continue
        if mined:
            has_it = replicas.log[: len(mined)] == mined
            epoch = mined[-1][0]
            found = continues(epoch, len(mined), *replicas.end_of(epoch))
            event(f"it has it: {has_it}, and as much: {len(replicas.log) >= len(mined)}")
            assert found == has_it
        mined = list(replicas.log)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(1, 3), st.integers(-1, 3)),
            st.integers(0, 5),
        ),
        max_size=14,
    )
)
def test_the_history_knows_the_epoch_of_every_append(
    steps: list[tuple[int, int] | int],
) -> None:
    history = EpochHistory()
    appends: list[tuple[int, int, int]] = []
    for step in steps:
        if isinstance(step, int):  # so many are lost, as in a crash
            appends = appends[: max(0, len(appends) - step)]
            continue
        size, epoch = step
        base = appends[-1][1] if appends else 0
        appends.append((base, base + size, epoch))
        history = history.then(base, epoch)
        assert history.then(base + size, epoch) is history
        for _, end, expected in appends:
            assert history.before(end) == expected
        assert history.before(0) == UNKNOWN_EPOCH
        offsets = [offset for offset, _ in history.starts]
        assert offsets == sorted(set(offsets))
