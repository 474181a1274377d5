"""The judgements in testing a connection."""

import pytest

from cachesvc.policy.connection_checks import (
    BUILDS_ON,
    Check,
    CheckStatus,
    Finding,
    broker_release,
    failed,
    join_addresses,
    judge_certificate,
    judge_clock,
    judge_clusters,
    judge_versions,
    obstacle,
    passed,
    skipped,
    warning,
)

DAY_MS = 86_400_000
NO = failed("refused", "start it", reason="PORT_CLOSED")
# What brokers really answered, of the requests that count.
KAFKA_2_3 = {0: (0, 7), 1: (0, 11), 2: (0, 5), 3: (0, 8), 10: (0, 2), 11: (0, 5), 22: (0, 1)}
KAFKA_3_9 = KAFKA_2_3 | {1: (0, 17), 2: (0, 9), 3: (0, 12), 10: (0, 6), 11: (0, 9), 22: (0, 5)}
KAFKA_4_0 = KAFKA_3_9 | {1: (4, 17), 2: (1, 10), 3: (0, 13)}


def test_every_check_builds_on_an_earlier_one() -> None:
    order = list(Check)
    assert all(order.index(need) < order.index(check) for check, need in BUILDS_ON.items())


@pytest.mark.parametrize(
    ("found", "check", "why"),
    [
        ({}, Check.NAME, None),
        ({Check.NAME: passed("1.2.3.4")}, Check.PORT, None),
        ({Check.NAME: NO}, Check.PORT, "name failed"),
        ({Check.NAME: NO, Check.PORT: skipped("name failed")}, Check.CLOCK, "name failed"),
        ({Check.TLS: skipped("no tls table")}, Check.AUTHENTICATION, None),
        ({Check.PORT: warning("slow", "look", reason="X")}, Check.TLS, None),
        ({Check.TOPICS: NO}, Check.READ, "topics failed"),
        ({Check.TOPICS: NO}, Check.WRITE, None),
        ({Check.BROKERS: NO}, Check.TOPICS, None),
    ],
)
def test_a_check_is_skipped_behind_the_failure_of_what_it_needs(
    found: dict[Check, Finding], check: Check, why: str | None
) -> None:
    stands_in_the_way = obstacle(check, found)
    assert (stands_in_the_way and stands_in_the_way.detail) == why
    assert stands_in_the_way is None or stands_in_the_way.status is CheckStatus.SKIPPED


def test_all_addresses_that_work_are_one_line() -> None:
    joined = join_addresses({"a:1": passed("open"), "b:1": passed("open")})
    assert joined == passed("a:1, b:1: open")


def test_a_warning_of_one_address_is_one_of_all() -> None:
    old = warning("speaks as Kafka 2.2", "bring it up to date", reason="BROKER_OLD")
    joined = join_addresses({"a:1": passed("speaks as Kafka 4.0"), "b:1": old})
    assert joined.status is CheckStatus.WARNING
    assert joined.detail == "a:1: speaks as Kafka 4.0; b:1: speaks as Kafka 2.2"
    assert (joined.hint, joined.reason) == (old.hint, old.reason)


def test_one_address_that_works_is_enough_and_the_others_are_told() -> None:
    joined = join_addresses({"a:1": NO, "b:1": passed("open")})
    assert joined.status is CheckStatus.WARNING
    assert joined.detail == "1 of 2 addresses work; a:1: refused"
    assert (joined.hint, joined.reason) == ("start it", "PORT_CLOSED")


def test_no_address_that_works_fails() -> None:
    joined = join_addresses({"a:1": NO, "b:1": NO})
    assert joined == failed("a:1, b:1: refused", "start it", reason="PORT_CLOSED")


@pytest.mark.parametrize(
    ("days", "status", "text"),
    [
        (31, CheckStatus.PASSED, "CN=b, valid for 31 more days"),
        (30, CheckStatus.PASSED, "CN=b, valid for 30 more days"),
        (29.9, CheckStatus.WARNING, "CN=b, valid for 29 more days"),
        (1, CheckStatus.WARNING, "CN=b, valid for 1 more day"),
    ],
)
def test_a_certificate_that_expires_within_30_days_warns(
    days: float, status: CheckStatus, text: str
) -> None:
    now_ms = 1_700_000_000_000
    found = judge_certificate("CN=b", now_ms + int(days * DAY_MS), now_ms)
    assert (found.status, found.detail) == (status, text)
    assert (found.reason == "CERTIFICATE_EXPIRES_SOON") == (status is CheckStatus.WARNING)


