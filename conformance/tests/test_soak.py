"""The soak: what is flat, and a short run."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rescind.cli import whole_app
from rescind_conformance.soak.flatness import judge_flatness

MEGABYTE = 1024 * 1024


def samples(grows: float, count: int = 100) -> list[int]:
    """Memory that grows by so many megabytes from the first sample to the last, after a steep beginning."""
    source = random.Random(5)
    return [
        int((100 - 60 * 0.7**number + grows * number / count + source.uniform(-1, 1)) * MEGABYTE)
        for number in range(count)
    ]


@pytest.mark.parametrize(("grows", "flat"), [(0, True), (3, True), (-20, True), (20, False), (100, False)])
def test_what_grows_is_not_flat(grows: float, flat: bool) -> None:
    assert judge_flatness(samples(grows)).is_flat is flat


def test_a_small_process_may_move_by_some_megabytes() -> None:
    assert judge_flatness([10 * MEGABYTE] * 50 + [13 * MEGABYTE] * 50).is_flat
    assert not judge_flatness([10 * MEGABYTE] * 50 + [15 * MEGABYTE] * 50).is_flat


def test_too_few_samples_say_nothing() -> None:
    with pytest.raises(ValueError, match="7 samples"):
        judge_flatness([1] * 7)


def test_command(tmp_path: Path) -> None:
    output = tmp_path / "memory.json"
    run = CliRunner().invoke(whole_app(), ["soak", "--minutes", "0.06", "--sample", "0.1", "--output", str(output)])
    # In so short a time memory need not have settled; everything must have been answered.
    assert run.exit_code in (0, 1), run.output
    assert "MB when warm" in run.output
    written = json.loads(output.read_text(encoding="utf-8"))
    assert len(written["resident"]) >= 8
    assert written["counts"]["settled"] > 500


def test_command_needs_some_time() -> None:
    run = CliRunner().invoke(whole_app(), ["soak", "--minutes", "0.05", "--sample", "3"])
    assert (run.exit_code, "at least 8 are needed" in run.output) == (2, True)
