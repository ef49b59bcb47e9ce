"""`python -m rescind_conformance` is `rescind conformance`."""

from rescind_conformance.cli import app

app(prog_name="rescind conformance")