@pytest.mark.parametrize(
    ("ahead_ms", "uncertainty_ms", "status"),
    [
        (0, 1, CheckStatus.PASSED),
        (1_999, 0, CheckStatus.PASSED),
        (2_000, 0, CheckStatus.WARNING),
        (-2_000, 0, CheckStatus.WARNING),
        # It may be the asking that took so long.
        (2_500, 600, CheckStatus.PASSED),
    ],
)
def test_clocks_may_differ_a_little(
    ahead_ms: float, uncertainty_ms: float, status: CheckStatus
) -> None:
    found = judge_clock(ahead_ms, uncertainty_ms)
    assert found.status is status
    assert ("behind" in found.detail) == (ahead_ms <= 0)


@pytest.mark.parametrize(
    ("versions", "release"),
    [
        (KAFKA_4_0, (4, 0)),
        (KAFKA_3_9, (3, 9)),
        (KAFKA_2_3, (2, 3)),
        (KAFKA_2_3 | {1: (0, 10)}, (2, 2)),
        ({1: (0, 3), 3: (0, 2)}, None),
        ({}, None),
    ],
)
def test_the_release_is_the_newest_whose_requests_are_known(
    versions: dict[int, tuple[int, int]], release: tuple[int, int] | None
) -> None:
    assert broker_release(versions) == release


@pytest.mark.parametrize(
    ("versions", "status", "reason"),
    [
        (KAFKA_4_0 | {1: (4, 18)}, CheckStatus.PASSED, ""),
        (KAFKA_2_3, CheckStatus.PASSED, ""),
        (KAFKA_2_3 | {1: (0, 10)}, CheckStatus.WARNING, "BROKER_OLD"),
        ({1: (0, 3), 3: (0, 2)}, CheckStatus.FAILED, "BROKER_TOO_OLD"),
        ({1: (0, 5), 3: (0, 2), 2: (0, 2)}, CheckStatus.FAILED, "BROKER_TOO_OLD"),
    ],
)
def test_versions_before_2_3_warn_and_those_without_what_is_needed_fail(
    versions: dict[int, tuple[int, int]], status: CheckStatus, reason: str
) -> None:
    found = judge_versions(versions)
    assert (found.status, found.reason) == (status, reason)
    assert ("or newer" in found.detail) == (versions.get(1) == (4, 18))


@pytest.mark.parametrize(
    ("found", "meant", "status", "reason", "detail"),
    [
        ({"a:1": "x", "b:1": "x"}, "", CheckStatus.PASSED, "", "cluster x"),
        ({"a:1": "x"}, "x", CheckStatus.PASSED, "", "cluster x"),
        ({"a:1": ""}, "", CheckStatus.PASSED, "", "a cluster that tells no id"),
        (
            {"a:1": "x", "b:1": "y"},
            "",
            CheckStatus.WARNING,
            "CLUSTERS_DIFFER",
            "a:1 leads to cluster x, b:1 leads to cluster y",
        ),
        (
            {"a:1": "y", "b:1": "x"},
            "x",
            CheckStatus.WARNING,
            "SOURCE_CHANGED",
            "a:1 leads to cluster y; what was mined is of cluster x, as are the others",
        ),
        (
            {"a:1": "y"},
            "z",
            CheckStatus.FAILED,
            "SOURCE_CHANGED",
            "a:1 leads to cluster y; what was mined is of cluster z",
        ),
    ],
)
def test_all_addresses_have_to_lead_to_the_cluster_that_was_mined(
    found: dict[str, str], meant: str, status: CheckStatus, reason: str, detail: str
) -> None:
    finding = judge_clusters(found, meant)
    assert (finding.status, finding.reason, finding.detail) == (status, reason, detail)
    assert bool(finding.hint) == bool(reason)
