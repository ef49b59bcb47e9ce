"""Programs that documentation shows, each run as a program of its own. Nothing in them is changed but the address."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from rescind_conformance.interop.desk import Desk, NotOffered
from rescind_conformance.interop.mixes import Kind
from rescind_conformance.interop.scenario import scenario
from rescind_conformance.interop.scenarios.graphs import require_graphs

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ADDRESS = re.compile(r"tcp://127\.0\.0\.1:\d+")
_PROGRAMS = Path(__file__).parent.parent / "programs"
_WITH_CLUSTER = "rescind_conformance.interop.with_cluster"
_SECONDS = 120.0


def _run(desk: Desk, name: str, program: str) -> list[str]:
    """The lines that a program prints."""
    file = Path(desk.path(name))
    file.write_text(_ADDRESS.sub(desk.endpoint, program), encoding="utf-8")
    return _end_well(desk, name, [sys.executable, str(file)])


def _end_well(desk: Desk, name: str, command: list[str]) -> list[str]:
    """Run a program that is to end with status 0; the lines that it prints."""
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=_SECONDS, check=False, cwd=desk.path("."), errors="replace"
    )
    desk.check(ended.returncode == 0, "C2.4", f"{name} ended with {ended.returncode}:\n{ended.stderr[-3000:]}")
    return ended.stdout.splitlines()


def _only_for(desk: Desk, kind: Kind) -> None:
    if desk.kind is not kind:
        raise NotOffered(f"a program for the other kind of client ({kind})")


def _written(desk: Desk, name: str, kind: Kind, printed: list[str]) -> None:
    _only_for(desk, kind)
    got = _run(desk, name, (_PROGRAMS / name).read_text(encoding="utf-8"))
    desk.check(got == printed, "C2.4", f"{name} printed {got}")


def readme_of(distribution: str) -> str:
    """The README that comes with an installed distribution; "" without one."""
    try:
        found = metadata(distribution)
    except PackageNotFoundError:
        return ""
    text: object = found.get_payload() or found.get("Description", "")  # type: ignore[attr-defined]
    return text if isinstance(text, str) else ""


def our_readme() -> str:
    """This project's README: of the checkout, or as it was installed."""
    beside = Path(__file__).parents[4] / "README.md"
    return beside.read_text(encoding="utf-8") if beside.is_file() else readme_of("rescind")


@scenario("doc-scaler-readme", "C2.4")
def scaler_readme(desk: Desk) -> None:
    """The program in the README of the installed Scaler."""
    _only_for(desk, Kind.SCALER)
    programs = _BLOCK.findall(readme_of("opengris-scaler"))
    if not programs:
        raise NotOffered("the installed Scaler comes without a README that has a program")
    for number, program in enumerate(programs):
        printed = _run(desk, f"scaler_readme_{number}.py", program)
        desk.check(printed == [str([n * n for n in range(10)])], "C2.4", f"it printed {printed}")


@scenario("doc-scaler-examples", "C2.4", limit=900)
def scaler_examples(desk: Desk) -> None:
    """The programs in the directory that --examples names, such as that of a checkout of Scaler."""
    _only_for(desk, Kind.SCALER)
    if not desk.examples:
        raise NotOffered("no --examples were given")
    programs = sorted(Path(desk.examples).glob("*.py"))
    desk.check(bool(programs), "C2.4", f"there is no program in {desk.examples}")
    for program in programs:
        desk.step(f"{program.name} runs")
        command = [sys.executable, "-m", _WITH_CLUSTER, str(program), desk.endpoint]
        _end_well(desk, program.name, command)


@scenario("doc-scaler-submit", "C2.4")
def scaler_submit(desk: Desk) -> None:
    """submit, map, starmap and send_object, as Scaler's documentation shows them."""
    _written(desk, "scaler_submit.py", Kind.SCALER, ["16", "[11, 22, 33]", "[10, 20]", "[49, 49, 49]"])


@scenario("doc-scaler-graph", "C2.4")
def scaler_graph(desk: Desk) -> None:
    """A graph of tasks, as Scaler's documentation shows it."""
    _only_for(desk, Kind.SCALER)
    require_graphs(desk)
    _written(desk, "scaler_graph.py", Kind.SCALER, ["{'one': 1, 'three': 3, 'difference': 1}", "[2, 3]"])


@scenario("doc-scaler-nested", "C2.4", limit=150, slow=True)
def scaler_nested(desk: Desk) -> None:
    """A client that is given to a task, which submits to it, as Scaler's documentation shows it."""
    _written(desk, "scaler_nested.py", Kind.SCALER, ["21"])


@scenario("doc-scaler-disconnect", "C10.1")
def scaler_disconnect(desk: Desk) -> None:
    """clear and disconnect, as Scaler's documentation shows them."""
    _written(desk, "scaler_disconnect.py", Kind.SCALER, ["cleared", "9", "disconnected"])


@scenario("doc-readme", "C2.4", limit=150, slow=True)
def readme(desk: Desk) -> None:
    """The program in this project's README."""
    _only_for(desk, Kind.REFERENCE)
    require_graphs(desk)
    programs = _BLOCK.findall(our_readme())
    if not programs:
        raise NotOffered("this project's README is not there")
    for number, program in enumerate(programs):
        printed = _run(desk, f"readme_{number}.py", program)
        desk.check(printed == [str(2**1000)], "C2.4", f"it printed {printed}")
