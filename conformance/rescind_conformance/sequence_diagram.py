"""Sequence diagrams as SVG: who said what to whom, where it departed, and what was required instead.

Colours are classes; the page that holds the diagram styles them, for light and for dark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from importlib.resources import files
from itertools import groupby
from typing import Any

from rescind_conformance.visible_text import visible

COLUMN = 112
"""Pixels between two participants."""
ROW = 36
HEAD = 34
CHARACTER = 6.65
"""The width of a letter of the 11 pixel monospaced font."""
MARGIN = 8
MOST_ROWS = 90
"""Of a longer trace only the beginning, the end and what is near a departure are drawn."""
_NEAR = 12

_GETS = re.compile(r"(?P<peer>[CWS][0-9]*)(?:, which is lost,)? (?P<verb>gets|sends) (?P<what>.+)", re.DOTALL)
_GOT = re.compile(r"(?:(?P<peer>[CWS][0-9]*)|it) (?P<verb>got|sent) (?P<what>.+)", re.DOTALL)
_MISSING = re.compile(r"(?P<sender>[CWS][0-9]*) has not sent (?P<peer>[CWS][0-9]*) (?P<what>.+)", re.DOTALL)
_SENT = re.compile(r"[CWS][0-9]* (sends|echoes) ")
"""What the judge says of one message too few, or too many."""


class Kind(StrEnum):
    """How a row is drawn."""

    MESSAGE = "message"
    OFFENDING = "offending"
    """A message that should not have come."""
    REQUIRED = "required"
    """A message that should have come, and did not."""
    RULE = "rule"
    """What was required, where it is not one message."""
    EVENT = "event"
    """Something happened at a peer."""
    FOLD = "fold"
    """Messages that are left out."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a diagram."""

    kind: Kind
    sender: str
    receiver: str
    text: str


def diagram_rows(trace: Sequence[dict[str, Any]], departures: Sequence[dict[str, Any]], subject: str) -> list[Row]:
    """The rows of a case: its trace (as in report.json), with each departure where it was found."""
    offending = {index for one in departures for index in _offenders(trace, one)}
    at: dict[int, list[Row]] = {}
    for one in departures:
        at.setdefault(one["position"], []).append(_required(one, subject))
    rows: list[Row] = []
    for index, entry in enumerate(trace):
        rows += at.pop(index, [])
        if entry["shown"] or index in offending:
            event = entry["from"] == entry["to"]
            kind = Kind.OFFENDING if index in offending else Kind.EVENT if event else Kind.MESSAGE
            rows.append(Row(kind, entry["from"], entry["to"], entry["words"]))
    for late in at.values():
        rows += late
    return _fold(list(_together(rows)))


def participants(rows: Sequence[Row], subject: str) -> list[str]:
    """Who takes part, from left to right: clients, the scheduler, workers."""
    names = {name for row in rows for name in (row.sender, row.receiver) if name} | {subject}
    return sorted(names, key=lambda name: ("CSW".find(name[0]), len(name), name))


def diagram_svg(rows: Sequence[Row], subject: str, title: str) -> str:
    """An inline SVG. `subject` is the participant that is under test. Everything in it is escaped."""
    names = participants(rows, subject)
    span = COLUMN * (len(names) - 1)
    longest = max([_width(row.text) for row in rows] or [0])
    width = max(span + COLUMN, longest + 4 * MARGIN)
    first = (width - span) / 2
    x = {name: first + COLUMN * number for number, name in enumerate(names)}
    height = HEAD + ROW * len(rows) + 2 * MARGIN
    parts = [
        f'<svg class="sequence" role="img" xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}"><title>{escape(title)}</title>'
    ]
    for name in names:
        under_test = " subject" if name == subject else ""
        parts.append(
            f'<line class="life{under_test}" x1="{x[name]:g}" x2="{x[name]:g}" y1="{HEAD - 6}" y2="{height - 2:g}"/>'
            f'<rect class="who{under_test}" x="{x[name] - 22:g}" y="4" width="44" height="24" rx="5"/>'
            f'<text class="who{under_test}" x="{x[name]:g}" y="20">{escape(name)}</text>'
        )
    for number, row in enumerate(rows):
        parts += _draw(row, x, HEAD + ROW * number + 14, width)
    return "".join([*parts, "</svg>"])


def diagram_file(rows: Sequence[Row], subject: str, title: str) -> str:
    """An SVG file of its own, for light and for dark. Everything in it is escaped."""
    return svg_file(diagram_svg(rows, subject, title))


def svg_file(inline: str) -> str:
    """An SVG file of its own, for light and for dark, of an inline SVG that begins with its title."""
    styles = files("rescind_conformance") / "templates"
    style = "".join((styles / name).read_text(encoding="utf-8") for name in ("colours.css", "diagram.css"))
    head, end, body = inline.partition("</title>")
    background = '<rect class="back" width="100%" height="100%"/>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}{end}<style>{style}</style>{background}{body}\n'


