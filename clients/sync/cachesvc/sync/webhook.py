"""Posting to a webhook by the standard library, in a thread: a call a day needs no more."""

import asyncio
import contextlib
import http.client
import threading
from urllib.parse import urlsplit

_ANSWER_BYTES_MAX = 1 << 16


class WebhookFailed(Exception):
    """The webhook has not taken a notice; the text says why, without the URL's path."""


class Webhook:
    """A place that takes JSON by POST.

    Args:
        url: http or https.
        token: Sent as a bearer token; None for none.
        timeout_s: How long a call may take.
    """

    def __init__(self, url: str, token: str | None, timeout_s: float) -> None:
        self._url = urlsplit(url)
        self._token = token
        self._timeout_s = timeout_s

    async def post(self, body: bytes) -> None:
        """Posts; when this returns, the webhook has taken it.

        Raises:
            WebhookFailed: It has not, as far as is known.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def work() -> None:
            failure = None
            try:
                self._post(body)
            except (OSError, http.client.HTTPException, WebhookFailed) as error:
                failure = WebhookFailed(
                    f"{self._url.hostname}: {str(error) or type(error).__name__}"
                )
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(tell, failure)

        def tell(failure: WebhookFailed | None) -> None:
            if done.done():
                return
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)

        # Nobody has to wait for what hangs in the resolver: the thread is left alone.
        threading.Thread(target=work, name="cachesvc-sync-webhook", daemon=True).start()
        try:
            async with asyncio.timeout(self._timeout_s):
                await done
        except TimeoutError as error:
            raise WebhookFailed(f"{self._url.hostname}: no answer in time") from error

    def _post(self, body: bytes) -> None:
        https = self._url.scheme == "https"
        kind = http.client.HTTPSConnection if https else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=self._timeout_s)
        try:
            headers = {"Content-Type": "application/json"}
            if self._token is not None:
                headers["Authorization"] = f"Bearer {self._token}"
            path = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read(_ANSWER_BYTES_MAX)
            if answer.status // 100 != 2:
                raise WebhookFailed(f"answers {answer.status} {answer.reason}")
        finally:
            connection.close()
