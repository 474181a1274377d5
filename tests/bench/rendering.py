"""How a report looks: as text, as a section of a Markdown document, as JSON. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from tests.bench.report import Figure, Report, Side, Spread, Target

BEGIN_MARK = "<!-- results: begin; written by scripts/bench --markdown, not by hand -->"
END_MARK = "<!-- results: end -->"
_COLUMNS = ("figure", "measured", "median (min – max)", "to reach", "reached")
_SCALES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def as_text(report: Report) -> str:
    """Return the report for a terminal."""
    lines = [f"{name}: {value}" for name, value in report.header.items()]
    lines += ["", *_aligned([_COLUMNS, *(row for f in report.figures for row in _rows(f))])]
    lines += [f"{name}: left out: {reason}" for name, reason in report.left_out.items()]
    lines += ["", *_notes(report), *_checks(report)]
    return "\n".join(lines) + "\n"


def as_markdown(report: Report) -> str:
    """Return the report as a section of a Markdown document, marks included."""
    lines = [BEGIN_MARK, "", *(f"- {name}: {value}" for name, value in report.header.items()), ""]
    lines += ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    for figure in report.figures:
        name, measured, *rest = _rows(figure)[0]
        more = [row[1] for row in _rows(figure)[1:]]
        cells = [name, "<br>".join([measured, *more]), *rest]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    lines += [f"- {name}: left out: {reason}" for name, reason in report.left_out.items()]
    lines += [f"- {line}" for line in [*_notes(report), *_checks(report)]]
    return "\n".join([*lines, "", END_MARK]) + "\n"


def fill(document: str, section: str) -> str:
    """Return a document with its results replaced; the section alone if it has no marks.

    Raises:
        ValueError: the document has results already, but not one pair of marks in order.
    """
    if BEGIN_MARK not in document and END_MARK not in document:
        if document:
            raise ValueError(f"the file exists and lacks the marks {BEGIN_MARK} and {END_MARK}")
        return section
    before, begin, rest = document.partition(BEGIN_MARK)
    _, end, after = rest.partition(END_MARK)
    if not begin or not end or BEGIN_MARK in after or END_MARK in after:
        raise ValueError(f"the file needs {BEGIN_MARK} and {END_MARK}, once each, in this order")
    return before + section.rstrip("\n") + after


def as_json(report: Report) -> str:
    """Return everything, every run's values included."""
    figures = [
        dataclasses.asdict(figure)
        | {"spread": dataclasses.asdict(figure.spread), "verdict": figure.verdict}
        for figure in report.figures
    ]
    content = {
        "header": dict(report.header),
        "figures": figures,
        "checks": [dataclasses.asdict(check) for check in report.checks],
        "left_out": report.left_out,
        "passed": not report.failed,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def quantity(value: float, unit: str) -> str:
    """Return a number with its unit, with at least three digits that say something."""
    if unit == "B":
        for factor, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if value >= factor:
                return f"{_digits(value / factor)} {name}"
    if unit.endswith("/s"):
        for scale, letter in _SCALES:
            if value >= scale:
                return f"{_digits(value / scale)} {letter} {unit}"
    return f"{_digits(value)} {unit}".rstrip()


def _digits(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _rows(figure: Figure) -> list[tuple[str, ...]]:
    """Return one row per side; the figure itself is in the first."""
    spread = figure.spread
    first = (
        f"{figure.name} {figure.title}",
        _side(figure.sides[0]),
        _spread(spread, figure.unit),
        _target(figure.target, figure.unit),
        figure.verdict,
    )
    return [first, *(("", _side(side), "", "", "") for side in figure.sides[1:])]


def _side(side: Side) -> str:
    return f"{side.name}: {quantity(Spread.of(side.values).median, side.unit)}"


def _spread(spread: Spread, unit: str) -> str:
    if unit:
        low, high = quantity(spread.minimum, unit), quantity(spread.maximum, unit)
        return f"{quantity(spread.median, unit)} ({low} – {high})"
    median, low, high = map(_ratio, (spread.median, spread.minimum, spread.maximum))
    return f"{median} ({low} – {high})"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 2 else f"{value:.3f}"


def _target(target: Target | None, unit: str) -> str:
    if target is None:
        return ""
    sign = "≥" if target.bound == "at least" else "≤"
    text = f"{sign} {target.reach:g} {unit}".rstrip()
    return text if target.beyond is None else f"{text}, beyond {sign} {target.beyond:g}"


def _notes(report: Report) -> list[str]:
    return [f"{figure.name}: {note}" for figure in report.figures for note in figure.notes]


def _checks(report: Report) -> list[str]:
    failed = report.failed
    passed = len(report.checks) - len(failed)
    told = [f"FAILED {check.name}: {check.detail}" for check in failed]
    return [f"Checks: {passed} of {len(report.checks)} passed.", *told]


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]
