"""What pages of mining, readers, connections, stores, jobs, alarms and audit make of answers."""

from __future__ import annotations

import pytest

from cachesvc.v1 import connection_test_pb2 as tests_of_connections
from cachesvc.v1 import stores_pb2 as stores_told
from cachesvc.v1.admin_pb2 import Job, JobRun, Reader, RunJobResponse
from cachesvc.v1.alarms_pb2 import Alarm, AlarmKind
from cachesvc.v1.audit_pb2 import AuditEntry
from cachesvc.v1.connections_pb2 import (
    Connection,
    ConnectionSasl,
    ConnectionTls,
    ForeignAddress,
    NonJsonPolicy,
)
from cachesvc.v1.mining_tasks_pb2 import (
    MinedTopic,
    MinedTopicState,
    MiningTask,
    MiningTaskState,
    TopicPin,
)
from cachesvc.v1.retention_pb2 import StoreUsage
from cachesvc.v1.stores_pb2 import Store, StoreCheck
from cachesvc.v1.watching_pb2 import MiningActivity
from cachesvc.web.pages import connections, stores
from cachesvc.web.pages.alarms import alarm_row
from cachesvc.web.pages.audit import audit_row, since_of
from cachesvc.web.pages.checks import connection_line, store_line
from cachesvc.web.pages.jobs import job_row, progress_line, schedule_of
from cachesvc.web.pages.mining import task_row
from cachesvc.web.pages.mining_acts import stop_preview
from cachesvc.web.pages.mining_task import topic_rows
from cachesvc.web.pages.readers import TOPICS_SHOWN, reader_row
from cachesvc.web.pages.settings_shown import settings_of


def test_the_row_of_a_mining_task() -> None:
    topics = [
        MinedTopic(
            topic_state=MinedTopicState.TOPIC_MINING,
            mining_lag_records=3,
            activity=MiningActivity(records_per_s_10s=2, bytes_per_s_10s=10),
        ),
        MinedTopic(topic_state=MinedTopicState.TOPIC_BLOCKED, mining_lag_records=4),
        MinedTopic(topic_state=MinedTopicState.TOPIC_MINING),
    ]
    row = task_row(MiningTask(state=MiningTaskState.TASK_RUNNING, topics=topics))
    assert (row.state, row.mood) == ("running", "good")
    assert (row.records_per_s, row.bytes_per_s, row.lag_records) == (2, 10, 7)
    assert row.topics == [("mining", "good", 2), ("blocked", "bad", 1)]


def test_topics_of_a_task_with_their_pins() -> None:
    task = MiningTask(
        topics=[
            MinedTopic(topic="a", topic_state=MinedTopicState.TOPIC_STOPPED, cause="by ops"),
            MinedTopic(
                topic="b",
                topic_state=MinedTopicState.TOPIC_FAILED,
                error="no leader",
                cause="since noon",
            ),
        ],
        pins=[TopicPin(topic="b", reader="r", strict=True)],
    )
    first, second = topic_rows(task)
    assert (first.state, first.stopped, first.why, first.pin) == (
        "stopped",
        True,
        "by ops",
        None,
    )
    assert (second.state, second.mood, second.why) == ("failed", "bad", "no leader")
    assert second.pin is not None and second.pin.reader == "r"


def test_the_row_of_a_reader() -> None:
    names = [f"t-{number}" for number in range(TOPICS_SHOWN + 5)]
    row = reader_row(Reader(name="r", topics=names))
    assert (len(row.topics), row.left, row.host) == (TOPICS_SHOWN, 5, "the service's machine")
    assert names[-1] in row.words


@pytest.mark.parametrize(
    ("told", "state", "mood"),
    [
        (Connection(reachable=True), "reachable", "good"),
        (Connection(error="no"), "not reachable", "bad"),
        (Connection(), "not known yet", "busy"),
        (
            Connection(reachable=True, foreign_addresses=[ForeignAddress(address="a:1")]),
            "another cluster",
            "bad",
        ),
    ],
)
def test_states_of_connections(told: Connection, state: str, mood: str) -> None:
    row = connections.connection_row(told)
    assert (row.state, row.mood) == (state, mood)


def test_checks_of_a_connection_as_lines() -> None:
    check = tests_of_connections.ConnectionCheck(
        name="tls",
        status=tests_of_connections.CheckStatus.CHECK_FAILED,
        detail="not trusted",
        hint="name the CA",
        reason="TLS_FAILED",
    )
    line = connection_line(tests_of_connections.TestConnectionResponse(check=check))
    assert (line.text, line.mark, line.detail) == (
        "tls: not trusted",
        "failed",
        "name the CA (TLS_FAILED)",
    )
    unknown = tests_of_connections.ConnectionCheck(name="new", detail="?")
    answer = tests_of_connections.TestConnectionResponse(check=unknown)
    assert connection_line(answer).mark == ""


def test_settings_by_name_without_what_the_service_found() -> None:
    told = Connection(
        name="c",
        bootstrap_servers=["a:1", "b:2"],
        non_json_policy=NonJsonPolicy.STOP,
        log_caching=False,
        reachable=True,
        cluster_id="x",
        foreign_addresses=[ForeignAddress(address="a:1")],
        tls=ConnectionTls(ca_file="/ca", check_hostname=True),
        sasl=ConnectionSasl(username="u", password_env="PASSWORD"),
    )
    assert settings_of(told) == [
        ("bootstrap_servers", "a:1, b:2"),
        ("non_json_policy", "STOP"),
        ("log_caching", "no"),
        ("tls.ca_file", "/ca"),
        ("tls.check_hostname", "yes"),
        ("sasl.username", "u"),
        ("sasl.password_env", "PASSWORD"),
        ("sasl.insecure", "no"),
    ]
    assert ("retry_s", "0.5") in settings_of(Store(retry_s=0.5, location="/x"))


