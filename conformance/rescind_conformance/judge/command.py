"""`rescind check`: a recorded trace is judged."""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from rescind.trace import PeerNames, TraceEvent, TraceRecord, describe, parse_record
from rescind_conformance.command_end import COULD_NOT_RUN, fail
from rescind_conformance.judge.records import SCHEDULER
from rescind_conformance.judge.tapped import TAP, TappedCheck
from rescind_conformance.judge.trace_check import BadTrace, Found, TraceCheck
from rescind_conformance.peers import task_id_of
from rescind_conformance.requirements import load_requirements

_CONTEXT = 12
"""So many of the last records about a task are shown with what it broke."""
_KEPT = 10_000
"""So many records are kept to be shown."""


def check(
    trace: Annotated[Path, typer.Argument(help="A trace, a JSON object a line; - reads standard input.")],
    at_rest: Annotated[
        bool, typer.Option("--at-rest", help="Nothing was on its way at its end: what is missing then is found, too.")
    ] = False,
    all_peers: Annotated[
        bool,
        typer.Option(
            "--all-peers",
            help="The trace has the records of each of the scheduler's peers: judge it from outside, if it has none.",
        ),
    ] = False,
    first: Annotated[bool, typer.Option("--first", help="Stop at the first violation.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the requirements' texts.")] = False,
) -> None:
    """Judge a recorded trace: which requirement is broken, by whom, and at which message.

    Each party whose own records are in the trace is judged by them, as they come; so a live run can be piped in. Its
    peers are judged from outside, at the end: a violation is told only if every order that their messages may have
    had there has one. A scheduler without records of its own is judged so with --all-peers. In the trace of a tap
    (`rescind tap --record`) all parties are judged from outside.

    Example: `rescind scheduler --trace run.jsonl`, then `rescind check run.jsonl`

    Exit status: 0 nothing is broken, 1 something is, 2 the trace cannot be read.
    """
    story = Story()
    broken = 0
    try:
        with _opened(trace) as stream:
            records = _records(stream, story)
            opening = next(records, None)
            if opening is None:
                fail(f"{trace} is empty")
            checking = TappedCheck(all_peers) if opening.at == TAP else TraceCheck(all_peers)
            for found in _findings(itertools.chain([opening], records), checking, at_rest):
                story.tell(found, checking.names, verbose)
                broken += 1
                if first:
                    break
    except (OSError, ValueError, BadTrace) as error:
        fail(f"{trace}: {error}")
    for party in checking.undecided:
        typer.echo(f"{party} could not be judged to the end: too many orders are possible.")
    if isinstance(checking, TappedCheck):
        conclude_tapped(checking, broken)
    else:
        _conclude(checking, broken)
    raise typer.Exit(1 if broken else COULD_NOT_RUN if checking.undecided else 0)


def _records(stream: TextIO, story: Story) -> Iterator[TraceRecord | TraceEvent]:
    for number, line in enumerate(stream, start=1):
        record = parse_record(line, number)
        story.add(number, record)
        yield record


def _findings(
    records: Iterable[TraceRecord | TraceEvent], checking: TraceCheck | TappedCheck, at_rest: bool
) -> Iterator[Found]:
    for record in records:
        yield from checking.feed(record)
    yield from checking.finish(at_rest=at_rest)


def conclude_tapped(checking: TappedCheck, broken: int) -> None:
    """Say how the judging of a tap's records has ended."""
    for party, why in checking.unjudged.items():
        typer.echo(f"{party} was not judged: {why}.")
    if checking.unsure:
        typer.echo("What came last may be wrong, or be explained by what was on its way: it was not judged.")
    count = "1 violation" if broken == 1 else f"{broken or 'no'} violations"
    peers = len(checking.judged) - (SCHEDULER in checking.judged)
    outside = ([SCHEDULER] if SCHEDULER in checking.judged else []) + [f"{peers} of its peers"]
    typer.echo(f"{count} in {checking.lines} records of a tap: {' and '.join(outside)}, from outside.")


def _conclude(checking: TraceCheck, broken: int) -> None:
    for party, why in checking.unjudged.items():
        typer.echo(f"{party} was not judged: {why}.")
    others = [party for party in checking.others() if party not in checking.unjudged]
    outside = others if others == [SCHEDULER] else [f"{len(others)} of its peers"]
    judged = ", ".join(checking.judged) + (f", and {outside[0]} from outside" if others else "")
    count = "1 violation" if broken == 1 else f"{broken or 'no'} violations"
    typer.echo(f"{count} in {checking.lines} records of {judged}.")


_LEGS = {"in": "came to the tap", "out": "went from it"}


class Story:
    """The records, for what is told of them. Not thread-safe."""

    def __init__(self) -> None:
        self._records: deque[tuple[int, TraceRecord | TraceEvent]] = deque(maxlen=_KEPT)
        self._peers = PeerNames()

    def add(self, line: int, record: TraceRecord | TraceEvent) -> None:
        """Keep a record for some time."""
        self._records.append((line, record))
        if isinstance(record, TraceRecord):
            names = [record.sender, record.receiver]
        else:
            names = [str(record.details.get("peer", SCHEDULER)) if record.at == TAP else record.at]
        for name in names:
            self._peers.of(name)

    def tell(self, found: Found, names: dict[bytes, str], verbose: bool) -> None:
        """Print a violation, and what was said about the same task before it."""
        one = found.violation
        requirement = load_requirements().get(one.requirement)
        level = f" {requirement.level}" if requirement is not None else ""
        text = one.text
        for routing_id, name in self._peers.names.items():
            text = text.replace(routing_id, name)
        typer.secho(f"line {found.line}: {one.requirement}{level}: {text}", bold=True)
        if verbose and requirement is not None:
            typer.echo(f"  {requirement.text}")
        at = next((record for line, record in self._records if line == found.line), None)
        about = task_id_of(at.message) if isinstance(at, TraceRecord) else None
        shown = [
            (line, record)
            for line, record in self._records
            if line <= found.line and (line == found.line or (about is not None and _about(record) == about))
        ]
        for line, record in shown[-_CONTEXT:]:
            mark = ">" if line == found.line else " "
            typer.echo(f"  {mark}{line:>6}  {self._words(record, names)}")

    def _words(self, record: TraceRecord | TraceEvent, names: dict[bytes, str]) -> str:
        if isinstance(record, TraceEvent):
            if record.at == TAP:
                return f"{self._peers.of(str(record.details.get('peer', SCHEDULER)))}: {record.event}"
            details = " ".join(str(value) for value in record.details.values())
            return f"{self._peers.of(record.at)}: {record.event} {details}".rstrip()
        ends = f"{self._peers.of(record.sender):>3} -> {self._peers.of(record.receiver):<3}"
        said = f"malformed: {record.note}" if record.message is None else describe(record.message, names)
        return f"{ends}  {said}" + (f"   ({_LEGS[record.leg]})" if record.leg else "")


def _about(record: TraceRecord | TraceEvent) -> bytes | None:
    return task_id_of(record.message) if isinstance(record, TraceRecord) else None


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    if str(path) == "-":
        yield sys.stdin
        return
    with path.open(encoding="utf-8") as stream:
        yield stream
