from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from cachesvc.client import RECORD_SCHEMA
from tests.bench.digest import Digest, Tally
from tests.bench.latency import Latencies, percentile_ms
from tests.bench.options import NAMES, parse
from tests.bench.rendering import (
    BEGIN_MARK,
    END_MARK,
    as_json,
    as_markdown,
    as_text,
    fill,
    quantity,
)
from tests.bench.report import Check, Figure, Report, Side, Spread, Target, absolute, ratio


def figure(target: Target | None = None) -> Figure:
    over = Side("cache", "records/s", (3_000_000.0, 2_000_000.0, 2_400_000.0))
    under = Side("direct", "records/s", (500_000.0, 500_000.0, 400_000.0))
    return ratio("B2", "catch-up", over, under, target, ["noted"])


def report() -> Report:
    found = Report({"date": "today"}, [figure(Target("at least", 4, 6))], [Check("sums", True)])
    found.left_out["B1"] = "no broker of our own"
    return found


def test_a_ratio_is_taken_run_by_run_and_not_of_the_medians() -> None:
    assert figure().values == (6.0, 4.0, 6.0)
    assert figure().spread == Spread(6.0, 4.0, 6.0)


def test_sides_with_different_numbers_of_runs_make_no_ratio() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio("B2", "", Side("a", "", (1.0, 2.0)), Side("b", "", (1.0,)))


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (Target("at least", 4, 6), 3.99, "no"),
        (Target("at least", 4, 6), 4.0, "yes"),
        (Target("at least", 4, 6), 5.996, "yes"),
        (Target("at most", 0.6), 0.604, "no"),
        (Target("at most", 0.6), 0.6, "yes"),
        (Target("at most", 1.0), 0.5, "yes"),
        (Target("at most", 0.25, 0.125), 0.12, "yes, beyond"),
        (None, 1.0, "–"),
    ],
)
def test_a_figure_is_judged_as_it_was_measured(
    target: Target | None, value: float, verdict: str
) -> None:
    assert absolute("B7", "", Side("median", "ms", (value,)), target).verdict == verdict


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.123, "s CPU", "0.12 s CPU"),
        (12.345, "ms", "12.3 ms"),
        (1234.5, "ms", "1,234 ms"),
        (999.0, "records/s", "999 records/s"),
        (1_234_567.0, "records/s", "1.23 M records/s"),
        (512.0, "B", "512 B"),
        (157_286_400.0, "B", "150 MiB"),
    ],
)
def test_quantities_are_short_and_have_a_unit(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_the_text_has_every_side_and_says_what_was_left_out() -> None:
    text = as_text(report())
    assert "B2 catch-up" in text
    assert "cache: 2.40 M records/s" in text
    assert "direct: 500 k records/s" in text
    assert "6.00 (4.00 – 6.00)" in text
    assert "≥ 4, beyond ≥ 6" in text
    assert "yes, beyond" in text
    assert "B1: left out: no broker of our own" in text
    assert "B2: noted" in text
    assert "Checks: 1 of 1 passed." in text


def test_a_failed_check_fails_the_run_and_is_told() -> None:
    found = report()
    assert found.exit_code == 0
    found.checks.append(Check("B2: sums", False, "9 instead of 10"))
    assert found.exit_code == 1
    assert "FAILED B2: sums: 9 instead of 10" in as_text(found)
    assert "Checks: 1 of 2 passed." in as_markdown(found)


def test_a_missed_target_is_no_failure() -> None:
    found = Report(figures=[figure(Target("at least", 100))])
    assert found.exit_code == 0


def test_json_has_every_value_of_every_run() -> None:
    content = json.loads(as_json(report()))
    assert content["passed"] is True
    assert content["figures"][0]["values"] == [6.0, 4.0, 6.0]
    assert content["figures"][0]["sides"][1]["values"] == [500_000.0, 500_000.0, 400_000.0]
    assert content["figures"][0]["spread"]["median"] == 6.0


def test_results_take_the_place_of_older_ones_in_a_document() -> None:
    document = f"# Before\n\n{BEGIN_MARK}\nold\n{END_MARK}\n\nAfter\n"
    filled = fill(document, as_markdown(report()))
    assert filled.startswith("# Before\n\n" + BEGIN_MARK)
    assert filled.endswith(END_MARK + "\n\nAfter\n")
    assert "old" not in filled
    assert "| B2 catch-up | cache: 2.40 M records/s<br>direct: 500 k records/s |" in filled
    assert fill(filled, as_markdown(report())) == filled


def test_a_document_without_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="lacks the marks"):
        fill("# Mine\n", as_markdown(report()))
    with pytest.raises(ValueError, match="once each"):
        fill(f"{END_MARK}{BEGIN_MARK}", as_markdown(report()))
    assert fill("", as_markdown(report())) == as_markdown(report())


