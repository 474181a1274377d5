"""What testing a connection can find, and the judgements in it. No I/O, no clock.

Checks are made in the order of ``Check``. One that fails takes along those that build on it; what
does not is tried all the same, so that one test says as much as it can.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from cachesvc.policy.acknowledgement import acks_problem, acks_promise
from cachesvc.policy.cluster_identity import ForeignAddress, named

_SHOWN_MAX = 5
_DAY_MS = 86_400_000
EXPIRY_WARNING_DAYS = 30
CLOCK_WARNING_MS = 2_000
OLDEST_SUPPORTED = (2, 3)


class Check(Enum):
    """What is looked at, in the order in which it is."""

    NAME = "name"
    PORT = "port"
    TLS = "tls"
    AUTHENTICATION = "authentication"
    VERSION = "version"
    CLUSTER = "cluster"
    BROKERS = "brokers"
    TOPICS = "topics"
    READ = "read"
    REPLICAS = "replicas"
    WRITE = "write"
    CLOCK = "clock"


BUILDS_ON: Mapping[Check, Check] = {
    Check.PORT: Check.NAME,
    Check.TLS: Check.PORT,
    Check.AUTHENTICATION: Check.TLS,
    Check.VERSION: Check.AUTHENTICATION,
    Check.CLUSTER: Check.AUTHENTICATION,
    Check.BROKERS: Check.AUTHENTICATION,
    Check.TOPICS: Check.AUTHENTICATION,
    Check.READ: Check.TOPICS,
    Check.REPLICAS: Check.AUTHENTICATION,
    Check.WRITE: Check.AUTHENTICATION,
    Check.CLOCK: Check.AUTHENTICATION,
}
"""What each check needs to have passed."""


class CheckStatus(Enum):
    """How a check ended."""

    PASSED = "passed"
    WARNING = "warning"
    """It works, and something should be seen to all the same."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """It was not made: one that it builds on failed, or it does not apply."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        status: How it ended.
        detail: What was found, or what is wrong, or why it was skipped.
        hint: What to do; empty if nothing is to be done.
        reason: Machine-readable, of those in docs/errors.md; empty if nothing is wrong.
    """

    status: CheckStatus
    detail: str
    hint: str = ""
    reason: str = ""

    @property
    def works(self) -> bool:
        """Whether what builds on it can be tried."""
        return self.status in (CheckStatus.PASSED, CheckStatus.WARNING)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A finding with the check that made it.

    Attributes:
        check: Which one.
        finding: What it found.
        took_s: Seconds that it took.
    """

    check: Check
    finding: Finding
    took_s: float = 0.0


def passed(detail: str) -> Finding:
    """All is well."""
    return Finding(CheckStatus.PASSED, detail)


def warning(detail: str, hint: str, *, reason: str) -> Finding:
    """It works, but somebody should look."""
    return Finding(CheckStatus.WARNING, detail, hint, reason)


def failed(detail: str, hint: str, *, reason: str) -> Finding:
    """It does not work."""
    return Finding(CheckStatus.FAILED, detail, hint, reason)


def skipped(detail: str) -> Finding:
    """It was not looked at."""
    return Finding(CheckStatus.SKIPPED, detail)


def obstacle(check: Check, found: Mapping[Check, Finding]) -> Finding | None:
    """The finding of a check that need not be made, for what it builds on failed; else None.

    A check that was skipped because it does not apply stands in nobody's way.
    """
    need = BUILDS_ON.get(check)
    while need is not None:
        finding = found.get(need)
        if finding is not None and finding.status is CheckStatus.FAILED:
            return skipped(f"{need.value} failed")
        need = BUILDS_ON.get(need)
    return None


def join_addresses(findings: Mapping[str, Finding]) -> Finding:
    """One finding from those of several addresses: one that works is enough, but all should.

    Args:
        findings: By address, at least one; a detail does not repeat its address.
    """
    works = {address: found for address, found in findings.items() if found.works}
    wrong = {address: found for address, found in findings.items() if address not in works}
    first = next(iter((wrong or works).values()))
    if not wrong:
        worst = next((f for f in works.values() if f.status is CheckStatus.WARNING), first)
        return Finding(worst.status, _listed(works), worst.hint, worst.reason)
    detail = _listed(wrong)
    if works:
        detail = f"{len(works)} of {len(findings)} addresses work; {detail}"
    status = CheckStatus.WARNING if works else CheckStatus.FAILED
    return Finding(status, detail, first.hint, first.reason)


