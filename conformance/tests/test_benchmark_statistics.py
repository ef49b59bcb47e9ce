"""The benchmark's figures: medians, percentiles, ratios, slopes, and how they are shown."""

from __future__ import annotations

import io
import json
import mmap
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from rescind_conformance.benchmark.chart import draw
from rescind_conformance.benchmark.figures import markdown
from rescind_conformance.benchmark.held import Held, Where, expected_seconds, growth
from rescind_conformance.benchmark.measures import BY_KEY, Results
from rescind_conformance.benchmark.process_use import NotMeasurable, cpu_time, resident_bytes
from rescind_conformance.benchmark.report import part, results_as_json, table, write_part
from rescind_conformance.benchmark.statistics import Spread, percentile, ratio, slope
from rescind_conformance.benchmark.systems import require
from rescind_conformance.process import SubjectUnavailable


def test_spread() -> None:
    assert Spread.of([5, 1, 3]) == Spread(3, 1, 5)
    assert Spread.of([1, 2]) == Spread(1.5, 1, 2)
    with pytest.raises(ValueError, match="no values"):
        Spread.of([])


def test_ratios_are_taken_within_a_round() -> None:
    # The second round was ten times slower for both, which says nothing of their ratio.
    assert ratio([2, 20, 3], [1, 10, 1]) == Spread(2, 2, 3)
    with pytest.raises(ValueError, match="zip"):
        ratio([1], [1, 2])


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 50), (99, 99), (99.9, 100), (100, 100)])
def test_percentile(percent: float, expected: float) -> None:
    assert percentile([float(value) for value in range(100, 0, -1)], percent) == expected


def test_percentile_of_few() -> None:
    assert percentile([7.0], 99.9) == 7.0
    assert percentile([1.0, 2.0], 50) == 1.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_slope_is_the_power_of_growth(power: float) -> None:
    assert slope([(x, 3 * x**power) for x in (1000, 8000, 1e6)]) == pytest.approx(power)


def test_slope_is_a_fit() -> None:
    assert slope([(1, 1), (10, 20), (100, 100)]) == pytest.approx(1)
    with pytest.raises(ValueError, match="two points"):
        slope([(5, 1), (5, 2)])


def _held(tasks: int, cancel_cpu: float) -> Held:
    return Held("ours", Where.WAITING, tasks, 700.0, 192, cancel_cpu, tasks / 1000, cancel_cpu)


def test_what_many_tasks_would_take_is_told_from_few() -> None:
    quadratic = [_held(1000, 1.0), _held(2000, 4.0)]
    assert growth(quadratic) == pytest.approx(2)
    assert expected_seconds(quadratic, 20_000) == pytest.approx(20 + 400)
    assert expected_seconds(quadratic[:1], 2000) == pytest.approx(2 + 2)  # linear, until more is known
    assert expected_seconds([], 1000) == 0
    assert quadratic[1].own_bytes == 508
    assert quadratic[1].cancel_microseconds == pytest.approx(2000)


def _results() -> Results:
    results = Results()
    for ours, theirs in ((10.0, 100.0), (30.0, 150.0), (20.0, 400.0)):
        results.add("theirs", {"task_cpu": theirs, "start": 1.0})
        results.add("ours", {"task_cpu": ours})
    results.order(["ours", "theirs"])
    return results


def test_table() -> None:
    stream = io.StringIO()
    Console(file=stream, width=160).print(table(_results()))
    rows = {
        cells[1]: cells[2:-1]
        for line in stream.getvalue().splitlines()
        if len(cells := [cell.strip() for cell in line.split("│")]) > 3
    }
    assert rows["scheduler CPU a task"] == ["µs", "20.0 (10.0-30.0)", "150.0 (100.0-400.0)", "0.10 (0.05-0.20)"]
    assert rows["start-up"] == ["s", "-", "1.00", "-"]


def test_json_and_chart_keep_what_other_parts_have_written(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.json"
    first = part("rescind benchmark scheduler", {"rounds": 3}, {"ours": "1"}, results_as_json(_results()))
    write_part(path, "scheduler", first)
    held = {
        "measurements": [asdict(_held(1000, 1.0)) | {"cancel_microseconds": 1000.0, "own_bytes": 508}],
        "slopes": [{"subject": "ours", "where": "waiting", "slope": 0.98}],
    }
    whole = write_part(path, "held", part("rescind benchmark held", {}, {"ours": "1"}, held))
    assert json.loads(path.read_text(encoding="utf-8")) == whole
    assert whole["scheduler"]["ratios"]["ours / theirs"] == {"task_cpu": {"median": 0.1, "low": 0.05, "high": 0.2}}
    assert whole["scheduler"]["subjects"]["ours"]["task_cpu"]["rounds"] == [10, 30, 20]
    assert whole["scheduler"]["units"]["task_cpu"] == BY_KEY["task_cpu"].unit
    assert whole["held"]["machine"]["processors"] >= 1
    lines = markdown(whole).splitlines()
    assert lines[0].startswith("`rescind benchmark scheduler` on ")
    assert "| scheduler CPU a task, µs | 20.0 | 150.0 | 0.10 (0.05-0.20) |" in lines
    assert "| 1,000 tasks waiting | 508 | 1,000.0 |" in lines
    assert "| slope |  | 0.98 |" in lines
    pytest.importorskip("matplotlib")
    assert draw(whole, tmp_path) == tmp_path / "benchmark.svg"


def test_a_file_of_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.json"
    path.write_text('{"mine": 1}', encoding="utf-8")
    with pytest.raises(ValueError, match="format"):
        write_part(path, "held", {})
    assert path.read_text(encoding="utf-8") == '{"mine": 1}'


def test_without_matplotlib_there_is_no_chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert draw({}, tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_without_dask_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SubjectUnavailable, match="pip install 'rescind\\[benchmark\\]'"):
        require("dask")


def test_cpu_time_is_that_of_the_process() -> None:
    before, clock = cpu_time(os.getpid()), time.process_time()
    while time.process_time() - clock < 0.05:
        pass
    used = cpu_time(os.getpid()) - before
    # What the running thread has used since the system's last tick is not in it yet.
    assert 0.05 - 0.03 < used.total <= time.process_time() - clock + 0.02
    assert 0 < used.main <= used.total + 1e-6  # differences of large numbers


def test_memory_is_what_the_process_has_touched() -> None:
    before = resident_bytes(os.getpid())
    # Pages of its own: what malloc gives may be what tests before have touched and freed.
    with mmap.mmap(-1, 50_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as block:
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
        assert resident_bytes(os.getpid()) - before == pytest.approx(len(block), rel=0.1)


def test_a_process_that_is_not_there_cannot_be_measured() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with pytest.raises(NotMeasurable, match="has ended"):
        cpu_time(process.pid)
    with pytest.raises(NotMeasurable, match="ended"):
        resident_bytes(process.pid)
