"""Runs a program that starts a Scaler cluster of its own with a cluster that runs already: `FILE ENDPOINT`.

Nothing in the program is changed: `scaler.SchedulerClusterCombo` gives that cluster's address, whatever it is asked.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any

import scaler
import scaler.cluster.combo


class Running:
    """In place of `scaler.SchedulerClusterCombo`."""

    endpoint = ""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Whatever is asked for, the cluster is there."""

    def get_address(self) -> str:
        """Where it is."""
        return self.endpoint

    def shutdown(self) -> None:
        """It goes on: others use it."""


def main() -> None:
    """Run the program."""
    file, Running.endpoint = sys.argv[1:]
    scaler.SchedulerClusterCombo = scaler.cluster.combo.SchedulerClusterCombo = Running
    sys.argv = [file]
    runpy.run_path(file, run_name="__main__")


if __name__ == "__main__":
    main()