@pytest.mark.parametrize(
    ("told", "usage", "state"),
    [
        (Store(), None, "works"),
        (Store(error="refused"), StoreUsage(full="no room"), "away"),
        (Store(), StoreUsage(full="no room", bytes=5, bytes_max=5), "full"),
        (Store(), StoreUsage(bytes=90, bytes_max=100), "nearly full"),
        (Store(), StoreUsage(bytes=89, bytes_max=100), "works"),
    ],
)
def test_states_of_stores(told: Store, usage: StoreUsage | None, state: str) -> None:
    assert stores.store_row(told, usage).state == state


def test_how_full_a_store_is() -> None:
    assert stores.store_row(Store(), StoreUsage(bytes=25, bytes_max=100)).filled == 25
    assert stores.store_row(Store(), StoreUsage(bytes=25)).filled is None


def test_checks_of_a_store_as_lines() -> None:
    marks = [
        store_line(stores_told.TestStoreResponse(check=check)).mark
        for check in (StoreCheck(works=True), StoreCheck(works=False), StoreCheck())
    ]
    assert marks == ["passed", "failed", "skipped"]


def test_the_row_of_a_job() -> None:
    failed = JobRun(started_ms=1_000, ended_ms=3_500, error="disk full")
    done = JobRun(succeeded=True, counts={"b": 2_000, "a": 1, "none": 0})
    assert job_row(Job(last_run=failed)).state == "failed"
    assert job_row(Job(last_run=failed, running=True)).state == "running"
    assert job_row(Job(last_run=done, paused=True)).state == "paused"
    row = job_row(Job(last_run=done, interval_s=60))
    assert row.state == "waiting" and row.last is not None
    assert row.last.result == "a 1, b 2,000"
    last = job_row(Job(last_run=failed)).last
    assert last is not None and (last.took_s, last.result) == (2.5, "disk full")
    assert job_row(Job()).last is None


def test_schedules_in_words() -> None:
    assert schedule_of(Job(interval_s=90)) == "every 1 min 30 s"
    assert schedule_of(Job(daily_at="02:00 UTC")) == "every day at 02:00 UTC"
    assert schedule_of(Job()) == "on demand"


def test_what_a_run_says() -> None:
    under_way = progress_line(RunJobResponse(message="merging", done=1, total=2_000))
    assert (under_way.text, under_way.passing) == ("merging: 1 of 2,000", True)
    assert progress_line(RunJobResponse()).text == "at work"
    ended = progress_line(RunJobResponse(run=JobRun(succeeded=True, ended_ms=500)))
    assert (ended.text, ended.mark, ended.passing) == ("nothing to do, in 0.5 s", "passed", False)
    failed = progress_line(RunJobResponse(run=JobRun(error="no room")))
    assert (failed.text, failed.mark) == ("no room, in 0.0 s", "failed")


def test_the_row_of_an_alarm() -> None:
    stands = alarm_row(Alarm(kind=AlarmKind.ALARM_MINING_LAG, raised_ms=1, topic="orders"))
    assert (stands.kind, stands.stands, stands.lasted_s) == ("mining lag", True, None)
    assert "orders" in stands.words
    over = alarm_row(Alarm(raised_ms=1_000, cleared_ms=4_000))
    assert (over.stands, over.lasted_s) == (False, 3)


def test_the_row_of_an_audit_entry() -> None:
    told = AuditEntry(principal="ops", call="RunJob", request='{"name":"seal"}', outcome="OK")
    row = audit_row(told)
    assert (row.mood, row.request) == ("good", '{\n  "name": "seal"\n}')
    assert "ops" in row.words and "seal" in row.words
    assert audit_row(AuditEntry(outcome="PERMISSION_DENIED", request='{"cut": "…')).mood == "bad"
    assert audit_row(AuditEntry(outcome="STARTED")).mood == "busy"


@pytest.mark.parametrize(
    ("text", "since_ms", "is_wrong"),
    [
        ("", 0, False),
        ("1500", 1_500, False),
        ("1970-01-01T00:00:02", 2_000, False),
        ("yesterday", 0, True),
        ("1960-01-01", 0, True),
        ("9" * 19, 0, True),
    ],
)
def test_since_when_entries_are_wanted(text: str, since_ms: int, is_wrong: bool) -> None:
    found, wrong = since_of(text)
    assert (found, bool(wrong)) == (since_ms, is_wrong)


def test_what_cannot_be_undone_is_told_before() -> None:
    told = Connection(
        name="c",
        cluster_id="ours",
        foreign_addresses=[
            ForeignAddress(address="a:1", cluster_id="theirs"),
            ForeignAddress(address="b:2"),
        ],
    )
    accepted = connections.accept_preview(told)
    assert "instead of ours" in accepted.points[0]
    assert list(accepted.rows) == [("a:1", "theirs"), ("b:2", "tells no id")]
    assert "connection c" in connections.delete_preview(told).question
    forgotten = stores.delete_preview(Store(name="s", location="s3://bucket/x"))
    assert "s3://bucket/x is left alone" in forgotten.points[0]
    stopped = stop_preview(MiningTask(connection="c", topics=[MinedTopic(), MinedTopic()]))
    assert "None of its 2 topics" in stopped.points[0]
