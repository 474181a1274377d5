"""``cachesvc top`` against a service that says what it is told to, on a pipe and on a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import pytest

from cachesvc.v1 import access_pb2 as access
from cachesvc.v1 import admin_pb2 as admin
from cachesvc.v1 import alarms_pb2 as alarms
from cachesvc.v1 import log_cache_pb2 as log_cache
from cachesvc.v1 import retention_pb2 as retention
from cachesvc.v1 import watching_pb2 as watching
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_service import FakeService
from tests.unit.cli.messages import TIME_MS
from tests.unit.cli.top.samples import overview, sample

WAIT_S = 60
POINTS = [
    watching.TrendPoint(
        at_ms=TIME_MS - 15_000 * ago, mined_records_per_s=ago * 1000, delivered_records_per_s=5
    )
    for ago in (2, 1, 0)
]
DENIED = "this needs the right 'admin', which no role of the caller has"


@pytest.fixture(autouse=True)
def _answers(service: FakeService) -> None:
    found = sample()
    assert found.caller is not None
    service.answer("GetCaller", found.caller)
    service.answer("GetOverview", overview())
    service.answer("GetTrend", watching.GetTrendResponse(points=POINTS))
    service.answer(
        "WatchMining",
        watching.WatchMiningResponse(at_ms=TIME_MS, tasks=found.tasks, complete=True),
    )
    service.hold("WatchMining")
    service.answer(
        "ListSubscriptions",
        log_cache.ListSubscriptionsResponse(subscriptions=found.subscriptions),
    )
    service.answer("ListReaders", admin.ListReadersResponse(readers=found.readers))
    service.answer("ListStoreUsage", retention.ListStoreUsageResponse(stores=found.stores))
    service.answer("ListJobs", admin.ListJobsResponse(jobs=found.jobs))
    service.answer("ListAlarms", alarms.ListAlarmsResponse(alarms=found.alarms))


def test_once(run: Run) -> None:
    result = run("top", "--once")
    assert (result.exit_code, result.stderr) == (0, "")
    shown = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "mined: 1,234 records/s, 2.0 MiB/s, 50,000 in all" in shown
    assert "last 1 min: mined █▅▁ to 2,000/s, sent ███ to 5.0/s" in shown
    assert [line.split()[0] for line in shown[-4:]] == ["TOPIC", "items", "orders", "broken"]


def test_a_view_sorted_and_searched(run: Run) -> None:
    def first_words(*options: str) -> list[str]:
        result = run("top", "--once", *options)
        assert result.exit_code == 0, result.stderr
        table = result.stdout.rpartition("\n\n")[2]
        return [line.split()[0] for line in table.splitlines()[1:]]

    assert first_words("--sort", "topic") == ["broken", "items", "orders"]
    assert first_words("--sort", "lag") == ["orders", "items", "broken"]
    assert first_words("--sort", "topic", "--reverse") == ["orders", "items", "broken"]
    assert first_words("--view", "subscriptions", "--find", "AUD") == ["audit"]


def test_what_is_printed_first_has_rates(run: Run) -> None:
    result = run("top", "--once", "--view", "subscriptions")
    rows = result.stdout.rpartition("\n\n")[2].splitlines()[1:]
    offsets_per_s = 8
    assert [row.split()[offsets_per_s] for row in rows] == ["0", "0"]


def test_json_has_all_there_is(run: Run, service: FakeService) -> None:
    result = run("top", "--count", "2", "--interval", "0.1", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == 2
    found = lines[0]
    assert found["overview"]["connections"][0]["mined_records"] == 50_000
    assert found["tasks"][0]["topics"][0]["delivered"]["records_per_s_10s"] == 60
    assert [each["name"] for each in found["subscriptions"]] == ["billing", "audit"]
    assert found["readers"][0]["figures"]["open_files"] == 12
    assert found["stores"][0]["bytes_max"] == 10 << 20
    assert found["jobs"][0]["name"] == "compact"
    assert found["alarms"][0]["kind"] == "ALARM_TOPIC_FAILED"
    assert found["caller"]["principal"] == "anonymous"
    assert [each["mined_records_per_s"] for each in found["trend"]] == [2000, 1000, 0]
    assert [each.since_ms for each in service.seen(watching.GetTrendRequest)] == [0, TIME_MS + 1]
    assert found["unseen"] == []


def test_of_one_connection(run: Run, service: FakeService) -> None:
    found = json.loads(run("top", "--once", "--json", "--connection", "spare").stdout)
    assert found["readers"] == []
    kinds = (watching.WatchMiningRequest, log_cache.ListSubscriptionsRequest)
    for kind in (*kinds, alarms.ListAlarmsRequest):
        (request,) = service.seen(kind)
        assert request.connection == "spare"


def test_what_may_not_be_seen_is_said_and_the_rest_shown(run: Run, service: FakeService) -> None:
    for method in ("GetOverview", "ListJobs", "ListStoreUsage"):
        service.refuse(method, grpc.StatusCode.PERMISSION_DENIED, DENIED, "NOT_ALLOWED")
    service.answer("GetCaller", access.GetCallerResponse(principal="ann", proof="token"))
    result = run("top", "--once")
    assert result.exit_code == 0
    assert "items" in result.stdout
    assert result.stderr.splitlines() == [
        f"not seen: {what}: {DENIED}" for what in ("overview", "stores", "jobs")
    ]
    found = json.loads(run("top", "--once", "--json").stdout)
    assert found["overview"] is None
    assert [each["what"] for each in found["unseen"]] == ["overview", "stores", "jobs"]


def test_a_service_before_this_call_shows_the_rest(run: Run, service: FakeService) -> None:
    service.refuse("GetOverview", grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
    result = run("top", "--once")
    assert result.exit_code == 0
    assert "of the topics that you see" in result.stdout
    assert result.stderr == "not seen: overview: Method not found!\n"


def test_who_is_not_known_is_refused(run: Run, service: FakeService) -> None:
    service.refuse("GetCaller", grpc.StatusCode.UNAUTHENTICATED, "show a token", "UNAUTHENTICATED")
    result = run("top", "--once")
    assert result.exit_code == 5
    assert "show a token" in result.stderr


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (("--view", "none"), "there are: topics, subscriptions, readers, stores, jobs, alarms"),
        (("--sort", "none"), "there are: topic, connection, state"),
        (("--once", "--count", "2"), "give one of them"),
    ],
)
def test_wrong_usage(run: Run, options: tuple[str, ...], advice: str) -> None:
    result = run("top", *options)
    assert result.exit_code == 2
    assert advice in result.stderr


def test_nobody_there(run: Run) -> None:
    result = run("top", "--address", "127.0.0.1:1")
    assert result.exit_code == 3
    assert "no service answers" in result.stderr


class Terminal:
    """The command on a pseudo-terminal of 120 columns and 30 lines."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self.output = ""

    def press(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def wait_for(self, seen: Callable[[str], bool], what: str) -> None:
        """Reads until what was drawn since the last call is as wanted."""
        until_s, drawn = time.monotonic() + WAIT_S, ""
        while not seen(drawn):
            left_s = until_s - time.monotonic()
            assert left_s > 0, f"no {what} in {drawn[-3_000:]!r}"
            ready, _, _ = select.select([self._descriptor], [], [], min(left_s, 0.2))
            if ready:
                try:
                    data = os.read(self._descriptor, 1 << 16)
                except OSError:  # the other side is closed
                    data = b""
                if not data:
                    assert seen(drawn), f"it ended without {what}: {drawn[-3_000:]!r}"
                    return
                drawn += data.decode(errors="replace")
                self.output += data.decode(errors="replace")


@contextmanager
def terminal(service: FakeService, *options: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (30, 120))
    before = termios.tcgetattr(theirs)
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")},
        "CACHESVC_ADDRESS": service.address,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TERM": "xterm",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", "from cachesvc.cli.main import main; main()", "top", *options],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    try:
        yield Terminal(process, ours)
        process.wait(WAIT_S)
        assert termios.tcgetattr(theirs) == before, "the terminal is as it was"
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
        assert process.stderr is not None
        process.stderr.close()


ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


