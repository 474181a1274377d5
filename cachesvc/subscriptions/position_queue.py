"""Positions on their way to the catalogue; all that wait go into one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.log.gathering import Gathering
from cachesvc.model import PartitionId
from cachesvc.store.ports import PositionCommit
from cachesvc.subscriptions.subscriber import Subscriber
from cachesvc.subscriptions.subscription import Subscription


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A commit that waits for the next transaction, and the subscriber it came from, if known."""

    commit: PositionCommit
    subscriber: Subscriber | None


class PositionQueue:
    """Stores positions of all subscriptions. Belongs to one event loop; ``run`` has to run.

    Args:
        catalogue: Where they are durable.
        subscriptions: All there are by name, as they are at any time; positions are entered there.
    """

    def __init__(
        self, catalogue: CatalogueThread, subscriptions: Mapping[str, Subscription]
    ) -> None:
        self._catalogue = catalogue
        self._all = subscriptions
        self._gathering = Gathering(self._store)

    async def put(self, commit: PositionCommit, subscriber: Subscriber | None = None) -> None:
        """Stores positions; durable when this returns. What waits is taken in the order it came.

        Args:
            commit: Of one subscription.
            subscriber: Who they are of, if that counts for whether a full sync is done.
        """
        await self._gathering.put(_Waiting(commit, subscriber))

    async def run(self) -> None:
        """Stores positions until cancelled."""
        await self._gathering.run()

    async def _store(self, waiting: list[_Waiting]) -> None:
        commits = self._settled(waiting)
        if commits:
            await self._catalogue.call(lambda port: port.commit_positions(commits))
        for commit in commits:
            subscription = self._all.get(commit.subscription)
            if subscription is None:
                continue
            subscription.positions.update(commit.positions)
            if commit.committed_ms is not None:
                subscription.record = replace(
                    subscription.record,
                    committed_ms=commit.committed_ms,
                    full_sync_done=subscription.record.full_sync_done or commit.full_sync_done,
                )

    def _settled(self, waiting: list[_Waiting]) -> list[PositionCommit]:
        """What commits come to, one after the other: no step back, and whether a full sync is done.

        A start is taken as it is. Subscriptions that were deleted meanwhile are left out.
        """
        settled: list[PositionCommit] = []
        stored: dict[str, dict[PartitionId, int]] = {}
        for each in waiting:
            commit = each.commit
            subscription = self._all.get(commit.subscription)
            if subscription is None:
                continue
            known = stored.setdefault(commit.subscription, dict(subscription.positions))
            if commit.committed_ms is not None:
                forward = {p: at for p, at in commit.positions.items() if at >= known.get(p, 0)}
                done = each.subscriber is not None and each.subscriber.full_sync_done(
                    {**known, **forward}
                )
                commit = replace(commit, positions=forward, full_sync_done=done)
            known.update(commit.positions)
            settled.append(commit)
        return settled
