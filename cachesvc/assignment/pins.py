"""Topics that an operator has given to one reader, durably."""

from collections.abc import Callable

from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.policy.assignment import Pin
from cachesvc.store.mining_ports import TopicPin


class TopicPins:
    """All pins of a store. Belongs to one event loop.

    Args:
        catalogue: Where they are durable.
    """

    def __init__(self, catalogue: CatalogueThread) -> None:
        self._catalogue = catalogue
        self.on_change: Callable[[], None] = lambda: None
        """Called when a pin has come or gone."""
        self._pins: dict[str, dict[str, Pin]] = {}
        for pin in catalogue.call_blocking(lambda port: port.list_topic_pins()):
            self._enter(pin)

    def of(self, connection: str) -> dict[str, Pin]:
        """The pins of a connection's topics, by topic."""
        return self._pins.get(connection, {})

    async def pin(self, connection: str, topic: str, reader: str, *, strict: bool) -> None:
        """Gives a topic to a reader, whether or not that one has joined. Idempotent."""
        pin = TopicPin(connection, topic, reader, strict)
        await self._catalogue.call(lambda port: port.put_topic_pin(pin))
        self._enter(pin)
        self.on_change()

    async def unpin(self, connection: str, topic: str) -> None:
        """Has a topic given to readers automatically again. Idempotent."""
        await self._catalogue.call(lambda port: port.delete_topic_pin(connection, topic))
        self._pins.get(connection, {}).pop(topic, None)
        self.on_change()

    def forget(self, connection: str) -> None:
        """Knows the pins of a connection no more. Idempotent."""
        self._pins.pop(connection, None)

    def _enter(self, pin: TopicPin) -> None:
        self._pins.setdefault(pin.connection, {})[pin.topic] = Pin(pin.reader, pin.strict)
