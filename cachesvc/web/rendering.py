"""HTML out of templates."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from cachesvc.units import show_bytes, show_count, show_duration, show_exact_time, show_time
from cachesvc.web.assets import Assets


class Rendering:
    """Templates with what all of them know; escapes whatever is put into them.

    Args:
        assets: Files that pages name.
        navigation: Titles and paths, in order.
        version: Of this software.
    """

    def __init__(self, assets: Assets, navigation: Sequence[tuple[str, str]], version: str) -> None:
        self._environment = Environment(
            loader=PackageLoader("cachesvc.web", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(
            asset=assets.url, navigation=navigation, version=version, visit=None, notes=()
        )
        self._environment.filters.update(
            bytes=lambda count: show_bytes(int(count)),
            count=lambda count: show_count(None if count is None else int(count)),
            duration=show_duration,
            time=show_time,
            exact_time=show_exact_time,
            rate=show_rate,
            points=lambda found: json.dumps(found, separators=(",", ":")),
        )

    def render(self, template: str, **values: object) -> str:
        """What a template makes."""
        known: Mapping[str, Any] = values
        return self._environment.get_template(template).render(known)


def show_rate(per_s: float) -> str:
    """``0.25`` as ``0.25``, ``12.34`` as ``12.3``, ``1234.5`` as ``1,234``."""
    if per_s >= 100:
        return f"{per_s:,.0f}"
    text = f"{per_s:.1f}" if per_s >= 10 else f"{per_s:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
