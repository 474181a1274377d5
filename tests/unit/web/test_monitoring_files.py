"""The rules and the dashboard that come with the distribution."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from tests.support.promtool import promtool

ROOT = Path(__file__).parents[3]
FILES = Path(str(files("cachesvc.web"))) / "monitoring"
RULES = FILES / "rules.yml"
ALERT = re.compile(r"- alert: (\w+)")


def alerts() -> list[str]:
    return ALERT.findall(RULES.read_text(encoding="utf-8"))


def test_promtool_accepts_the_rules() -> None:
    assert f"{len(alerts())} rules found" in promtool("check", "rules", str(RULES))


def test_each_alert_fires_when_it_should_and_not_before() -> None:
    cases = Path(__file__).with_name("rules_tests.yml")
    promtool("test", "rules", str(cases))
    tried = re.findall(r'alertname="(\w+)"', cases.read_text(encoding="utf-8"))
    assert sorted(tried) == sorted(alerts())


def test_each_alert_has_a_runbook() -> None:
    text = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (\w+)$", text, re.MULTILINE)
    assert sections == alerts()
    rules = RULES.read_text(encoding="utf-8")
    links = re.findall(r"runbook: docs/runbooks\.md#(\w+)", rules)
    assert links == [alert.lower() for alert in alerts()]


def panels() -> list[Any]:
    dashboard = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """Every expression of the dashboard and of the rules."""
    shown = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [*shown, *re.findall(r"expr: (.*)", RULES.read_text(encoding="utf-8"))]


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