def _draw(row: Row, x: dict[str, float], y: float, width: float) -> Iterator[str]:
    kind = row.kind.value
    if row.sender == row.receiver:
        middle = x[row.sender] if row.sender else width / 2
        left = _clamp(middle, _width(row.text) + 12, width)
        yield (
            f'<g class="{kind}"><rect class="box" x="{left - _width(row.text) / 2 - 6:g}" y="{y - 8:g}" '
            f'width="{_width(row.text) + 12:g}" height="20" rx="4"/>{_text(row.text, left, y + 6)}</g>'
        )
        return
    start, end = x[row.sender], x[row.receiver]
    way = 1 if end > start else -1
    line = y + 12
    tip = end - way * 2
    yield (
        f'<g class="{kind}"><line class="arrow" x1="{start:g}" x2="{tip - way * 4:g}" y1="{line:g}" y2="{line:g}"/>'
        f'<path class="tip" d="M{tip:g} {line:g}l{-way * 8} -4v8z"/>'
    )
    if row.kind in (Kind.OFFENDING, Kind.REQUIRED):
        middle = (start + end) / 2
        yield f'<path class="cross" d="M{middle - 5:g} {line - 5:g}l10 10m0 -10l-10 10"/>'
    room = _width(row.text) + 4
    middle = _clamp((start + end) / 2, room, width)
    yield f'<rect class="back" x="{middle - room / 2:g}" y="{y - 7:g}" width="{room:g}" height="14"/>'
    yield _text(row.text, middle, y + 3) + "</g>"


def _text(text: str, x: float, y: float) -> str:
    return f'<text x="{x:g}" y="{y:g}">{escape(visible(text))}</text>'


def _clamp(middle: float, text_width: float, width: float) -> float:
    return min(max(middle, MARGIN + text_width / 2), width - MARGIN - text_width / 2)


def _width(text: str) -> float:
    return len(text) * CHARACTER


def _required(departure: dict[str, Any], subject: str) -> Row:
    """What was required, as an arrow if it is a message to or from a peer."""
    match = _GETS.fullmatch(departure["expected"])
    label = departure["requirement"]
    missing = None if departure["expected"] else _MISSING.fullmatch(departure["happened"])
    if missing is not None:
        return Row(Kind.REQUIRED, missing["sender"], missing["peer"], _short(f"{label} required: {missing['what']}"))
    if match is None or match["what"].startswith(("nothing", "no ", "all of")) or " of " in match["what"]:
        said = f"required: {departure['expected']}" if departure["expected"] else departure["happened"]
        return Row(Kind.RULE, "", "", _short(f"{label} {said}"))
    what = _short(f"{label} required: {match['what']}")
    if match["verb"] == "gets":
        return Row(Kind.REQUIRED, "S", match["peer"], what)
    return Row(Kind.REQUIRED, subject, "S" if subject != "S" else match["peer"], what)


def _offenders(trace: Sequence[dict[str, Any]], departure: dict[str, Any]) -> Iterator[int]:
    """The latest entries before a departure was found that are what its text says has happened."""
    expected, happened = _GETS.fullmatch(departure["expected"]), _GOT.match(departure["happened"])
    if not departure["expected"] and _SENT.match(departure["happened"]) and departure["position"]:
        yield departure["position"] - 1
    if happened is None:
        return
    peer = happened["peer"] or (expected["peer"] if expected else "")
    what = happened["what"].removeprefix("what is ")
    column = "to" if happened["verb"] == "got" else "from"
    for index in range(departure["position"] - 1, -1, -1):
        entry = trace[index]
        words = entry["words"]
        if entry[column] == peer and entry["from"] != entry["to"] and words and what.startswith(words):
            yield index
            return


def _together(rows: Sequence[Row]) -> Iterator[Row]:
    for row, run in groupby(rows):
        count = len(list(run))
        text = _short(row.text) if count == 1 else f"{_short(row.text)} ({count} times)"
        yield Row(row.kind, row.sender, row.receiver, text)


def _fold(rows: list[Row]) -> list[Row]:
    if len(rows) <= MOST_ROWS:
        return rows
    marked = [number for number, row in enumerate(rows) if row.kind in (Kind.OFFENDING, Kind.REQUIRED, Kind.RULE)]
    kept = set(range(_NEAR)) | set(range(len(rows) - _NEAR, len(rows)))
    for number in marked:
        kept |= set(range(max(0, number - _NEAR), min(len(rows), number + _NEAR // 2)))
    folded: list[Row] = []
    for keep, run in groupby(range(len(rows)), key=kept.__contains__):
        numbers = list(run)
        folded += [rows[number] for number in numbers] if keep else [_folded(len(numbers))]
    return folded


def _folded(count: int) -> Row:
    return Row(Kind.FOLD, "", "", f"{count} more messages and events")


def _short(text: str, most: int = 72) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
