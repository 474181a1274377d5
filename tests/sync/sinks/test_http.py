"""Posting changes to a real server of its own, within the test's process."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from cachesvc.sync import (
    BatchRefused,
    Changes,
    ChangesRefused,
    Check,
    InvalidTask,
    Sink,
    SyncError,
    TargetFailed,
    TargetUnavailable,
    TaskContext,
)
from cachesvc.sync.sinks.http import HTTP, retry_after_s
from cachesvc.sync.testing import Found, SinkSuite, SinkTarget, changes, delete, delivery, put

REFUSED = {"id": 6, "partition": 0, "number": 6, "note": "refused"}


class Receiver(ThreadingHTTPServer):
    """Keeps what it gets; answers as it is told, then with 200."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[bytes] = []
        self.heads: list[dict[str, str]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/changes"

    def found(self) -> list[Found]:
        objects = [each for body in self.bodies for each in _objects(body)]
        return [Found(json.loads(each["key"])["id"], each["value"]) for each in objects]


class Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heads.append(dict(self.headers))
        code, headers = self.server.answers.pop(0) if self.server.answers else (200, {})
        if any(each.get("value") == REFUSED for each in _objects(body)):
            code = 422
        if code == 200:
            self.server.bodies.append(body)
        self._answer(code, headers)

    def do_HEAD(self) -> None:
        code, headers = self.server.answers.pop(0) if self.server.answers else (405, {})
        self._answer(code, headers)

    def _answer(self, code: int, headers: dict[str, str]) -> None:
        text = b"" if self.command == "HEAD" else b"because\nof that"
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Nothing: the test says what it wants to."""


def _objects(body: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        json.loads(body) if body[:1] == b"[" else [json.loads(line) for line in body.splitlines()]
    )
    return found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class TestServer(SinkSuite):
    @pytest.fixture(params=["array", "lines"])
    def target(self, receiver: Receiver, request: pytest.FixtureRequest) -> SinkTarget:
        settings = {"url": receiver.url, "body": request.param, "records_max": 700}
        return SinkTarget(HTTP, settings, receiver.found, "changes", REFUSED)


def sink_of(settings: dict[str, Any]) -> Sink:
    return HTTP.make(msgspec.convert(settings, HTTP.settings), TaskContext("task"))


def write(settings: dict[str, Any], *pieces: Changes, times: int = 1) -> list[SyncError]:
    """The errors of as many attempts."""

    async def live() -> list[SyncError]:
        sink, errors = sink_of(settings), []
        await sink.open()
        for _ in range(times):
            try:
                await sink.write(delivery(*pieces))
            except SyncError as error:
                errors.append(error)
        await sink.close()
        return errors

    return asyncio.run(live())


def checked(settings: dict[str, Any]) -> Sequence[Check]:
    async def live() -> Sequence[Check]:
        return await sink_of(settings).check()

    return asyncio.run(live())


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (429, TargetUnavailable),
        (500, TargetUnavailable),
        (503, TargetUnavailable),
        (408, TargetUnavailable),
        (409, TargetUnavailable),
        (400, BatchRefused),
        (413, BatchRefused),
        (422, BatchRefused),
        (401, TargetFailed),
        (403, TargetFailed),
        (404, TargetFailed),
        (302, TargetFailed),
    ],
)
def test_what_an_answer_means(receiver: Receiver, code: int, kind: type[SyncError]) -> None:
    receiver.answers = [(code, {})]
    (error,) = write({"url": receiver.url}, changes([put(0)]))
    assert type(error) is kind
    assert error.metadata["status"] == str(code)
    assert str(error).endswith("because of that")


def test_a_server_that_is_not_there_may_come_back(receiver: Receiver) -> None:
    (error,) = write({"url": "http://127.0.0.1:9/"}, changes([put(0)]))
    assert isinstance(error, TargetUnavailable)
    (check,) = checked({"url": "http://127.0.0.1:9/"})
    assert not check.passed and check.hint


def test_a_wait_that_the_server_asks_for_is_kept_within_bounds(receiver: Receiver) -> None:
    receiver.answers = [(503, {"Retry-After": "3600"}), (200, {})]
    settings = {"url": receiver.url, "retry_after_s_max": 0.3}
    began_s = time.monotonic()
    (error,) = write(settings, changes([put(0)]), times=2)
    assert error.metadata["retry_after_s"] == "0.3"
    assert time.monotonic() - began_s >= 0.3
    assert len(receiver.bodies) == 1


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (None, None),
        ("120", 120.0),
        ("Sat, 28 Nov 2026 01:00:30 GMT", 30.0),
        ("Sat, 28 Nov 2026 00:00:00 GMT", 0.0),
        ("soon", None),
    ],
)
def test_waits_are_seconds_or_dates(value: str | None, wait_s: float | None) -> None:
    assert retry_after_s(value, datetime(2026, 11, 28, 1, tzinfo=UTC)) == wait_s


def test_the_same_changes_have_the_same_key(receiver: Receiver) -> None:
    receiver.answers = [(200, {}), (500, {})]
    settings = {"url": receiver.url, "records_max": 2}
    write(settings, changes([put(n) for n in range(3)]), times=2)
    write({**settings, "records_max": 3}, changes([put(n) for n in range(3)]))
    keys = [head["Idempotency-Key"] for head in receiver.heads]
    assert keys[:2] == keys[2:4]
    assert len(set(keys)) == 3


def test_changes_of_one_record_that_come_apart_have_keys_of_their_own(receiver: Receiver) -> None:
    """A transform may split a record."""
    piece = changes([replace(put(n), offset=5) for n in range(4)])
    write({"url": receiver.url, "records_max": 1}, piece)
    assert len({head["Idempotency-Key"] for head in receiver.heads}) == 4


def test_requests_go_with_token_and_headers(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_TOKEN", "geheim")
    settings = {"url": receiver.url, "token_env": "THE_TOKEN", "headers": {"X-Team": "a"}}
    receiver.answers = [(200, {}), (401, {})]
    (error,) = write(settings, changes([put(0)]), times=2)
    head = receiver.heads[0]
    assert (head["Authorization"], head["X-Team"]) == ("Bearer geheim", "a")
    assert head["Content-Type"] == "application/json"
    assert "geheim" not in repr(error) + str(error.metadata)


def test_values_alone_refuse_deletes_by_their_place_in_the_delivery(receiver: Receiver) -> None:
    settings = {"url": receiver.url, "objects": "value", "records_max": 2}
    pieces = [changes([put(0)]), changes([put(1), put(2), delete(3, of=0)])]
    (error,) = write(settings, *pieces)
    assert isinstance(error, ChangesRefused)
    assert [(each.changes, each.row) for each in error.refusals] == [(1, 2)]
    receiver.bodies.clear()
    assert not write({**settings, "deletes": "leave-out"}, *pieces)
    assert [len(_objects(body)) for body in receiver.bodies] == [2, 1]


@pytest.mark.parametrize(
    ("code", "passed"), [(200, True), (404, True), (405, True), (403, False), (502, False)]
)
def test_a_check_asks_for_headers_alone(receiver: Receiver, code: int, passed: bool) -> None:
    receiver.answers = [(code, {})]
    (check,) = checked({"url": receiver.url})
    assert check.passed == passed
    assert bool(check.hint) != passed
    assert not receiver.bodies


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "ftp://x"},
        {"url": "http://x", "records_max": 0},
        {"url": "http://x", "timeout_s": 0},
        {"url": "http://x", "token_env": "NOT_THERE_AT_ALL"},
        {"url": "http://x", "token_file": "/not/there"},
        {"url": "http://x", "token_file": "/not/there", "token_env": "HOME"},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidTask, match=r"sink\."):
        sink_of(settings)
