"""B17: how many commits a second a task gets that waits for each of them."""

from __future__ import annotations

from tests.bench.report import Figure, Side, Target, absolute
from tests.bench.stage import Stage

_COMMITS = 2_000
_CALLERS = 16


def measure(stage: Stage) -> list[Figure]:
    """Commit record by record: one task, then several beside each other."""
    topic = stage.topic(stage.options.records)
    one: list[float] = []
    together: list[float] = []
    with stage.service("b17") as service:
        stage.say("B17: mining")
        service.mine(topic.name, topic.records, stage.patience_s(topic.records))
        count = min(_COMMITS, topic.records)
        for _ in stage.runs("B17"):
            for callers, rates in ((1, one), (_CALLERS, together)):
                job = {**stage.cache_job(service, topic), "commits": count, "callers": callers}
                with stage.workers("cache") as (task,):
                    took = task.run("commits", job, stage.patience_s(0))["seconds"]
                rates.append(callers * count / took)
    return [
        absolute(
            "B17",
            "commits of one task, one after the other",
            Side("one task", "commits/s", tuple(one)),
            Target("at least", 1_000),
            [f"{count:,} commits a task, a record each"],
        ),
        absolute(
            "B17a",
            f"commits of {_CALLERS} tasks, each one after the other",
            Side(f"{_CALLERS} tasks", "commits/s", tuple(together)),
            None,
        ),
    ]
