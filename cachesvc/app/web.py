"""What monitoring and browsers ask, from before the store is open until after it is closed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from cachesvc.app.callers import is_guarded
from cachesvc.app.parts import Parts
from cachesvc.app.servers import software_version
from cachesvc.errors import PreconditionFailed
from cachesvc.log.log_store import LogStore
from cachesvc.policy.addresses import is_loopback, parse_address
from cachesvc.serving.local_socket import PAGES as PAGES_SOCKET
from cachesvc.serving.local_socket import socket_path
from cachesvc.serving.tls import TlsFiles
from cachesvc.settings.config import Config, http_speaks_tls
from cachesvc.web.application import Figures, make_application
from cachesvc.web.calls import Calls
from cachesvc.web.gathering import Gathering
from cachesvc.web.guarding import Rules
from cachesvc.web.health import Health
from cachesvc.web.observed import Observed
from cachesvc.web.pages import PAGES
from cachesvc.web.server import WebServer
from cachesvc.web.site import Site

_log = logging.getLogger(__name__)
_DEFAULT = "127.0.0.1:7071"


class Web:
    """The HTTP listener of a service, if it is configured, and what it shows.

    Attributes:
        health: What probes are told.
        address: Where it is to listen.
        port: Where it does; None where it does not.
    """

    def __init__(self, config: Config) -> None:
        self._config = config.http
        self.address = _DEFAULT if config.http.listen is None else config.http.listen
        self.health = Health()
        self._figures = Figures()
        self._site = self._make_site(config) if self.address else None
        self.port: int | None = None

    @property
    def has_pages(self) -> bool:
        """Whether browsers are answered."""
        return self._site is not None

    @classmethod
    @contextmanager
    def serving(cls, config: Config, tls: TlsFiles | None) -> Iterator[Self]:
        """Listens within.

        Args:
            config: Of the service.
            tls: Its certificates, if it has any.

        Raises:
            PreconditionFailed: The address that the settings name is in use or cannot be bound.
        """
        web = cls(config)
        if not web.address:
            yield web
            return
        pages = web._site.routes() if web._site else ()
        context = tls.context() if tls is not None and http_speaks_tls(config) else None
        application = make_application(web.health, web._figures, pages)
        server = WebServer(web.address, application, context)
        try:
            web.port = server.bind()
        except PreconditionFailed as error:
            if config.http.listen is not None:
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
            if web._site:
                web._site.close()
            server.stop()

    def _make_site(self, config: Config) -> Site | None:
        """The pages in the browser; None where there are none."""
        guarded = is_guarded(config)
        on_loopback = is_loopback(parse_address(self.address)[0])
        shown = config.http.pages
        if not (on_loopback or guarded if shown is None else shown):
            return None
        rules = Rules(guarded, any_host=not on_loopback)
        return Site(PAGES, rules, self.health, software_version())

    def tell(self, parts: Parts, version: str) -> None:
        """Shows a service that serves from now on, on the running event loop."""
        observed = Observed(
            version,
            parts.store,
            parts.mined.sources,
            parts.mined.assignments,
            parts.subscribed.subscriptions,
            parts.mined.watch,
            parts.subscribed.deliveries,
            parts.callers.calls,
            parts.subscribed.caches,
            parts.jobs.tallies,
            parts.alarms.standing,
            parts.kept.levels.all,
            parts.subscribed.shelf.all,
        )
        self._figures.gather = Gathering(observed, self._config.series_max).gather
        if self._site is not None and self.port is not None:
            self._site.open(Calls(socket_path(parts.store.path, PAGES_SOCKET)))
        self.health.serve(lambda: _troubles(parts.store))


def _troubles(store: LogStore) -> list[str]:
    """What keeps a store from taking what is mined and committed."""
    found = [f"store {name}: {error}" for name, error in store.sealer.failures.items()]
    if store.writer.refused:
        found.append(f"the last append was refused: {store.writer.refused}")
    return found
