"""Where there are pages, by the settings."""

from __future__ import annotations

import pytest

from cachesvc.app.web import Web
from cachesvc.settings.access import AccessConfig
from cachesvc.settings.config import Config, HttpConfig, ServerConfig

LOOPBACK, BEYOND = "127.0.0.1:7071", "0.0.0.0:7071"


@pytest.mark.parametrize(
    ("listen", "guarded", "asked_for", "there_are"),
    [
        (None, False, None, True),
        (LOOPBACK, False, None, True),
        (LOOPBACK, True, None, True),
        (LOOPBACK, True, False, False),
        (BEYOND, False, None, False),
        (BEYOND, True, None, True),
        (BEYOND, False, True, True),
        (BEYOND, True, False, False),
        ("", True, True, False),
    ],
)
def test_pages_are_on_loopback_and_where_callers_show_who_they_are(
    listen: str | None, guarded: bool, asked_for: bool | None, there_are: bool
) -> None:
    config = Config(
        http=HttpConfig(listen=listen, insecure=True, pages=asked_for),
        server=ServerConfig(listen="127.0.0.1:0"),
        access=AccessConfig(enabled=guarded),
    )
    assert Web(config).has_pages is there_are
