"""Figures of what works in the background, and what is wrong: jobs, alarms, the software itself."""

from cachesvc.web.families import Family, Kind, Rows, Told
from cachesvc.web.observed import Observed


def operating_metrics(observed: Observed) -> Told:
    """All of them."""
    yield Family(
        "cachesvc_build_info",
        Kind.GAUGE,
        "1; the version is in its label.",
        ("version",),
        [((observed.version,), 1.0)],
    )
    yield Family(
        "cachesvc_alarms",
        Kind.GAUGE,
        "Alarms that stand, by kind; kinds without any are left out.",
        ("kind",),
        [((kind.lower(),), count) for kind, count in sorted(observed.alarms().items())],
    )
    yield from _jobs(observed)


def _jobs(observed: Observed) -> Told:
    runs, counts, last_s, last_success, running = Rows(), Rows(), Rows(), Rows(), Rows()
    for name, tally in sorted(observed.jobs.items()):
        runs.add((name, "succeeded"), tally.succeeded)
        runs.add((name, "failed"), tally.failed)
        running.add((name,), tally.running)
        for count, value in sorted(tally.counts.items()):
            counts.add((name, count), value)
        if tally.last_s is not None:
            last_s.add((name,), tally.last_s)
        if tally.last_success_ms is not None:
            last_success.add((name,), tally.last_success_ms / 1000)
    job = ("job_name",)
    yield runs.family(
        "cachesvc_job_runs",
        Kind.COUNTER,
        "Runs of a job since the service started, by how they ended.",
        ("job_name", "result"),
    )
    yield counts.family(
        "cachesvc_job_work",
        Kind.COUNTER,
        "What a job's runs did since then, by what they counted.",
        ("job_name", "what"),
    )
    yield running.family("cachesvc_job_running", Kind.GAUGE, "1 while a job runs.", job)
    yield last_s.family(
        "cachesvc_job_last_run_seconds", Kind.GAUGE, "What a job's last run took.", job
    )
    yield last_success.family(
        "cachesvc_job_last_success_timestamp_seconds",
        Kind.GAUGE,
        "When a job's last run that succeeded ended; absent until one did since the start.",
        job,
    )