def test_keys_on_a_terminal(service: FakeService) -> None:
    with terminal(service, "--interval", "0.2") as shown:
        shown.wait_for(lambda drawn: "mined/s▼" in drawn and "items" in drawn, "topics")
        assert ENTER in shown.output
        shown.press("2")
        shown.wait_for(lambda drawn: "offsets/s" in drawn and "audit" in drawn, "subscriptions")
        shown.press("/bill")
        shown.wait_for(lambda drawn: "find: bill" in drawn and "billing" in drawn, "the search")
        shown.press("\r?")
        shown.wait_for(lambda drawn: "sort the other way round" in drawn, "the keys")
        asked = len(service.seen(watching.GetOverviewRequest))
        shown.wait_for(
            lambda _: len(service.seen(watching.GetOverviewRequest)) > asked, "new answers"
        )
        shown.press("q")
        shown.wait_for(lambda drawn: LEAVE in drawn, "the end")
    assert shown.process.returncode == 0


def test_a_service_that_goes_away_and_comes_back(service: FakeService) -> None:
    with terminal(service, "--interval", "0.2") as shown:
        shown.wait_for(lambda drawn: "items" in drawn, "topics")
        service.refuse("ListJobs", grpc.StatusCode.UNAVAILABLE, "connection refused")
        shown.wait_for(lambda drawn: "trying again" in drawn and "items" in drawn, "trouble")
        service.refuse("ListJobs", grpc.StatusCode.PERMISSION_DENIED, DENIED, "NOT_ALLOWED")
        shown.wait_for(lambda drawn: "5 jobs not seen" in drawn, "what it is allowed now")
        shown.press("q")
    assert shown.process.returncode == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_signals_put_the_terminal_back(
    service: FakeService, number: signal.Signals, code: int
) -> None:
    with terminal(service) as shown:
        shown.wait_for(lambda drawn: "items" in drawn, "topics")
        shown.process.send_signal(number)
        shown.wait_for(lambda drawn: LEAVE in drawn, "the end")
    assert shown.process.returncode == code
