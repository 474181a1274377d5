"""Tells a webhook of alarms, at least once each, in order.

What it has not taken yet waits in the catalogue, so that neither a webhook that is away nor the
death of the service loses a notice. One is posted at a time, and the next one only when it was
taken: so notices arrive in the order in which they happened, and one that is repeated comes right
behind its first copy. HTTP is the standard library's, in a thread for each attempt that nobody has
to wait for; a client package would bring connection pools for a call a day.
"""

import asyncio
import contextlib
import http.client
import json
import logging
import os
import random
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from cachesvc.errors import CacheError
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.settings.alarms import AlarmsConfig
from cachesvc.settings.validation import setting_error
from cachesvc.store.watching_port import AlarmRecord

_log = logging.getLogger(__name__)
_DELAY_S_MIN = 0.5
_DELAY_S_MAX = 60.0


class WebhookFailed(Exception):
    """The webhook has not taken a notice; its text says why, without the URL's path."""


class Webhook:
    """Delivers what waits in the catalogue. Belongs to one event loop; ``run`` has to run.

    Args:
        catalogue: Has the notices.
        url: Where to post.
        token: Sent as a bearer token, unless it is empty.
        timeout_s: How long an attempt may take.
        chance: Returns a number in ``[0, 1)``; spreads attempts.
    """

    def __init__(
        self,
        catalogue: CatalogueThread,
        url: str,
        token: str,
        timeout_s: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._catalogue = catalogue
        self._url = url
        self._token = token
        self._timeout_s = timeout_s
        self._chance = chance
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There is something to deliver."""
        self._wake.set()

    async def run(self) -> None:
        """Delivers until cancelled; what is under way then may be delivered again."""
        failures = 0
        while True:
            self._wake.clear()
            try:
                delivered = await self._deliver_next()
            except (WebhookFailed, CacheError) as error:
                failures += 1
                _log.warning(
                    "the webhook was not told of an alarm, trying again",
                    extra={"event": "webhook_failed", "error": str(error), "failures": failures},
                )
                await asyncio.sleep(retry_delay_s(failures, self._chance()))
                continue
            failures = 0
            if not delivered:
                await self._wake.wait()

    async def _deliver_next(self) -> bool:
        """Whether there was a notice, which is delivered and dropped then."""
        notice = await self._catalogue.call(lambda port: port.alarms.first_notice())
        if notice is None:
            return False
        body = notice_body(notice.alarm)
        attempt = _Attempt(self._url, self._token, json.dumps(body).encode(), self._timeout_s)
        await attempt.run()
        await self._catalogue.call(lambda port: port.alarms.drop_notice(notice.number))
        _log.info(
            "the webhook was told of an alarm",
            extra={"event": "webhook_told", "notice": body["notice"]},
        )
        return True


def retry_delay_s(failures: int, chance: float) -> float:
    """Seconds to wait after so many failures in a row: doubling, spread over the upper half."""
    delay_s: float = min(_DELAY_S_MIN * 2.0 ** min(failures - 1, 10), _DELAY_S_MAX)
    return delay_s * (0.5 + chance / 2)


def notice_body(alarm: AlarmRecord) -> dict[str, object]:
    """What is posted; ``notice`` is the same for every copy of a notice, and no other's."""
    key = alarm.key
    event = "raised" if alarm.cleared_ms is None else "cleared"
    return {
        "notice": f"{alarm.id}-{event}",
        "event": event,
        "alarm": alarm.id,
        "kind": key.kind.name,
        "connection": key.connection,
        "topic": key.topic or None,
        "partition": key.partition if key.partition >= 0 else None,
        "subscription": key.subscription or None,
        "message": alarm.message,
        "raised_ms": alarm.raised_ms,
        "cleared_ms": alarm.cleared_ms,
    }


def read_token(alarms: AlarmsConfig) -> str:
    """The webhook's token; empty where none is configured.

    Raises:
        InvalidConfig: Its variable is not set, or its file cannot be read.
    """
    if alarms.webhook_token_env is not None:
        name = alarms.webhook_token_env
        found = os.environ.get(name, "").strip()
        if not found:
            problem = f"the environment variable {name} is not set"
            raise setting_error(
                "service", "alarms.webhook_token_env", problem, "set it to the token"
            )
        return found
    if alarms.webhook_token_file is not None:
        try:
            return Path(alarms.webhook_token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            field, advice = "alarms.webhook_token_file", "name a file with the token alone"
            raise setting_error("service", field, f"cannot be read: {error}", advice) from error
    return ""


class _Attempt:
    """One POST in a thread of its own. A cancelled or late one is cut off and forgotten."""

    def __init__(self, url: str, token: str, body: bytes, timeout_s: float) -> None:
        parts = urlsplit(url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = kind(parts.netloc, timeout=timeout_s)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._host = parts.netloc
        self._body = body
        self._timeout_s = timeout_s
        self._headers = {"Content-Type": "application/json", "User-Agent": "cachesvc"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    async def run(self) -> None:
        """Posts.

        Raises:
            WebhookFailed: No answer in time, or another one than 2xx.
        """
        loop = asyncio.get_running_loop()
        status: asyncio.Future[int] = loop.create_future()

        def settle(found: int | None, error: Exception | None) -> None:
            if not status.done():
                if found is None:
                    status.set_exception(WebhookFailed(f"{self._host}: {error}"))
                else:
                    status.set_result(found)

        def work() -> None:
            found, failure = None, None
            try:
                found = self._post()
            except (OSError, ValueError, http.client.HTTPException) as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop may have ended
                loop.call_soon_threadsafe(settle, found, failure)

        threading.Thread(target=work, name="webhook", daemon=True).start()
        try:
            async with asyncio.timeout(self._timeout_s):
                answered = await status
        except TimeoutError as error:
            what = f"{self._host}: no answer in {self._timeout_s:g} s"
            raise WebhookFailed(what) from error
        finally:
            self._cut_off()
        if not 200 <= answered < 300:
            raise WebhookFailed(f"{self._host}: it answered {answered}")

    def _post(self) -> int:
        try:
            self._connection.request("POST", self._path, self._body, self._headers)
            return self._connection.getresponse().status
        finally:
            self._connection.close()

    def _cut_off(self) -> None:
        opened: socket.socket | None = self._connection.sock
        if opened is not None:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