def _listed(findings: Mapping[str, Finding]) -> str:
    by_detail: dict[str, list[str]] = {}
    for address, finding in findings.items():
        by_detail.setdefault(finding.detail, []).append(address)
    return "; ".join(f"{enumerated(names)}: {detail}" for detail, names in by_detail.items())


def enumerated(names: Sequence[str]) -> str:
    """The first few of some names, and how many more there are."""
    text = ", ".join(names[:_SHOWN_MAX])
    more = len(names) - _SHOWN_MAX
    return f"{text} and {more} more" if more > 0 else text


def judge_certificate(described: str, not_after_ms: int, now_ms: int) -> Finding:
    """Whether a certificate that is valid now will be so for a while.

    Args:
        described: Who it is for and from whom.
        not_after_ms: Until when it is valid.
        now_ms: The time now.
    """
    days = (not_after_ms - now_ms) // _DAY_MS
    detail = f"{described}, valid for {days} more day{'' if days == 1 else 's'}"
    if days >= EXPIRY_WARNING_DAYS:
        return passed(detail)
    return warning(detail, "renew the broker's certificate soon", reason="CERTIFICATE_EXPIRES_SOON")


def judge_clock(ahead_ms: float, uncertainty_ms: float) -> Finding:
    """Whether the cluster's clock agrees with the one here.

    Args:
        ahead_ms: By how much the cluster's is ahead; negative if behind.
        uncertainty_ms: How far that may be off, from the time that asking took.
    """
    way = "ahead of" if ahead_ms > 0 else "behind"
    detail = f"the cluster's clock is {abs(ahead_ms):,.0f} ms {way} this one"
    detail += f" (± {uncertainty_ms:,.0f} ms)"
    if abs(ahead_ms) - uncertainty_ms < CLOCK_WARNING_MS:
        return passed(detail)
    hint = "synchronise both with NTP: retention, lag in seconds and Kerberos depend on it"
    return warning(detail, hint, reason="CLOCK_DIFFERS")


def judge_clusters(found: Mapping[str, str], meant: str) -> Finding:
    """Whether all addresses lead to the cluster that is meant.

    Args:
        found: What the cluster at each address calls itself, in the order of the addresses; empty
            where it tells no id.
        meant: The one that logs are of; empty while there are none.
    """
    elsewhere = [
        str(ForeignAddress(address, told))
        for address, told in found.items()
        if told != (meant or next(iter(found.values())))
    ]
    if not elsewhere:
        return passed(named(meant or next(iter(found.values()))))
    if meant and len(elsewhere) == len(found):
        detail = f"{enumerated(elsewhere)}; what was mined is of cluster {meant}"
        hint = "correct bootstrap_servers, or accept the other one (cachesvc connection accept): "
        hint += "its topics are mined anew then"
        return failed(detail, hint, reason="SOURCE_CHANGED")
    if meant:
        detail = f"{enumerated(elsewhere)}; what was mined is of cluster {meant}, as are the others"
        hint = "correct bootstrap_servers; until then those addresses are set aside"
        return warning(detail, hint, reason="SOURCE_CHANGED")
    every = [str(ForeignAddress(*each)) for each in found.items()]
    hint = "correct bootstrap_servers; the first one that answers is taken for the right one"
    return warning(enumerated(every), hint, reason="CLUSTERS_DIFFER")


