"""Sequence diagrams of counterexamples, as SVG and as text.

Unlike the trace of one party (`sequence_diagram`), an order has the sending of each message and its arrival as two
steps. In the SVG an arrow goes from the one to the other, so that messages that cross are arrows that cross. In text
it is drawn where it arrives, with the number of the step that sent it if that is not the one before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from rescind.trace import describe
from rescind_conformance.explorer.counterexample import Counterexample, Sent, Told
from rescind_conformance.explorer.steps import SCHEDULER_NAME, Does
from rescind_conformance.sequence_diagram import CHARACTER, HEAD, MARGIN, svg_file

ROW: Final = 26
"""Pixels between two rows."""
_LEAST_COLUMN: Final = 112
_LEAST_TEXT_COLUMN: Final = 12


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a diagram: something that happens at `party`, or a message that comes there."""

    step: int
    """The number of the step in the order, from 1 on; 0 for what comes after the last one."""
    party: str
    """"": all of them."""
    text: str
    sender: str = ""
    """Of a message; "": it is none."""
    sent_at: int = 0
    """The index of the row in which it was sent."""
    sent_in: int = 0
    """The number of the step in which it was sent."""
    arrives: bool = True
    """A message that does not was still on its way at the end, or its receiver had gone."""
    wrong: bool = False
    """It is the violation."""


def order_rows(shown: Counterexample) -> list[Row]:
    """The rows of the diagram of a counterexample."""
    layout = _Layout(shown)
    for number, told in enumerate(shown.steps, start=1):
        layout.add(number, told)
    layout.end()
    return layout.rows


def order_svg(shown: Counterexample) -> str:
    """An SVG file, for light and for dark. Everything in it is escaped."""
    rows, names = order_rows(shown), _parties(shown)
    longest = max(len(row.text) for row in rows if row.party)
    column = max(_LEAST_COLUMN, CHARACTER * longest + 3 * MARGIN)
    widest = max(len(row.text) for row in rows)
    width = max(column * len(names), CHARACTER * widest + 6 * MARGIN)
    first = (width - column * (len(names) - 1)) / 2
    x = {name: first + column * number for number, name in enumerate(names)}
    height = HEAD + ROW * len(rows) + 2 * MARGIN
    parts = [
        f'<svg class="sequence" role="img" xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}"><title>{escape(_title(shown))}</title>'
    ]
    for name in names:
        parts.append(
            f'<line class="life" x1="{x[name]:g}" x2="{x[name]:g}" y1="{HEAD - 6}" y2="{height - 2:g}"/>'
            f'<rect class="who" x="{x[name] - 22:g}" y="4" width="44" height="24" rx="5"/>'
            f'<text class="who" x="{x[name]:g}" y="20">{escape(name)}</text>'
        )
    y = [HEAD + ROW * number + 14 for number in range(len(rows))]
    # Labels lie over the arrows of other rows.
    parts += [_arrow(row, x, y[row.sent_at], y[number]) for number, row in enumerate(rows) if row.sender]
    parts += [_label(row, x, y[number], width) for number, row in enumerate(rows)]
    return svg_file("".join([*parts, "</svg>"]))


def order_text(shown: Counterexample) -> str:
    """The diagram in plain ASCII, a line a row, under a heading."""
    rows, names = order_rows(shown), _parties(shown)
    column = max(_LEAST_TEXT_COLUMN, *(len(_text_of(row)) + 8 for row in rows if row.party))
    at = {name: 5 + column * number for number, name in enumerate(names)}
    lines = [_title(shown), ""]
    head = _Line(at)
    for name in names:
        head.put(at[name], name)
    lines += [str(head), str(_Line(at, "|"))]
    before = 0
    for row in rows:
        line = _Line(at, "|")
        if row.step != before:
            line.put(0, f"{row.step:>3}" if row.step else "   ")
        before = row.step
        text = _text_of(row)
        if row.sender:
            _draw_arrow(line, at[row.sender], at[row.party], text)
        elif row.party:
            line.put(at[row.party], f"* {text}")
        else:
            line.put(at[names[0]], f"== {text} ==")
        lines.append(str(line))
    return "\n".join(lines) + "\n"


