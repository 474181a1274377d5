"""Gathers all figures, on the event loop that they belong to."""

import asyncio
from collections.abc import Iterator
from itertools import chain

from cachesvc.store.quarantine import quarantined_bytes
from cachesvc.web.families import Bounded, Family, HistogramFamily
from cachesvc.web.observed import Observed
from cachesvc.web.operating_metrics import operating_metrics
from cachesvc.web.reader_metrics import reader_metrics
from cachesvc.web.serving_metrics import serving_metrics
from cachesvc.web.store_metrics import store_metrics
from cachesvc.web.topic_metrics import topic_metrics

AnyFamily = Family | HistogramFamily


class Gathering:
    """Figures of one service; which topics and subscriptions have their own stays the same.

    Args:
        observed: What they are about.
        series_max: Topics, and subscriptions, that have series of their own.
    """

    def __init__(self, observed: Observed, series_max: int) -> None:
        self._observed = observed
        self._topics = Bounded(series_max)
        self._subscriptions = Bounded(series_max)

    async def gather(self) -> list[AnyFamily]:
        """All families as they are now, in slices between which others have their turn."""
        families = []
        # Looks at files, of which there may be many.
        quarantined = await asyncio.to_thread(quarantined_bytes, self._observed.store.path)
        for family in self._told(quarantined):
            if family is None:
                await asyncio.sleep(0)
            else:
                families.append(family)
        return families

    def _told(self, quarantined: int) -> Iterator[AnyFamily | None]:
        return chain(
            operating_metrics(self._observed),
            topic_metrics(self._observed, self._topics),
            reader_metrics(self._observed),
            serving_metrics(self._observed, self._topics, self._subscriptions),
            store_metrics(self._observed, quarantined),
        )
