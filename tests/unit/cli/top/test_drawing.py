from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cachesvc.cli.top.display import Display
from cachesvc.cli.top.drawing import frame, page_of
from cachesvc.cli.top.figures import Figures
from cachesvc.cli.top.views import VIEWS
from cachesvc.v1 import admin_pb2 as admin
from tests.unit.cli.top.samples import figures, sample, topic

WIDE = (160, 24)


def lines(
    display: Display | None = None,
    size: tuple[int, int] = WIDE,
    found: Figures | None = None,
    trouble: str = "",
) -> list[str]:
    drawn = frame(found or figures(), display or Display(), "host:7070", trouble, size)
    return [" ".join(line.plain.split()) for line in drawn]


def test_the_whole_and_its_topics() -> None:
    shown = lines()
    assert shown[0] == (
        "cachesvc 0.1.0 at host:7070, since 1 h 2 min, 2026-01-02 03:04:05Z, every 2 s"
    )
    assert shown[1:7] == [
        "mined 1,234 records/s, 2.0 MiB/s, 50,000 in all",
        "sent 9,876 records/s, 20.0 MiB/s, 999 in all, 20.0 × mined",
        "mined to sent -",
        "there are topics 3, subscriptions 14, streams 12, readers 1",
        "service core 25%, memory 300.0 MiB, 42 files",
        "disk 12.0 GiB of 100.0 GiB free",
    ]
    assert shown[7].startswith("1 topics 3 2 subscriptions 2 3 readers 1 4 stores 1 5 jobs 1")
    assert shown[9] == (
        "items main MINING 3,000 293.0 KiB 0 7.5 s 9,000 878.9 KiB 300% 600 5,000 0 1 -"
    )
    assert shown[11].endswith("TOPIC_NOT_AUTHORIZED: no")
    assert shown[-1].startswith("1-6 Tab view")


def test_what_is_wrong_stands_out() -> None:
    drawn = frame(figures(), Display(), "host:7070", "", WIDE)
    assert [line.plain.split()[0] for line in drawn if line.style == "red"] == ["broken"]


def test_each_view_has_its_rows() -> None:
    rows = {view.name: lines(Display(view=number))[9] for number, view in enumerate(VIEWS)}
    assert rows["subscriptions"].startswith("billing main yes 60 2.0 KiB 7.5 s 10 - orders")
    assert rows["readers"].startswith("main-1 main 4711 1 2.0 KiB 1000 B 50% 80.0 MiB 12")
    assert rows["stores"].startswith("local 5.0 MiB 10.0 MiB 50%")
    assert rows["jobs"].startswith("compact waiting")
    assert rows["alarms"] == "TOPIC_FAILED main/broken 1 min 5 s cannot be mined"


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 200])
@pytest.mark.parametrize("height", [3, 10, 24])
def test_nothing_is_larger_than_the_terminal(width: int, height: int) -> None:
    for number in range(len(VIEWS)):
        for display in (Display(view=number), Display(view=number, help=True)):
            drawn = frame(figures(), display, "host:7070", "away", (width, height))
            assert len(drawn) <= height
            assert all(line.cell_len <= width for line in drawn)


def test_the_columns_that_matter_most_stay() -> None:
    narrow = lines(size=(60, 24))
    assert narrow[8] == "topic state mined/s▼ lag sent/s why"
    assert narrow[9].startswith("items MINING 3,000 0 9,000")


def test_scrolling_shows_later_rows_and_ends_with_the_last() -> None:
    many = sample()
    many.tasks[0].topics.extend(topic(f"t{number:02}", number / 100) for number in range(40))
    found = Figures(many)
    page, total = page_of(found, Display(), "", 24)
    assert (page, total) == (14, 43)
    shown = lines(Display(first=2), found=found)
    assert [line.split()[0] for line in shown[9:11]] == ["t39", "t38"]
    last = lines(Display(first=1_000), found=found)
    assert last[-2].startswith("t00")


def test_whoever_may_not_see_all_is_told() -> None:
    found = Figures(sample(seen=False))
    shown = lines(Display(view=4), found=found)
    assert shown[0] == "cachesvc at host:7070, 2026-01-02 03:04:05Z, every 2 s"
    assert shown[1] == "mined 3,020 records/s, 294.9 KiB/s, of the topics that you see"
    assert "5 jobs not seen" in shown[3]
    assert "you may not see jobs; ? tells why" in shown
    assert shown[-3:-1] == [
        "as ann (roles: task): rows that these do not cover are left out",
        "not seen: overview, jobs; ? tells why",
    ]
    assert "jobs: this needs the right 'admin'" in lines(Display(help=True), found=found)


def test_trouble_pause_and_finding_are_shown() -> None:
    assert "no service answers" in lines(trouble="no service answers")
    assert lines(Display(paused=True))[0].endswith("PAUSED")
    assert lines(Display(typing=True, pattern="or"))[-1].startswith("find: or▏")
    assert lines(Display(pattern="none such"))[9] == "no topics with 'none such'"
    assert lines(Display(pattern="items"))[-1].endswith("rows with 'items'; Escape shows all")


def test_what_jobs_do() -> None:
    def state(**fields: Any) -> str:
        found = replace(sample(), jobs=[admin.Job(name="seal", **fields)])
        return lines(Display(view=4), found=Figures(found))[9]

    assert state().startswith("seal on demand")
    assert state(interval_s=60).startswith("seal waiting")
    assert state(daily_at="03:00").startswith("seal waiting")
    assert state(interval_s=60, paused=True).startswith("seal paused")
    assert state(running=True, paused=True).startswith("seal running")
    failed = admin.JobRun(name="seal", error="the disk is full", started_ms=1, ended_ms=2)
    assert state(interval_s=60, last_run=failed).startswith("seal failed")
    assert state(last_run=failed).endswith("the disk is full")


def test_names_cannot_act_upon_the_terminal() -> None:
    evil = replace(sample(), tasks=[])
    evil.subscriptions[0].name = "\x1b[2Jgone"
    shown = "\n".join(lines(Display(view=1), found=Figures(evil)))
    assert "\x1b" not in shown
    assert "\\x1b[2Jgone" in shown
