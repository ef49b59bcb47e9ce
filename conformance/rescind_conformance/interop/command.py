"""The command `rescind interop`."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rescind_conformance.command_end import end_on_first_signal, fail
from rescind_conformance.interop.expected import SHIPPED, ExpectedUnusable, load_expected
from rescind_conformance.interop.mixes import Mix, all_mixes, not_offered, select_mixes
from rescind_conformance.interop.peers import PeerPrograms, built_peers
from rescind_conformance.interop.report import parts, shown, summary, table, write_report
from rescind_conformance.interop.runner import BAD, Cell, Plan, Run, Status
from rescind_conformance.interop.scenario import all_scenarios, select_scenarios
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.report_files import require_writable
from rescind_conformance.requirements import SpecificationError
from rescind_conformance.subjects import console_script

_WIDTH = 110
"""Columns that the matrix takes: a narrower terminal wraps it, which loses nothing."""
_LARGE_BYTES = 100_000_000
_QUICK_BYTES, _QUICK_MANY, _QUICK_DEPTH = 2_000_000, 200, 4
_PROGRAMS = ("scaler_object_storage_server", "scaler_scheduler", "scaler_worker_manager")


def interop(
    mix: Annotated[
        list[str] | None,
        typer.Option(
            "--mix",
            help="Only the mixes whose name, client/scheduler/worker, matches this glob. May be given again.",
            show_default=False,
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario", help="Only the scenarios that match this glob. May be given again.", show_default=False
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out the slow scenarios, and make the others smaller: three minutes.")
    ] = False,
    large_bytes: Annotated[
        int | None,
        typer.Option("--large-bytes", min=1, help="Size of the large argument. Default: 100 MB.", show_default=False),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Mixes that are played at once.")] = 2,
    expected: Annotated[
        Path, typer.Option("--expected", help="A TOML file of departures that are expected.", show_default=False)
    ] = SHIPPED,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="Write interop.md, interop.json and the conversations of what did not pass into this directory.",
            show_default=False,
            file_okay=False,
        ),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            "--examples",
            help="Run the programs in this directory, too: `examples` of a checkout of Scaler. Where they start a "
            "cluster of their own, they get the mix's.",
            show_default=False,
            file_okay=False,
            exists=True,
        ),
    ] = None,
    cpp_peer: Annotated[
        Path | None,
        typer.Option(
            "--cpp-peer",
            help="Where the programs of the peer in C++ are. Default: conformance/peers/cpp/build/release, or "
            "`sanitize` beside it.",
            show_default=False,
            file_okay=False,
        ),
    ] = None,
    typescript_peer: Annotated[
        Path | None,
        typer.Option(
            "--typescript-peer",
            help="Where the peer in TypeScript is compiled to. Default: conformance/peers/typescript/build.",
            show_default=False,
            file_okay=False,
        ),
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List mixes and scenarios, and run nothing.")] = False,
) -> None:
    """Run this project's parties, the released Scaler's, and the peers in C++ and TypeScript together.

    A *mix* names which kind each party is of: `ref/scaler/scaler` is our client on a Scaler cluster, `scaler/ref/ref`
    a Scaler client on our scheduler and workers, `cpp/ref/cpp` and `ts/ref/ts` the peers' on our scheduler. Each is
    played through every scenario: real functions in real processes. Payloads are in Scaler's object storage server
    wherever one party is Scaler's; `ref/ref/ref` uses our own store, `ref/ref/ref+storage` Scaler's. Clients and
    workers of the peers keep theirs in files, each in a form of its own: so their client and worker go together, and
    other triples do not exist. A proxy in front of the scheduler records what is said.

    The peers have to be built: `cd conformance/peers/cpp && cmake --preset release && cmake --build --preset release`;
    `cd conformance/peers/typescript && npm ci && npm run build`. The cells of one that is not say **not built** and are
    no passes; where CI=true, or where `--mix` names that peer, the command ends with status 2.

    What stands in the matrix: **pass**; **an id**: a party departs from that requirement, as is known of it; **FAIL**:
    it departs, and that was not known; **PASS and an id**: it was listed as departing and did not; **-**: a party
    has no such feature; **BROKEN**: the system could not be started. `storage-empty` says that nothing stayed in the
    storage after any scenario, where scheduler and worker are ours.

    Exit status: 0 every cell came out as expected; 1 one did not; 2 could not run: `pip install
    'rescind[opengris-scaler]'` is needed but for `ref/ref/ref`.

    Examples:

    `rescind interop`

    `rescind interop --quick`

    `rescind interop --mix 'ref/*' --scenario 'cancel-*' --output interop-report`
    """
    console = Console()
    if console.width < _WIDTH:
        console = Console(width=_WIDTH)
    if show_list:
        _list(console)
        return
    mixes, scenarios = select_mixes(mix or [], quick=quick), select_scenarios(scenario or [], quick=quick)
    if not mixes or not scenarios:
        fail(f"no {'scenario' if mixes else 'mix'} has such a name: see `rescind interop --list`")
    try:
        if output is not None:
            require_writable(output)
        known = load_expected(expected)
    except (OSError, ExpectedUnusable, SpecificationError) as error:
        fail(str(error))
    peers = built_peers(cpp_peer, typescript_peer)
    _require_peers(mixes, mix or [], peers)
    _require_scaler([one for one in mixes if not any(map(peers.missing, one.kinds))])
    end_on_first_signal()
    size = large_bytes or (_QUICK_BYTES if quick else _LARGE_BYTES)
    plan = Plan(
        mixes,
        scenarios,
        known,
        size,
        many=_QUICK_MANY if quick else Plan.many,
        depth=_QUICK_DEPTH if quick else Plan.depth,
        examples=str(examples.absolute()) if examples else "",
        jobs=min(jobs, len(mixes)),
        peers=peers,
    )
    progress = _Progress(len(mixes) * len(scenarios) + sum(one.ours_keep_house for one in mixes))
    began = time.monotonic()
    try:
        cells = Run(plan, progress.on_cell).play()
    except KeyboardInterrupt:
        typer.echo("rescind: stopped; every process has ended", err=True)
        raise typer.Exit(130) from None
    for part, own in parts(cells):
        console.print(table(part, own))
    _explain(cells, console)
    console.print(summary(cells, time.monotonic() - began), highlight=False)
    if output is not None:
        try:
            write_report(output, mixes, cells, " ".join(["rescind", *sys.argv[1:]]))
        except OSError as error:
            fail(f"the report cannot be written: {error}")
        console.print(f"The report: {output / 'interop.md'}", highlight=False, soft_wrap=True)
    raise typer.Exit(int(any(cell.status in BAD for cell in cells)))


def _require_scaler(mixes: Sequence[Mix]) -> None:
    if not any(mix.needs_scaler for mix in mixes):
        return
    try:
        for name in _PROGRAMS:
            console_script(name)
    except SubjectUnavailable as unavailable:
        fail(f"{unavailable}. Without it: rescind interop --mix ref/ref/ref")
    if importlib.util.find_spec("scaler") is None:
        fail("the package scaler is not installed: pip install 'rescind[opengris-scaler]'")


def _require_peers(mixes: Sequence[Mix], globs: Sequence[str], peers: PeerPrograms) -> None:
    """End with status 2 if a peer is not built that was asked for by name, or that CI is to run."""
    named = {word for glob in globs for word in re.split(r"\W+", glob)}
    for kind in sorted({kind for mix in mixes for kind in mix.kinds}):
        missing = peers.missing(kind)
        if missing and (os.environ.get("CI") == "true" or kind in named):
            fail(missing)


def _explain(cells: Sequence[Cell], console: Console) -> None:
    """What is behind each cell that is no pass; those that are known are told once for each reason."""
    for text in dict.fromkeys(cell.text for cell in cells if cell.status is Status.NOT_BUILT):
        console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)
    told: set[tuple[str, str]] = set()
    for cell in cells:
        if cell.status is Status.KNOWN and (cell.requirement, cell.reason) not in told:
            told.add((cell.requirement, cell.reason))
            console.print(f"{cell.requirement}  {cell.scenario}: {cell.reason}", highlight=False, markup=False)
    for cell in cells:
        if cell.status in BAD:
            first = f"{shown(cell)}  {cell.scenario} in {cell.mix}: {cell.text}"
            console.print(first, style="red", highlight=False, markup=False)


def _list(console: Console) -> None:
    console.print("Mixes, client/scheduler/worker (* not with --quick):", highlight=False)
    for mix in all_mixes():
        console.print(f" {'*' if mix.slow else ' '}{mix.name}", highlight=False)
    console.print("No such mixes, since payloads differ:", highlight=False)
    for text in not_offered():
        console.print(f"  {text}", highlight=False, markup=False)
    console.print("Scenarios (* not with --quick):", highlight=False)
    for one in all_scenarios():
        slow = "*" if one.slow else " "
        console.print(f" {slow}{one.name:24}{one.title}", highlight=False, markup=False, soft_wrap=True)


class _Progress:
    """A line on standard error for each cell."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0

    def on_cell(self, cell: Cell) -> None:
        """A cell is done."""
        self._done += 1
        text = f"{cell.mix}  {cell.scenario}: {shown(cell)} ({cell.seconds:.1f} s)"
        typer.echo(f"[{self._done}/{self._total}] {text}", err=True)
