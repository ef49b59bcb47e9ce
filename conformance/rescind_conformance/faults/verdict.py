"""Whether what clients were told is true: their journals beside what the tasks wrote; and the traces are judged."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from rescind.client_table import CancelOutcome
from rescind.messages import CancelConfirmType, Task, TaskCancelConfirm
from rescind.trace import TraceEvent, TraceRecord
from rescind_conformance.faults.bodies import value_of
from rescind_conformance.judge.records import SCHEDULER
from rescind_conformance.judge.tapped import TappedCheck

Record = TraceRecord | TraceEvent
_HARMLESS = ("clock", "storm")
"""Kinds of faults by which nobody is lost."""


def read_journal(path: Path) -> Sequence[dict[str, Any]]:
    """What a client has written: each line that it has written whole."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def judge_traces(lives: Sequence[Sequence[Record]], counts: dict[str, int]) -> list[str]:
    """What the judge finds in the trace of each life of the scheduler."""
    problems = []
    for number, life in enumerate(lives, start=1):
        check = TappedCheck(all_peers=True)
        found = [one for record in life for one in check.feed(record)]
        found += check.finish(at_rest=number == len(lives))
        problems += [
            f"{one.violation.requirement}: {one.violation.text} ({one.party}, trace {number}, line {one.line})"
            for one in found
        ]
        counts["records"] = counts.get("records", 0) + check.lines
        counts["parties judged"] = counts.get("parties judged", 0) + len(check.judged)
        counts["parties not judged to the end"] = counts.get("parties not judged to the end", 0) + len(check.undecided)
    return problems


def judge_clients(
    folder: Path, lives: Sequence[Sequence[Record]], counts: dict[str, int], *, shut_down: bool
) -> list[str]:
    """What clients were told of their futures and is not so.

    `shut_down`: whether a scheduler has shut down in order; then it answers `canceled` by itself (S9.10).
    """
    facts = _Facts(lives, shut_down)
    problems: list[str] = []
    for path in sorted(folder.glob("*.journal")):
        lines = read_journal(path)
        problems += [f"{path.stem}: {text}" for text in _judge_client(lines, folder / "bodies", facts, counts)]
    return problems


def judge_losses(folder: Path, befell: Collection[tuple[str, str]], counts: dict[str, int]) -> list[str]:
    """Which clients were lost that only clocks befell: no time-out hangs on a wall clock.

    `befell`: what took effect, the name of each kind with that of whom it befell.
    """
    disturbed = {where for kind, where in befell if kind not in _HARMLESS}
    if any(where.startswith("s.") for where in disturbed):  # the scheduler: each client may have been lost with it
        return []
    problems = []
    for path in sorted(folder.glob("*.journal")):
        if path.stem in disturbed:
            continue
        counts["clients left alone but for clocks"] = counts.get("clients left alone but for clocks", 0) + 1
        lost = sum(line.get("why") == CancelOutcome.DISCONNECTED.name for line in read_journal(path))
        if lost:
            problems.append(
                f"{path.stem}: {lost} futures ended with a connection that nothing had befallen (S9.1, C10.2)"
            )
    return problems


class _Facts:
    """What passed the links, by task."""

    def __init__(self, lives: Sequence[Sequence[Record]], shut_down: bool) -> None:
        self.dispatched: Counter[str] = Counter()
        self.shut_down = shut_down
        self.ended: dict[str, float] = {}
        """When a worker's `canceled` came."""
        for record in (each for life in lives for each in life):
            if not isinstance(record, TraceRecord):
                continue
            message = record.message
            if isinstance(message, Task) and record.sender == SCHEDULER and record.leg != "out":
                self.dispatched[message.task_id.hex()] += 1
            if (
                isinstance(message, TaskCancelConfirm)
                and record.receiver == SCHEDULER
                and record.leg != "out"
                and message.cancel_confirm_type == CancelConfirmType.CANCELED
            ):
                self.ended[message.task_id.hex()] = record.time


def _judge_client(
    lines: Sequence[dict[str, Any]], bodies: Path, facts: _Facts, counts: dict[str, int]
) -> Iterator[str]:
    submitted = {line["key"]: line for line in lines if line["what"] == "submitted"}
    settled: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        if line["what"] == "settled":
            settled[line["key"]].append(line)
    finished = [line for line in lines if line["what"] == "finished"]
    counts["futures"] = counts.get("futures", 0) + len(submitted)
    for line in finished:
        for key in line["unsettled"]:
            yield f"the future of {key} was not settled"
        if line["waiting"]:
            yield f"{line['waiting']} calls of cancel() have not returned"
    for line in lines:
        if line["what"] == "failed":
            yield f"cancel() raised {line['why']}"
        if line["what"] == "cancel returned":
            counts["cancels"] = counts.get("cancels", 0) + 1
            if line["value"] and not line["cancelled"]:
                yield f"cancel() of {line['key']} returned True, and it is not cancelled"
    asked = {line["key"] for line in lines if line["what"] == "cancel called"}
    for key, line in submitted.items():
        ends = settled[key]
        if len(ends) > 1 or (finished and len(ends) != 1):
            yield f"the callback of {key} ran {len(ends)} times"
        if ends:
            counts[f"{ends[0]['how']} {ends[0].get('why', '')}".strip()] = (
                counts.get(f"{ends[0]['how']} {ends[0].get('why', '')}".strip(), 0) + 1
            )
            yield from _judge_future(key, line, ends[0], asked, submitted, bodies, facts)


def _judge_future(
    key: str,
    line: dict[str, Any],
    end: dict[str, Any],
    asked: set[str],
    submitted: dict[str, dict[str, Any]],
    bodies: Path,
    facts: _Facts,
) -> Iterator[str]:
    path = bodies / key
    words = [one.split() for one in path.read_text().splitlines()] if path.exists() else []
    began = [float(each[1]) for each in words if each[0] == "began"]
    done = [float(each[1]) for each in words if each[0] == "done"]
    task = line["task"]
    if len(began) > facts.dispatched[task]:
        yield f"{key} began {len(began)} times, and was given to workers {facts.dispatched[task]} times (W1.1)"
    match end["how"]:
        case "result":
            if not end["value"].startswith(value_of(key, *map(str, _values(line, submitted)))):
                yield f"{key} has the result {end['value'][:80]!r}, which it never returned"
            if not done:
                yield f"{key} has a result, and never came to its end"
        case "error":
            if end["why"] == "Raised" and not done and not line["others"]:
                yield f"{key} has an error that it never raised"
        case _:
            if end["why"] == "CONFIRMED" and task in facts.ended and facts.dispatched[task] == 1:
                late = [each for each in (*began, *done) if each > facts.ended[task]]
                if late:
                    yield f"{key} ran on after its worker had said `canceled` (W2.2)"
            if end["why"] in ("CONFIRMED", "RESULT_DISCARDED", "TIMED_OUT") and key not in asked:
                others = line["others"]
                asked_by_others = any(other in asked for other in others) or facts.shut_down
                if end["why"] != "CONFIRMED" or not asked_by_others:
                    yield f"{key} was cancelled ({end['why']}), and nobody had asked for it"


def _values(line: dict[str, Any], submitted: dict[str, dict[str, Any]]) -> list[str]:
    """What the tasks returned that this one depends on."""
    return [value_of(other, *_values(submitted[other], submitted)) for other in line["others"]]