class _Layout:
    """Puts steps into rows, and finds for each message that comes where it was sent."""

    def __init__(self, shown: Counterexample) -> None:
        self.rows: list[Row] = []
        self._shown = shown
        self._names = shown.names
        self._under_way: dict[tuple[str, str], deque[tuple[int, int, Sent]]] = {}
        """By connection: the row and the step in which it was sent, and what."""
        self._rested = (0, 0)
        """The row and the step of the heartbeats that nobody has told one by one."""

    def add(self, number: int, told: Told) -> None:
        step = told.step
        party = _party(step.actor)
        row = len(self.rows)
        match step.does:
            case Does.RESTS:
                self._rested = (row, number)
                self.rows.append(Row(number, "", step.does.value))
            case Does.RECEIVES:
                self._arrive(number, told)
            case Does.SAYS:
                self.rows.append(Row(number, party, f"sends {told.sent[0].said(self._names)}"))
            case _:
                words = step.words(self._names).removeprefix(f"{step.actor} ")
                self.rows.append(Row(number, party, words))
        self.rows += [Row(number, party, words) for words in told.outcomes(self._names)]
        for sent in told.sent:
            if sent.message is not None:
                self._under_way.setdefault((sent.sender, sent.receiver), deque()).append((row, number, sent))

    def end(self) -> None:
        """What is wrong, and what never came."""
        left = sorted(
            ((row, sent) for channel in self._under_way.values() for row, _, sent in channel), key=lambda one: one[0]
        )
        violation, when = self._shown.violation, ", when nothing more happens" if self._shown.at_rest else ""
        for row, sent in left:
            text = f"{sent.said(self._names)} (has not arrived)"
            self.rows.append(Row(0, _party(sent.receiver), text, _party(sent.sender), row, arrives=False))
        self.rows.append(Row(0, "", f"{violation.requirement}: {violation.text}{when}", wrong=True))

    def _arrive(self, number: int, told: Told) -> None:
        step = told.step
        assert step.message is not None
        channel = self._under_way.get((step.peer, step.actor))
        row, sent_in = self._rested
        if channel:
            row, sent_in, _ = channel.popleft()
        said = describe(step.message, self._names)
        life = next((name for name in (step.peer, step.actor) if "." in name), "")
        text = f"{said} [{life}]" if life else said
        self.rows.append(Row(number, _party(step.actor), text, _party(step.peer), row, sent_in))


class _Line:
    """A line of text to draw on."""

    def __init__(self, at: dict[str, int], life: str = " ") -> None:
        self._cells: list[str] = []
        for column in at.values():
            self.put(column, life)

    def put(self, column: int, text: str) -> None:
        """Write over what is there."""
        self._cells += [" "] * (column + len(text) - len(self._cells))
        self._cells[column : column + len(text)] = text

    def __str__(self) -> str:
        return "".join(self._cells).rstrip()


def _draw_arrow(line: _Line, start: int, end: int, text: str) -> None:
    left, right = min(start, end), max(start, end)
    line.put(left + 1, "-" * (right - left - 1))
    line.put(end - 1 if end > start else end + 1, ">" if end > start else "<")
    # Beside the receiver, so that it is between two neighbours.
    line.put(end - 4 - len(text) if end > start else end + 4, f" {text} ")


def _arrow(row: Row, x: dict[str, float], start: float, end: float) -> str:
    way = 1 if x[row.party] > x[row.sender] else -1
    tip = x[row.party] - way * 2
    kind = "message" if row.arrives else "required"
    return (
        f'<g class="{kind}"><line class="arrow" x1="{x[row.sender]:g}" x2="{tip - way * 4:g}" y1="{start:g}" '
        f'y2="{end:g}"/><path class="tip" d="M{tip:g} {end:g}l{-way * 8} -4v8z"/></g>'
    )


def _label(row: Row, x: dict[str, float], y: float, width: float) -> str:
    room = CHARACTER * len(row.text) + 6
    kind = "rule" if row.wrong else "message" if row.sender else "event" if row.party else "fold"
    if row.sender:
        way = 1 if x[row.party] > x[row.sender] else -1
        middle, box = x[row.party] - way * (room / 2 + 14), "back"
    else:
        middle, box = (x[row.party] if row.party else width / 2), "box"
        room += 6
    middle = min(max(middle, MARGIN + room / 2), width - MARGIN - room / 2)
    return (
        f'<g class="{kind}"><rect class="{box}" x="{middle - room / 2:g}" y="{y - 9:g}" width="{room:g}" '
        f'height="18" rx="4"/><text x="{middle:g}" y="{y + 4:g}">{escape(row.text)}</text></g>'
    )


def _text_of(row: Row) -> str:
    late = row.arrives and row.sender and row.sent_in != row.step - 1
    return f"{row.text}, sent in {row.sent_in}" if late else row.text


def _title(shown: Counterexample) -> str:
    length = f"{'the shortest order' if shown.is_shortest else 'an order'}, {len(shown.steps)} steps"
    return f"{shown.violation.requirement} is broken in {shown.scenario.name}, after the first heartbeats; {length}"


def _party(name: str) -> str:
    """Whose life it is."""
    return name.partition(".")[0]


def _parties(shown: Counterexample) -> list[str]:
    """Who takes part in the steps, from left to right: clients, the scheduler, workers."""
    names = {SCHEDULER_NAME} | {_party(each) for told in shown.steps for each in _who(told)}
    return sorted(names - {""}, key=lambda name: ("CSW".find(name[0]), len(name), name))


def _who(told: Told) -> Iterator[str]:
    yield told.step.actor
    yield told.step.peer
    for sent in told.sent:
        if sent.message is not None:
            yield sent.receiver
