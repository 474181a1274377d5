"""What can be said of two samples: rates between them beside what the newer one has."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cachesvc.cli.top.sample import Sample
from cachesvc.v1.admin_pb2 import Reader
from cachesvc.v1.log_cache_pb2 import Subscription
from cachesvc.v1.watching_pb2 import Distribution, GetOverviewResponse, TrendPoint

_Place = tuple[str, int, int]
_TREND_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Figures:
    """A sample, and what was before it.

    Attributes:
        now: The newest one.
        before: The one before; None at the start, and there are no rates then.
        overview_before: The last overview that was another one, as a service gives the same for a
            moment.
        trend_before: How the service was doing within the last hour, as far as samples before told.
    """

    now: Sample
    before: Sample | None = None
    overview_before: GetOverviewResponse | None = None
    trend_before: Sequence[TrendPoint] = ()

    def followed_by(self, sample: Sample) -> "Figures":
        """These and the next sample."""
        known, new = self.now.overview, sample.overview
        same = known is None or (new is not None and new.at_ms == known.at_ms)
        trend = [each for each in self.trend if each.at_ms > sample.at_ms - _TREND_MS]
        return Figures(sample, self.now, self.overview_before if same else known, trend)

    @property
    def trend(self) -> Sequence[TrendPoint]:
        """How the service was doing within the last hour, the oldest first."""
        known_ms = self.trend_before[-1].at_ms if self.trend_before else 0
        return [*self.trend_before, *(each for each in self.now.trend if each.at_ms > known_ms)]

    @property
    def trend_since_ms(self) -> int:
        """From when on points are not known yet."""
        return max((each.at_ms + 1 for each in self.trend), default=0)

    @property
    def seconds(self) -> float:
        """How far apart the samples are; 0 where there is only one."""
        return 0.0 if self.before is None else self.now.clock_s - self.before.clock_s

    def subscriptions_per_s(self) -> Mapping[str, float]:
        """Offsets per second of those subscriptions that both samples have, by name."""
        if self.before is None or self.seconds <= 0:
            return {}
        older = {each.name: _places(each) for each in self.before.subscriptions}
        return {
            each.name: _moved(older[each.name], _places(each)) / self.seconds
            for each in self.now.subscriptions
            if each.name in older
        }

    def reader_per_s(self, value: Callable[[Reader], float]) -> Mapping[tuple[str, str], float]:
        """How fast something rises, by connection and name of readers that have not come anew."""
        if self.before is None or self.seconds <= 0:
            return {}
        older = {(each.connection, each.name): each for each in self.before.readers}
        return {
            key: max(0.0, value(each) - value(known)) / self.seconds
            for each in self.now.readers
            if (known := older.get(key := (each.connection, each.name))) is not None
            and (known.joined_ms, known.pid) == (each.joined_ms, each.pid)
        }

    def cores(self) -> float | None:
        """How many cores the service has in use; None where that is not known."""
        if self._overviews is None:
            return None
        older, newer = self._overviews
        return max(0.0, newer.cpu_s - older.cpu_s) / ((newer.at_ms - older.at_ms) / 1000)

    def ages_s(self, shares: Sequence[float]) -> list[float] | None:
        """Within how many seconds these shares of batches were sent after they were mined.

        Of those between the overviews; of all since the service's start where there is one alone.
        None where there were none.
        """
        newer = self.now.overview
        if newer is None:
            return None
        counts = list(newer.mined_to_sent.counts)
        if self._overviews is not None:
            known = self._overviews[0].mined_to_sent.counts
            counts = [count - less for count, less in zip(counts, known, strict=True)]
        if not sum(counts):
            return None
        bounds = list(newer.mined_to_sent.bounds_s)
        return [quantile(Distribution(bounds_s=bounds, counts=counts), each) for each in shares]

    @property
    def _overviews(self) -> tuple[GetOverviewResponse, GetOverviewResponse] | None:
        """Two of one and the same service; None where there are none."""
        older, newer = self.overview_before, self.now.overview
        if older is None or newer is None or newer.at_ms <= older.at_ms:
            return None
        same_bounds = older.mined_to_sent.bounds_s == newer.mined_to_sent.bounds_s
        return (older, newer) if same_bounds and older.started_ms == newer.started_ms else None


def quantile(found: Distribution, share: float) -> float:
    """Below what a share of a distribution lies, taken as even within each of its classes.

    What lies above the last bound is told as that bound.
    """
    wanted = share * sum(found.counts)
    below = 0.0
    for upper, count in zip(found.bounds_s, found.counts, strict=False):
        if count and wanted <= count:
            return below + (upper - below) * wanted / count
        wanted -= count
        below = upper
    return below


def _places(subscription: Subscription) -> dict[_Place, int]:
    """Where it is: what its stream has to deliver next, or without one what it has committed."""
    rows = [*subscription.partitions, *subscription.delivering]
    return {
        (row.position.topic, row.position.incarnation, row.position.partition): row.position.offset
        for row in rows
    }


def _moved(older: Mapping[_Place, int], newer: Mapping[_Place, int]) -> int:
    """By how many offsets; what was reset has not moved."""
    return sum(max(0, offset - older.get(place, offset)) for place, offset in newer.items())
