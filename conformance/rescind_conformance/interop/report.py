"""The matrix: on a terminal, as Markdown and as JSON, with the conversation of each cell that did not pass."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.table import Table
from rich.text import Text

from rescind.trace import PeerNames, TraceRecord, TraceWriter
from rescind_conformance.interop.mixes import Mix, Part, all_mixes, not_offered
from rescind_conformance.interop.runner import BAD, Cell, Status
from rescind_conformance.trace import Echoes, Entry, Heartbeats, trace_lines
from rescind_conformance.visible_text import visible

_STYLES: Mapping[Status, str] = {
    Status.PASS: "green",
    Status.KNOWN: "yellow",
    Status.FAIL: "bold red",
    Status.UNEXPECTED_PASS: "bold magenta",
    Status.NOT_OFFERED: "dim",
    Status.NOT_BUILT: "yellow",
    Status.BROKEN: "bold red",
}
_MOST_LINES = 150
"""Of a conversation in the page; the whole of it is in its file."""


def shown(cell: Cell) -> str:
    """What stands in the matrix."""
    match cell.status:
        case Status.KNOWN:
            return cell.requirement
        case Status.FAIL:
            return f"FAIL {cell.requirement}"
        case Status.UNEXPECTED_PASS:
            return f"PASS {cell.requirement}"
        case _:
            return cell.status.value


def matrix(cells: Sequence[Cell]) -> tuple[list[str], list[str], dict[tuple[str, str], Cell]]:
    """The mixes, the scenarios, and the cell of each scenario and mix."""
    mixes = list(dict.fromkeys(cell.mix for cell in cells))
    scenarios = list(dict.fromkeys(cell.scenario for cell in cells))
    return mixes, scenarios, {(cell.scenario, cell.mix): cell for cell in cells}


def parts(cells: Sequence[Cell]) -> list[tuple[Part, list[Cell]]]:
    """The cells of each table of the matrix that has any."""
    part_of = {mix.name: mix.part for mix in all_mixes()}
    sorted_cells = [(part, [cell for cell in cells if part_of[cell.mix] is part]) for part in Part]
    return [(part, own) for part, own in sorted_cells if own]


def table(part: Part, cells: Sequence[Cell]) -> Table:
    """A part of the matrix for a terminal: a row for each scenario, a column for each mix."""
    mixes, scenarios, at = matrix(cells)
    title = f"{part} (client, scheduler, worker)"
    drawn = Table(title=title, title_justify="left", title_style="dim", pad_edge=False)
    drawn.add_column("scenario", no_wrap=True)
    for mix in mixes:
        drawn.add_column(mix.replace("/", "\n").replace("+", "\n+"), no_wrap=True)
    for scenario in scenarios:
        row = []
        for mix in mixes:
            cell = at.get((scenario, mix))
            row.append(Text(shown(cell), style=_STYLES[cell.status]) if cell else Text(""))
        drawn.add_row(scenario, *row)
    return drawn


def conversation(records: Sequence[TraceRecord]) -> list[str]:
    """What was said, as readable lines: C1 a client, W1 a worker, P1 somebody else, S the scheduler."""
    peers = PeerNames()
    tasks: dict[bytes, str] = {}
    entries = []
    for number, record in enumerate(records):
        task_id = getattr(record.message, "task_id", None)
        if task_id is not None:
            tasks.setdefault(task_id, f"T{len(tasks) + 1}")
        sender, receiver = peers.of(record.sender), peers.of(record.receiver)
        fence = isinstance(record.message, (*Heartbeats, *Echoes))
        entries.append(Entry(number, sender, receiver, record.message, record.note, fence))
    return [visible(line) for line in trace_lines(entries, tasks)]


def write_report(directory: Path, mixes: Sequence[Mix], cells: Sequence[Cell], command: str) -> None:
    """Write interop.md and interop.json, and the conversations that they name. Raises `OSError`."""
    talks = directory / "conversations"
    talks.mkdir(parents=True, exist_ok=True)
    for old in talks.glob("*.jsonl"):
        old.unlink()
    for cell in cells:
        if cell.records:
            with (directory / conversation_name(cell)).open("w", encoding="utf-8") as stream:
                writer = TraceWriter(stream)
                for record in cell.records:
                    writer.write(record)
    document = {"command": command, "versions": versions(), "cells": [_json(cell) for cell in cells]}
    (directory / "interop.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (directory / "interop.md").write_text(markdown(cells, command), encoding="utf-8")


def conversation_name(cell: Cell) -> str:
    """The file of a cell's conversation, from the report's directory."""
    return f"conversations/{cell.mix.replace('/', '-')}--{cell.scenario}.jsonl"


def versions() -> dict[str, str]:
    """What took part."""
    found = {"python": platform.python_version()}
    for name in ("rescind", "opengris-scaler"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def markdown(cells: Sequence[Cell], command: str) -> str:
    """The report for people."""
    took_part = ", ".join(f"{name} {number}" for name, number in versions().items())
    lines = ["# Interop", "", f"`{command}` with {took_part}.", ""]
    lines += ["Columns are client/scheduler/worker. An id is a requirement from which a party is known to depart.", ""]
    lines += [f"No such mixes, since payloads differ: {'; '.join(not_offered())}."]
    for part, own in parts(cells):
        lines += ["", f"## {part}", "", *_rows(own)]
    lines += [f"\n{text}" for text in dict.fromkeys(cell.text for cell in cells if cell.status is Status.NOT_BUILT)]
    for cell in cells:
        if cell.status not in (Status.PASS, Status.NOT_OFFERED, Status.NOT_BUILT):
            lines += _section(cell)
    return "\n".join(lines) + "\n"


def _rows(cells: Sequence[Cell]) -> list[str]:
    mixes, scenarios, at = matrix(cells)
    lines = ["| scenario | " + " | ".join(mixes) + " |", "|---" * (len(mixes) + 1) + "|"]
    for scenario in scenarios:
        row = [shown(at[scenario, mix]) if (scenario, mix) in at else "" for mix in mixes]
        lines.append(f"| {scenario} | " + " | ".join(row) + " |")
    return lines


def _section(cell: Cell) -> list[str]:
    lines = ["", f"## {cell.scenario} in {cell.mix}: {cell.status} {cell.requirement}", "", visible(cell.text)]
    if cell.reason:
        lines += ["", f"Expected: {cell.reason}"]
    if cell.records:
        talk = conversation(cell.records)
        left_out = [f"... {len(talk) - _MOST_LINES} more"] if len(talk) > _MOST_LINES else []
        lines += ["", f"What was said ({conversation_name(cell)}):", ""]
        lines += ["```text", *talk[:_MOST_LINES], *left_out, "```"]
    for name, words in cell.last_words.items():
        if words.strip():
            lines += ["", f"The last lines of the {name}:", "", "```text", visible(words), "```"]
    return lines


def _json(cell: Cell) -> dict[str, object]:
    return {
        "mix": cell.mix,
        "scenario": cell.scenario,
        "status": cell.status.name.lower().replace("_", " "),
        "requirement": cell.requirement,
        "text": visible(cell.text),
        "reason": cell.reason,
        "seconds": cell.seconds,
        "conversation": conversation_name(cell) if cell.records else None,
    }


def summary(cells: Sequence[Cell], seconds: float) -> str:
    """A line: how many cells came out how."""
    counts = {status: sum(cell.status is status for cell in cells) for status in Status}
    told = [
        f"{counts[Status.PASS]} pass",
        f"{counts[Status.KNOWN]} depart as is known",
        f"{counts[Status.NOT_OFFERED]} not offered",
        *([f"{counts[Status.NOT_BUILT]} not built"] if counts[Status.NOT_BUILT] else []),
        f"{sum(counts[status] for status in BAD)} unexpected",
    ]
    return f"{len(cells)} cells in {seconds:.0f} s: {', '.join(told)}."
