"""HTTP: changes posted in batches, one request after the other."""

import asyncio
import hashlib
import importlib
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from cachesvc.client import MissingLibrary, Positions
from cachesvc.sync.changes import Changes
from cachesvc.sync.errors import (
    BatchRefused,
    ChangesRefused,
    InvalidTask,
    Refusal,
    SyncError,
    TargetFailed,
    TargetUnavailable,
)
from cachesvc.sync.own_thread import OwnThread
from cachesvc.sync.sink import Check, Delivery, Sink, SinkKind, TaskContext
from cachesvc.sync.sinks.lines import Deletes, Form, envelopes, values
from cachesvc.sync.sinks.secrets import secret

if TYPE_CHECKING:
    import httpx

_REFUSED = {400, 413, 415, 422}
_PASSING = {408, 409, 425, 429}
_SERVER_ERRORS = 500
_WORDS_MAX = 300
_CONTENT_TYPES = {"array": "application/json", "lines": "application/x-ndjson"}


class HttpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of kind ``http``.

    Attributes:
        url: Where to, with ``https:`` or ``http:``.
        body: ``array``: one JSON array a request; ``lines``: an object and a newline each.
        objects: ``envelope``: topic, partition, offset, timestamp, key, deleted and value of each
            change; ``value``: the record's own object alone.
        deletes: What becomes of deletes where ``objects`` is ``value``: ``refuse`` or
            ``leave-out``.
        method: How.
        headers: More headers. Not for secrets.
        token_env: Environment variable with a bearer token.
        token_file: File with one.
        ca_file: PEM file of the authorities that may vouch for the server; the usual ones without.
        records_max: Changes in one request.
        timeout_s: How long the server may be silent.
        retry_after_s_max: The longest wait that a server's ``Retry-After`` can ask for.
    """

    url: str
    body: Literal["array", "lines"] = "array"
    objects: Form = "envelope"
    deletes: Deletes = "refuse"
    method: Literal["POST", "PUT"] = "POST"
    headers: dict[str, str] = {}
    token_env: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    records_max: int = 1_000
    timeout_s: float = 30.0
    retry_after_s_max: float = 300.0


class HttpSink:
    """Posts changes in order; the next request begins once the last one was confirmed.

    At least once. A request that is made again, with the same changes, has the same
    ``Idempotency-Key``, by which a server can know it; other changes have others.

    Args:
        settings: The task's.
        context: Its name is a part of the keys.
        library: The module httpx.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        settings: HttpSettings,
        context: TaskContext,
        library: Any,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._task = context.task
        self._httpx = library
        self._clock = clock
        self._thread = OwnThread("http")
        self._client: httpx.AsyncClient | None = None
        self._not_before = 0.0

    async def open(self) -> Positions | None:
        if self._client is None:
            # Reads certificates, which takes a while.
            self._client = await self._thread.run(self._connected)
        return None

    async def write(self, delivery: Delivery) -> None:
        for batch in _batches(delivery.changes, self._settings.records_max):
            pieces = [piece for _, _, piece in batch]
            try:
                body = await self._thread.run(self._body, pieces)
            except ChangesRefused as error:
                raise ChangesRefused([_placed(each, batch) for each in error.refusals]) from error
            if body:
                await self._post(body, await self._thread.run(_key, self._task, pieces, body))

    async def check(self) -> Sequence[Check]:
        """Asks for the headers alone: a request that a server can take for data would stay."""
        url = self._settings.url
        try:
            client = await self._thread.run(self._connected)
            async with client:
                answer = await client.head(url)
        except self._httpx.HTTPError as error:
            hint = "Check sink.url, and whether the server runs and its certificate is trusted."
            return [Check("connect", False, f"{url}: {_words(error)}", hint)]
        found = f"{url} answered HEAD with {answer.status_code}"
        if answer.status_code in (401, 403):
            hint = "Give a token that may post there: sink.token_env or sink.token_file."
            return [Check("connect", False, found, hint)]
        if answer.status_code >= _SERVER_ERRORS:
            return [Check("connect", False, found, "Look into the server's log.")]
        return [Check("connect", True, f"{found}; whether it takes data is seen with the first")]

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
        await self._thread.close()

    def _connected(self) -> "httpx.AsyncClient":
        given = self._settings
        headers = {**given.headers, "Content-Type": _CONTENT_TYPES[given.body]}
        token = secret("sink.token", given.token_env, given.token_file)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        verify: bool | ssl.SSLContext = True
        if given.ca_file is not None:
            verify = ssl.create_default_context(cafile=given.ca_file)
        client: httpx.AsyncClient = self._httpx.AsyncClient(
            headers=headers, timeout=given.timeout_s, verify=verify
        )
        return client

    def _body(self, pieces: Sequence[Changes]) -> bytes:
        if self._settings.objects == "envelope":
            lines = envelopes(pieces)
        else:
            lines = values(pieces, self._settings.deletes)
        if self._settings.body == "lines" or not lines:
            return lines
        # Each line is one object, so a newline is never within one.
        return b"".join((b"[", lines[:-1].replace(b"\n", b","), b"]"))

    async def _post(self, body: bytes, key: str) -> None:
        client = self._client
        if client is None:
            raise TargetUnavailable(f"{self._settings.url}: not open", reason="NOT_OPEN")
        await asyncio.sleep(max(0.0, self._not_before - self._clock()))
        headers = {"Idempotency-Key": key}
        try:
            answer = await client.request(
                self._settings.method, self._settings.url, content=body, headers=headers
            )
        except self._httpx.HTTPError as error:
            raise TargetUnavailable(f"{self._settings.url}: {_words(error)}") from error
        if not answer.is_success:
            raise self._failure(answer)

    def _failure(self, answer: "httpx.Response") -> SyncError:
        code = answer.status_code
        said = " ".join(answer.text[:_WORDS_MAX].split())
        words = f"{self._settings.url} answered {code} {answer.reason_phrase}: {said}".rstrip(": ")
        metadata = {"status": str(code)}
        if code in _PASSING or code >= _SERVER_ERRORS:
            wait_s = retry_after_s(answer.headers.get("Retry-After"), datetime.now(UTC))
            if wait_s is not None:
                wait_s = min(wait_s, self._settings.retry_after_s_max)
                self._not_before = self._clock() + wait_s
                metadata["retry_after_s"] = f"{wait_s:g}"
            return TargetUnavailable(words, metadata=metadata)
        if code in _REFUSED:
            return BatchRefused(words, reason=f"HTTP_{code}", metadata=metadata)
        return TargetFailed(words, reason=f"HTTP_{code}", metadata=metadata)


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """The wait that a header ``Retry-After`` asks for: seconds, or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())


def _batches(
    changes: Sequence[Changes], records_max: int
) -> Iterator[list[tuple[int, int, Changes]]]:
    """Pieces of together at most so many rows; with each its number and first row before."""
    batch: list[tuple[int, int, Changes]] = []
    room = records_max
    for number, piece in enumerate(changes):
        begin = 0
        while begin < len(piece):
            end = min(len(piece), begin + room)
            batch.append((number, begin, piece.slice(begin, end)))
            room -= end - begin
            begin = end
            if not room:
                yield batch
                batch, room = [], records_max
    if batch:
        yield batch


def _placed(refusal: Refusal, batch: Sequence[tuple[int, int, Changes]]) -> Refusal:
    """A refusal within a batch as one within the delivery."""
    number, begin, _ = batch[refusal.changes]
    return Refusal(number, begin + refusal.row, refusal.reason, refusal.detail)


def _key(task: str, pieces: Sequence[Changes], body: bytes) -> str:
    """The same for the same changes of a task.

    Offsets alone would not do: a transform makes several changes of one record, which may travel
    apart; nor the body alone, which two records may share.
    """
    parts: list[object] = [task]
    for piece in pieces:
        of, offsets = piece.source, piece.rows.column("offset")
        parts += [of.topic, of.partition, of.incarnation, len(piece)]
        parts += [offsets[0].as_py(), offsets[-1].as_py()]
    return hashlib.sha256(msgspec.json.encode(parts) + body).hexdigest()[:32]


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _make(settings: HttpSettings, context: TaskContext) -> Sink:
    if not settings.url.startswith(("https://", "http://")):
        raise InvalidTask(f"sink.url: {settings.url!r} does not begin with https:// or http://")
    if settings.records_max < 1:
        raise InvalidTask("sink.records_max has to be at least 1")
    if not settings.timeout_s > 0:
        raise InvalidTask("sink.timeout_s has to be more than 0")
    secret("sink.token", settings.token_env, settings.token_file)
    try:
        library = importlib.import_module("httpx")
    except ImportError as error:
        raise MissingLibrary(
            "the sink http needs the package httpx: pip install 'cachesvc-sync[http]'"
        ) from error
    return HttpSink(settings, context, library)


HTTP = SinkKind(HttpSettings, _make)
