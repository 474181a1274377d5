"""B15: a subscriber that wants one record in a hundred, filtered by the service and by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.bench.digest import Json
from tests.bench.report import Figure, Side, Target, ratio
from tests.bench.service import Service
from tests.bench.stage import Loaded, Stage, in_turn

_UNIT = "source records/s"
_RATE = Target("at least", 3, 20)
_BYTES = Target("at most", 0.3, 0.05)
_SHARES = (0.005, 0.02)
"""What a filter has to keep of the flights."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The same condition in words of the service and of the client's columns."""

    title: str
    text: str
    path: str
    kind: str
    test: str
    literal: str | int

    @property
    def job(self) -> Json:
        """What a worker has to know of it."""
        return {
            "filter": self.text,
            "path": self.path,
            "kind": self.kind,
            "test": self.test,
            "literal": self.literal,
        }


_FILTERS = {
    "": _Wanted("a text", 'value.after.dest == "RSW"', "after.dest", "string", "equal", "RSW"),
    "n": _Wanted(
        "a number below a bound",
        "value.after.distance <= 169",
        "after.distance",
        "int64",
        "less_equal",
        169,
    ),
}


@dataclass(slots=True)
class _Found:
    """Per run: source records per second of both sides, and bytes of all messages."""

    service: list[float] = field(default_factory=list)
    client: list[float] = field(default_factory=list)
    bytes_service: list[float] = field(default_factory=list)
    bytes_client: list[float] = field(default_factory=list)


def measure(stage: Stage) -> list[Figure]:
    """Run through a topic that is cached, to its end, with the filter on one side or the other."""
    topic = stage.topic(stage.options.records)
    found = {name: _Found() for name in (*_FILTERS, "p")}
    parquet = stage.sealed(topic)
    with stage.service("b15") as service:
        service.mine(topic.name, topic.records, stage.patience_s(topic.records))
        for run in stage.runs("B15"):
            for name, wanted in _FILTERS.items():
                _compare(stage, topic, service, wanted, found[name], run)
            service.stop()
            _compare(stage, topic, parquet, _FILTERS[""], found["p"], run, fresh=True)
            service.start()
    return [*_rates(found), _bytes(found[""])]


def _compare(
    stage: Stage,
    topic: Loaded,
    service: Service,
    wanted: _Wanted,
    found: _Found,
    run: int,
    *,
    fresh: bool = False,
) -> None:
    """Let both sides have it; with ``fresh`` from a service that has nothing in its caches."""
    job = {**stage.cache_job(service, topic), **wanted.job}
    answers: dict[str, Json] = {}

    def by(action: str) -> None:
        if fresh:
            service.start()
        with stage.workers("cache") as (task,):
            answers[action] = task.run(action, job, stage.patience_s(topic.records))
        if fresh:
            service.stop()

    in_turn(run, lambda: by("filter-service"), lambda: by("filter-client"))
    ours, theirs = answers["filter-service"], answers["filter-client"]
    same = ours["digest"] == theirs["digest"]
    stage.check(f"B15 {wanted.text}: checksums", same, f"{ours['digest']}, {theirs['digest']}")
    share = ours["digest"]["tally"]["records"] / topic.records
    stage.check(f"B15 {wanted.text}: share", _SHARES[0] <= share <= _SHARES[1], f"{share:.2%}")
    found.service.append(topic.records / ours["seconds"])
    found.client.append(topic.records / theirs["seconds"])
    if not fresh:
        with stage.workers("cache") as (task,):
            sent = task.run("filter-bytes", job, stage.patience_s(topic.records))
        found.bytes_service.append(sent["filtered"])
        found.bytes_client.append(sent["all"])


def _rates(found: dict[str, _Found]) -> list[Figure]:
    titles = {name: f"1 % kept by {wanted.title}" for name, wanted in _FILTERS.items()}
    titles["p"] = f"{titles['']}, from Parquet alone"
    return [
        ratio(
            f"B15{name}",
            title,
            Side("filtered by the service", _UNIT, tuple(found[name].service)),
            Side("filtered by the client", _UNIT, tuple(found[name].client)),
            None if name else _RATE,
            [] if name else ["the client filters with its columns of fields, and makes no records"],
        )
        for name, title in titles.items()
    ]


def _bytes(found: _Found) -> Figure:
    return ratio(
        "B15b",
        "1 % kept by a text, bytes sent",
        Side("filtered by the service", "bytes", tuple(found.bytes_service)),
        Side("filtered by the client", "bytes", tuple(found.bytes_client)),
        _BYTES,
    )
