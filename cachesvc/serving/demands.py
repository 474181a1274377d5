"""Which rights a request demands, and over what."""

from collections.abc import Iterator
from typing import Any, Protocol

from google.protobuf.message import Message

from cachesvc.errors import InvalidRequest, NotFound
from cachesvc.policy.callers import Right
from cachesvc.policy.rights import EVERY, Demand, Permissions, Rule, Scope


class Known(Protocol):
    """What the service has, as far as rights depend on it."""

    def has_connection(self, name: str) -> bool:
        """Whether there is a connection of that name."""

    def only_connection(self) -> str:
        """The name of the only connection; empty where there are none or several."""

    def connection_of(self, subscription: str) -> str | None:
        """The connection of a subscription; None where there is none of that name."""


class Demands:
    """Reads requests by the table of rights.

    Args:
        known: What the service has.
    """

    def __init__(self, known: Known) -> None:
        self._known = known

    def connection(self, rule: Rule, request: Message) -> str:
        """The connection that a request names, or means by naming none; empty: all of them."""
        named = next(filter(None, (_at(request, path) for path in rule.connection)), "")
        return named or self._known.only_connection()

    def to_begin(self, rule: Rule, request: Message) -> Iterator[Demand]:
        """What has to be covered for a call to begin."""
        name = _at(request, rule.subscription) or None
        if rule.right is Right.READ and rule.scope is Scope.SUBSCRIPTION:
            before = self._known.connection_of(name or "")
            if before is None:
                connection = self.connection(rule, request) or EVERY
                yield Demand(Right.SUBSCRIPTIONS, connection, None, name)
            else:
                yield Demand(Right.COMMIT, before, None, name)
        yield from self.to_last(rule, request)

    def to_last(self, rule: Rule, request: Message) -> Iterator[Demand]:
        """What has to be covered for as long as a call lasts."""
        right = rule.right
        match rule.scope:
            case Scope.CALLER:
                return
            case Scope.SERVICE:
                yield Demand(right, EVERY, EVERY, EVERY)
            case Scope.CONNECTION:
                yield Demand(right, self.connection(rule, request) or EVERY, EVERY)
            case Scope.TOPIC:
                topic = _at(request, rule.topic) or EVERY
                yield Demand(right, self.connection(rule, request) or EVERY, topic)
            case Scope.ROWS:
                connection = self.connection(rule, request) if rule.connection else ""
                named = (_at(request, path) or None for path in (rule.topic, rule.subscription))
                yield Demand(right, connection or None, *named)
            case Scope.SUBSCRIPTION:
                yield from self._of_subscription(rule, request)

    def _of_subscription(self, rule: Rule, request: Any) -> Iterator[Demand]:
        name = request.subscription
        if rule.right is Right.READ:
            connection: str | None = self.connection(rule, request) or EVERY
            yield Demand(Right.COMMIT, connection, None, name)
            topics = dict.fromkeys(request.topics) or [None]  # None: an expression
        else:
            # One that is not there is of no connection.
            connection = self._known.connection_of(name)
            commits = rule.right is Right.COMMIT
            named = {at.topic for at in request.positions} if commits else ()
            topics = dict.fromkeys(named) or [None]
        for topic in topics:
            yield Demand(rule.right, connection, topic, name)

    def check_known(self, rule: Rule, request: Message, permissions: Permissions) -> None:
        """Has those who may not know of all connections not be told of others by an error.

        Raises:
            NotFound: The named one is not there.
            InvalidRequest: None is named, and there are several.
        """
        if permissions.cover(Demand(rule.right, EVERY)):
            return
        name = next(filter(None, (_at(request, path) for path in rule.connection)), "")
        if not name and rule.one and not self._known.only_connection():
            raise InvalidRequest("name a connection", reason="CONNECTION_REQUIRED")
        if not name or self._known.has_connection(name):
            return
        raise NotFound(
            f"there is no connection {name!r}",
            reason="UNKNOWN_CONNECTION",
            metadata={"connection": name},
        )


def _at(message: Any, path: str) -> str:
    """The text of a field; empty without one."""
    if not path:
        return ""
    for name in path.split("."):
        message = getattr(message, name)
    return str(message)