def test_options_know_the_figures_and_scale_the_long_log() -> None:
    assert parse([]).only == NAMES
    assert parse([]).long_records == 10_000_000
    assert parse(["--only", "b3, B2"]).only == ("B2", "B3")
    assert parse(["--only", "b14,B10"]).only == ("B10", "B14O", "B14C", "B14D", "B14R")
    assert parse(["--records", "20_000"]).long_records == 200_000
    assert parse(["--records", "20000", "--b7-records", "5000"]).long_records == 5_000


@pytest.mark.parametrize(
    "arguments",
    [
        ["--only", "B2,B99"],
        ["--only", "B"],
        ["--records", "999"],
        ["--runs", "0"],
        ["--b9-growth", "0"],
    ],
)
def test_options_that_make_no_sense_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert arguments[0] in capsys.readouterr().err


def record_batch(offsets: list[int], values: list[str | None]) -> pa.RecordBatch:
    count = len(offsets)
    columns = [offsets, [0] * count, [0] * count, [None] * count, values, [None] * count]
    arrays = [pa.array(c, field.type) for c, field in zip(columns, RECORD_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=RECORD_SCHEMA)


def test_checksums_are_the_same_however_records_were_cut_and_carried() -> None:
    offsets, values = [0, 1, 5, 6], ["aa", None, "", "b"]
    whole, pieces, columns = Digest(), Digest(), Digest()
    encoded = [None if value is None else value.encode() for value in values]
    whole.add_records(3, offsets, encoded)
    pieces.add_records(3, offsets[:1], encoded[:1])
    pieces.add_records(3, offsets[1:], encoded[1:])
    batch = record_batch([9, *offsets], ["cut off", *values]).slice(1)
    columns.add_batch(3, batch.slice(0, 3))
    columns.add_batch(3, batch.slice(3))
    assert whole.to_json() == pieces.to_json() == columns.to_json()
    tally = Tally()
    tally.add_batch(batch)
    assert tally.to_json() == whole.to_json()["tally"] == Tally(4, 12, 3).to_json()


@pytest.mark.parametrize(
    ("offsets", "values"),
    [
        ([0, 1, 5], [b"aa", b"", b"b"]),
        ([0, 1, 2], [b"aa", None, b"b"]),
        ([0, 1, 2], [b"a", b"", b"ab"]),
        ([0, 2, 1], [b"aa", b"", b"b"]),
        ([0, 1, 2], [b"aa", b"", b"c"]),
    ],
)
def test_checksums_differ_where_records_do(offsets: list[int], values: list[bytes | None]) -> None:
    right, wrong = Digest(), Digest()
    right.add_records(0, [0, 1, 2], [b"aa", b"", b"b"])
    wrong.add_records(0, offsets, values)
    assert right.to_json() != wrong.to_json()


def test_percentiles_are_of_all_tasks_together_and_leave_out_the_warm_up() -> None:
    measured = []
    for first_ms in (0, 50):
        latencies = Latencies(warm_offset=10)
        now_ns = 10**18
        ages_ms = range(first_ms, first_ms + 50)
        keys: list[bytes | None] = [b"%d" % (now_ns - age * 1_000_000) for age in ages_ms]
        latencies.add(now_ns, range(10, 60), keys)
        latencies.add(now_ns, [9], [b"0"])
        measured.append(latencies.to_json())
    assert np.isclose(percentile_ms(measured, 0.5), 49.05)
    assert np.isclose(percentile_ms(measured, 0.99), 98.05)
    assert np.isclose(percentile_ms(measured, 1.0), 99.05)
    with pytest.raises(ValueError, match="no record"):
        percentile_ms([{}], 0.99)
