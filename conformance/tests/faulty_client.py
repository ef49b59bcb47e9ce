"""The reference client behind its adapter, with the fault that its first argument names."""

from __future__ import annotations

import sys

import client_faults_in_graphs  # noqa: F401  each adds its faults
import client_faults_in_rounds  # noqa: F401
import client_faults_on_the_wire  # noqa: F401
from client_bending import FAULTS

from rescind_conformance.adapters import lines
from rescind_conformance.adapters.reference_client import ReferenceClient

if __name__ == "__main__":
    lines.begin()
    FAULTS[sys.argv[1]]()
    ReferenceClient().serve()