def judge_acks(acks: str, topics: Mapping[str, tuple[int, int | None]]) -> Finding:
    """Whether topics give what an acknowledgement promises.

    Args:
        acks: As in the settings.
        topics: Replicas and ``min.insync.replicas`` by name; None where one may not look.
    """
    problems: dict[str, list[str]] = {}
    promises: dict[str, list[str]] = {}
    for name, (replicas, min_in_sync) in topics.items():
        problem = acks_problem(acks, replicas, min_in_sync)
        told = problem or acks_promise(acks, replicas, min_in_sync)
        (problems if problem else promises).setdefault(told, []).append(name)
    if problems:
        parts = [text.partition("; ") for text in problems]
        said = zip(problems.values(), parts, strict=True)
        detail = "; ".join(f"{enumerated(names)}: {text}" for names, (text, _, _) in said)
        return failed(f'acks = "{acks}": {detail}', parts[0][2], reason="ACKS_NOT_MET")
    said_of = [f"{enumerated(names)}: {text}" for text, names in promises.items()]
    return passed(f'acks = "{acks}": ' + ("; ".join(said_of) or acks_promise(acks, 1, 1)))


# Numbers of Kafka's requests.
_PRODUCE, _FETCH, _LIST_OFFSETS, _METADATA = 0, 1, 2, 3
_FIND_COORDINATOR, _JOIN_GROUP, _INIT_PRODUCER_ID, _ADD_PARTITIONS = 10, 11, 22, 24
_DESCRIBE_ACLS, _DESCRIBE_LOG_DIRS, _DESCRIBE_QUOTAS = 29, 35, 48

# The first release whose brokers speak a version of a request, the newest release first.
_FIRST_WITH: Sequence[tuple[tuple[int, int], int, int]] = (
    ((4, 1), _FETCH, 18),
    ((4, 0), _METADATA, 13),
    ((3, 9), _FETCH, 17),
    ((3, 8), _INIT_PRODUCER_ID, 5),
    ((3, 7), _FETCH, 16),
    ((3, 6), _ADD_PARTITIONS, 4),
    ((3, 5), _FETCH, 15),
    ((3, 3), _DESCRIBE_LOG_DIRS, 4),
    ((3, 2), _JOIN_GROUP, 9),
    ((3, 1), _FETCH, 13),
    ((3, 0), _FIND_COORDINATOR, 4),
    ((2, 8), _METADATA, 11),
    ((2, 7), _FETCH, 12),
    ((2, 6), _DESCRIBE_QUOTAS, 0),
    ((2, 5), _DESCRIBE_ACLS, 2),
    ((2, 4), _PRODUCE, 8),
    ((2, 3), _FETCH, 11),
    ((2, 2), _LIST_OFFSETS, 5),
    ((2, 1), _FETCH, 10),
    ((2, 0), _FETCH, 8),
    ((1, 1), _FETCH, 7),
    ((1, 0), _FETCH, 6),
    ((0, 11), _FETCH, 5),
)
# What fetching needs: record batches of Kafka 0.11, and metadata without creating topics.
_NEEDED = ((_FETCH, 4), (_METADATA, 4), (_LIST_OFFSETS, 2))


def broker_release(versions: Mapping[int, tuple[int, int]]) -> tuple[int, int] | None:
    """The newest release of Kafka whose requests a broker knows; None for one before 0.11.

    Brokers do not tell their version. Releases that added no request cannot be told apart from
    the one before (3.4 from 3.3), nor can those after the last one that is known here.

    Args:
        versions: Lowest and highest version by number of the request, as the broker tells them.
    """
    for release, request, needed in _FIRST_WITH:
        if request in versions and versions[request][1] >= needed:
            return release
    return None


def judge_versions(versions: Mapping[int, tuple[int, int]]) -> Finding:
    """Whether a broker speaks what mining needs."""
    release = broker_release(versions)
    lacking = [name for name, needed in _NEEDED if versions.get(name, (0, -1))[1] < needed]
    if lacking or release is None:
        hint = "Kafka 2.3 or newer is supported"
        return failed("the broker is older than Kafka 0.11", hint, reason="BROKER_TOO_OLD")
    text = f"speaks as Kafka {release[0]}.{release[1]}"
    if release == _FIRST_WITH[0][0]:
        text += " or newer"
    if release < OLDEST_SUPPORTED:
        hint = "nobody has tried versions before 2.3; bring the broker up to date"
        return warning(text, hint, reason="BROKER_OLD")
    return passed(text)
