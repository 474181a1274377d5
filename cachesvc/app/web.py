"""What monitoring asks, from before the store is open until after it is closed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from cachesvc.app.parts import Parts
from cachesvc.errors import PreconditionFailed
from cachesvc.log.log_store import LogStore
from cachesvc.settings.config import HttpConfig
from cachesvc.web.application import Figures, make_application
from cachesvc.web.gathering import Gathering
from cachesvc.web.health import Health
from cachesvc.web.observed import Observed
from cachesvc.web.server import WebServer

_log = logging.getLogger(__name__)
_DEFAULT = "127.0.0.1:7071"


class Web:
    """The HTTP listener of a service, if it is configured, and what it shows.

    Attributes:
        health: What probes are told.
        address: Where it is to listen.
        port: Where it does; None where it does not.
    """

    def __init__(self, config: HttpConfig) -> None:
        self._config = config
        self.address = _DEFAULT if config.listen is None else config.listen
        self.health = Health()
        self._figures = Figures()
        self.port: int | None = None

    @classmethod
    @contextmanager
    def serving(cls, config: HttpConfig) -> Iterator[Self]:
        """Listens within.

        Raises:
            PreconditionFailed: The address that the settings name is in use or cannot be bound.
        """
        web = cls(config)
        if config.listen == "":
            yield web
            return
        server = WebServer(web.address, make_application(web.health, web._figures))
        try:
            web.port = server.bind()
        except PreconditionFailed as error:
            if config.listen is not None:
                raise
            # Another service of this machine has it, in all likelihood.
            fields = {"event": "no_http", "error": str(error)}
            _log.warning("no metrics and no probes", extra=fields)
            yield web
            return
        server.start()
        try:
            yield web
        finally:
            server.stop()

    def tell(self, parts: Parts, version: str) -> None:
        """Shows a service that serves from now on, on the running event loop."""
        observed = Observed(
            version,
            parts.store,
            parts.sources,
            parts.assignments,
            parts.subscriptions,
            parts.watch,
            parts.deliveries,
            parts.calls,
            parts.batches.pieces,
            parts.jobs.tallies,
            parts.alarms.standing,
            parts.levels.all,
            parts.shelf.all,
        )
        self._figures.gather = Gathering(observed, self._config.series_max).gather
        self.health.serve(lambda: _troubles(parts.store))


def _troubles(store: LogStore) -> list[str]:
    """What keeps a store from taking what is mined and committed."""
    found = [f"store {name}: {error}" for name, error in store.sealer.failures.items()]
    if store.writer.refused:
        found.append(f"the last append was refused: {store.writer.refused}")
    return found
