"""The command `rescind`: what each of its commands needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = """
import sys
from rescind.cli import app_of
app_of(sys.argv[1:])
print("rescind_conformance" in sys.modules)
"""


@pytest.mark.parametrize(
    ("arguments", "suite"),
    [(["scheduler", "--endpoint", "x"], False), (["worker"], False), (["demo"], False), (["check"], True), ([], True)],
)
def test_the_suite_is_imported_only_where_it_is_needed(arguments: list[str], suite: bool) -> None:
    """It takes half a second, and workers are started by the hundred."""
    said = subprocess.run([sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(suite)
