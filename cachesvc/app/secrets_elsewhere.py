"""Tells at the start which secrets of what was made over Admin lie where calls may name none.

They work on: whoever turns access control on, or moves the places, would else lose connections
that mine. Who made them may have named anything then, so an operator should look.
"""

import asyncio
import logging
from typing import Any

from cachesvc.app.parts import Parts
from cachesvc.settings.connection import connection_dict
from cachesvc.settings.secret_places import SecretPlaces
from cachesvc.settings.stores import store_dict

_log = logging.getLogger(__name__)


async def tell_secrets_elsewhere(parts: Parts, places: SecretPlaces) -> None:
    """Writes a line for each connection and each store that has such secrets."""
    made: list[tuple[str, str, dict[str, Any]]] = [
        ("connection", each.config.name, connection_dict(each.config))
        for each in parts.mined.connections.all()
        if not each.in_file
    ]
    made += [("store", each.name, store_dict(each)) for each in parts.kept.stores.made()]
    for kind, name, settings in made:
        found = await asyncio.to_thread(places.elsewhere, settings)
        if found:
            fields = {"event": "secrets_elsewhere", kind: name, "settings": ", ".join(found)}
            _log.warning("secrets lie where calls may name none any more", extra=fields)
