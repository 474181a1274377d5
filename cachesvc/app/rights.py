"""What holds callers to their rights, where access control is on."""

from cachesvc.app.parts import Parts
from cachesvc.clusters.sources import Sources
from cachesvc.errors import NotFound
from cachesvc.policy.rights import Roles
from cachesvc.serving.authenticating import Doors
from cachesvc.serving.authorizing import Authorizing
from cachesvc.serving.server import ADMIN, LOG_CACHE
from cachesvc.subscriptions.subscriptions import Subscriptions


class KnownNames:
    """What a service has, as far as rights depend on it.

    Args:
        sources: The connections.
        subscriptions: All of them.
    """

    def __init__(self, sources: Sources, subscriptions: Subscriptions) -> None:
        self._sources = sources
        self._subscriptions = subscriptions

    def has_connection(self, name: str) -> bool:
        """See ``serving.demands.Known``, here and below."""
        try:
            return bool(self._sources.get(name))
        except NotFound:
            return False

    def only_connection(self) -> str:
        found = self._sources.all()
        return found[0].name if len(found) == 1 else ""

    def connection_of(self, subscription: str) -> str | None:
        try:
            return self._subscriptions.get(subscription).record.connection
        except NotFound:
            return None


def hold_to_rights(parts: Parts, roles: Roles, doors: Doors) -> Authorizing:
    """The interceptor that goes within the one that says who calls."""
    known = KnownNames(parts.mined.sources, parts.subscribed.subscriptions)
    return Authorizing(roles, known, doors, (LOG_CACHE, ADMIN))
