"""Plays scenarios in mixes: a system and a player for each mix, a verdict for each cell."""

from __future__ import annotations

import json
import queue
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from rescind.messages import Task, TaskCancelConfirm
from rescind.trace import TraceRecord
from rescind_conformance.interop.expected import Expected
from rescind_conformance.interop.mixes import PEERS, Kind, Mix
from rescind_conformance.interop.peers import PeerPrograms, built_peers
from rescind_conformance.interop.programs import ENVIRONMENT, SLOTS, Program
from rescind_conformance.interop.scenario import Scenario
from rescind_conformance.interop.system import Closed, System
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.warm_start import Forkable, WarmStart, WarmStarts

STORAGE_ROW = "storage-empty"
"""The row that says whether anything stayed in the storage, after each scenario, where nothing may."""
STORAGE_REQUIREMENT = "C3.2"
_EMPTY_SECONDS = 20.0
_END_SECONDS = 30.0
_HELD_SECONDS = 30.0
_PLAYER = Forkable("rescind_conformance.interop.player:main", needs=("rescind.client",))
_SCALER_PLAYER = Forkable(_PLAYER.main, needs=("scaler.client.client",))


class Status(StrEnum):
    """What is said of a cell."""

    PASS = "pass"
    KNOWN = "known"
    """It departs as is expected of it."""
    FAIL = "FAIL"
    UNEXPECTED_PASS = "UNEXPECTED PASS"
    """It passes though it is listed as departing."""
    NOT_OFFERED = "-"
    """A party has no such feature."""
    NOT_BUILT = "not built"
    """A peer in another language is not there: nothing was played."""
    BROKEN = "BROKEN"
    """The system could not be started, or its player has ended: no verdict."""


BAD = (Status.FAIL, Status.UNEXPECTED_PASS, Status.BROKEN)


@dataclass(slots=True)
class Cell:
    """One scenario in one mix."""

    mix: str
    scenario: str
    status: Status
    requirement: str = ""
    text: str = ""
    reason: str = ""
    """Why it is expected."""
    seconds: float = 0.0
    records: list[TraceRecord] = field(default_factory=list)
    """What was said, if it did not pass."""
    last_words: dict[str, str] = field(default_factory=dict)
    """The ends of the programs' logs, if it was not expected."""


@dataclass(frozen=True)
class Plan:
    """What is played, and how."""

    mixes: Sequence[Mix]
    scenarios: Sequence[Scenario]
    expected: Sequence[Expected]
    large_bytes: int
    many: int = 1000
    """How many tasks are many."""
    depth: int = 6
    """How deep tasks submit tasks."""
    examples: str = ""
    """A directory of Scaler's examples; "": none."""
    jobs: int = 1
    """Mixes that are played at once."""
    peers: PeerPrograms = field(default_factory=built_peers)


class Run:
    """One run of a plan. `stop`, from another thread or a signal, ends every process of it."""

    def __init__(self, plan: Plan, on_cell: Callable[[Cell], None]) -> None:
        """`on_cell` is called with each cell that is done, by one thread at a time."""
        self._plan = plan
        self._on_cell = on_cell
        self._telling = threading.Lock()
        self._lock = threading.Lock()
        self._stopped = False
        self._open: list[_Mixed] = []

    def play(self) -> list[Cell]:
        """Play it; the cells, mix by mix. Whatever was started has ended when it returns or raises."""
        with tempfile.TemporaryDirectory(prefix="rescind-", ignore_cleanup_errors=True) as folder:
            warm = WarmStarts(Path(folder), ENVIRONMENT)
            pool = ThreadPoolExecutor(self._plan.jobs, "interop")
            try:
                # Those that take longest come first, so that none of them is played alone at the end.
                played = {
                    mix: pool.submit(self._play_mix, mix, Path(folder) / str(number), warm)
                    for number, mix in enumerate(
                        sorted(self._plan.mixes, key=lambda mix: mix.worker is not Kind.SCALER)
                    )
                }
                return [cell for mix in self._plan.mixes for cell in played[mix].result()]
            finally:
                self.stop()
                pool.shutdown(cancel_futures=True)
                warm.stop()

    def stop(self) -> None:
        """End every process; nothing more is started."""
        with self._lock:
            self._stopped = True
            mixed = list(self._open)
        for one in mixed:
            one.close()

    def _play_mix(self, mix: Mix, folder: Path, warm: WarmStarts) -> list[Cell]:
        if missing := "; ".join(filter(None, (self._plan.peers.missing(kind) for kind in sorted(mix.kinds)))):
            return [
                self._tell(Cell(mix.name, one.name, Status.NOT_BUILT, text=missing)) for one in self._plan.scenarios
            ]
        mixed = _Mixed(mix, folder, self._plan, warm)
        with self._lock:
            if self._stopped:
                return []
            self._open.append(mixed)
        cells = []
        house = Cell(mix.name, STORAGE_ROW, Status.PASS)
        try:
            for scenario in self._plan.scenarios:
                cell = mixed.play(scenario, house)
                if self._stopped:
                    return []
                cells.append(self._tell(cell))
        finally:
            mixed.close()
        if mix.ours_keep_house:
            cells.append(self._tell(house))
        return cells

    def _tell(self, cell: Cell) -> Cell:
        judged = self._judged(cell)
        with self._telling:
            self._on_cell(judged)
        return judged

    def _judged(self, cell: Cell) -> Cell:
        """The cell in the light of what is expected of it."""
        named = [one for one in self._plan.expected if one.names(cell.mix, cell.scenario)]
        fitting = next((one for one in named if one.requirement == cell.requirement), None)
        if cell.status is Status.FAIL and fitting is not None:
            cell.status, cell.reason, cell.last_words = Status.KNOWN, fitting.reason, {}
        elif cell.status is Status.PASS and named:
            cell.status, cell.requirement = Status.UNEXPECTED_PASS, named[0].requirement
            cell.text = f"it is listed as departing from {named[0].requirement}: {named[0].reason}"
        return cell


class _Mixed:
    """A mix's system and player, started when they are needed, and again after a scenario that spoiled them."""

    def __init__(self, mix: Mix, folder: Path, plan: Plan, warm: WarmStarts) -> None:
        self._mix = mix
        self._folder = folder
        self._plan = plan
        self._warm = warm
        self._number = 0
        self._system: System | None = None
        self._player: Player | None = None
        self._closing = threading.Lock()
        self._closed = False
        self._unavailable = ""

    def play(self, scenario: Scenario, house: Cell) -> Cell:
        """Play one scenario; what it has left in the storage is told in the cell `house`."""
        cell = Cell(self._mix.name, scenario.name, Status.BROKEN, text=self._unavailable)
        if self._unavailable:
            return cell
        try:
            system, player = self._ready()
            system.proxy.mark()
            verdict = player.play(self._order(scenario, system), scenario, system)
        except (SubjectUnavailable, Closed) as error:
            cell.text = self._unavailable = f"it could not be started: {error}"
            self._discard()
            return cell
        cell.requirement, cell.text, cell.seconds = verdict["requirement"], verdict["text"], verdict["seconds"]
        cell.status = {
            "pass": Status.PASS,
            "departed": Status.FAIL,
            "not offered": Status.NOT_OFFERED,
        }[verdict["verdict"]]
        if "traceback" in verdict:
            cell.last_words["client"] = verdict["traceback"]
        if cell.status in (Status.FAIL, Status.BROKEN):
            cell.records = system.proxy.recorded()
            cell.last_words |= system.last_words() | {"player": player.program.log_tail()}
        if self._mix.ours_keep_house and verdict.get("over", True) and not scenario.ends_system:
            objects = system.wait_until_empty(_EMPTY_SECONDS)
            if objects:
                _note_left(house, f"{objects} objects after {scenario.name}", system.proxy.recorded())
        if cell.status not in (Status.PASS, Status.NOT_OFFERED) or scenario.ends_system or system.dead():
            self._discard()
        return cell

    def close(self) -> None:
        """End it all, for good; may be called from another thread, and again."""
        with self._closing:
            self._closed = True
        self._discard()

    def _ready(self) -> tuple[System, Player]:
        if self._system is None:
            self._number += 1
            system = System(self._mix, self._folder / f"s{self._number}", self._plan.peers, self._warm)
            with self._closing:
                self._system = system
                closed = self._closed
            if closed:
                self._discard()
                raise Closed("the run was stopped")
            system.start()
        if self._player is None:
            log = self._folder / f"p{self._number}"
            log.mkdir(parents=True, exist_ok=True)
            player = Player(log / "log", self._warm.of(_SCALER_PLAYER if self._mix.client is Kind.SCALER else _PLAYER))
            with self._closing:
                self._player = player
                closed = self._closed
            if closed:
                self._discard()
                raise Closed("the run was stopped")
        return self._system, self._player

    def _discard(self) -> None:
        system, player, self._system, self._player = self._system, self._player, None, None
        if player is not None:
            player.close()
        if system is not None:
            system.close()

    def _order(self, scenario: Scenario, system: System) -> dict[str, Any]:
        folder = self._folder / f"f{self._number}" / scenario.name
        folder.mkdir(parents=True, exist_ok=True)
        kind, files = self._mix.client, system.own_files
        return {
            "scenario": scenario.name,
            "client": kind,
            "scheduler": self._mix.scheduler,
            "worker": self._mix.worker,
            "adapter": self._plan.peers.client_adapter(kind) if kind in PEERS else [],
            "storage": None if files is None else {"host": str(files), "port": 0, "scheme": "file"},
            "all_scaler": self._mix.all_scaler,
            "endpoint": system.endpoint,
            "folder": str(folder),
            "large_bytes": self._plan.large_bytes,
            "many": self._plan.many,
            "depth": self._plan.depth,
            "examples": self._plan.examples,
            "slots": SLOTS,
        }


class Player:
    """The process of a mix's client, from the outside."""

    def __init__(self, log: Path, warm: WarmStart) -> None:
        self.program = Program(["player"], log, piped=True, warm=warm)
        self._words: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def play(self, order: dict[str, Any], scenario: Scenario, system: System) -> dict[str, Any]:
        """Order a scenario, answer what it asks, and give its verdict."""
        step = "it begins"
        self._write(order)
        while True:
            try:
                word = self._words.get(timeout=scenario.limit)
            except queue.Empty:
                return _departed(scenario, f"no end within {scenario.limit:g} s; the last step: {step}", scenario.limit)
            if word is None:
                return _departed(scenario, f"the client's process has ended; the last step: {step}", 0.0)
            if "verdict" in word:
                return word
            if "step" in word:
                step = word["step"]
            else:
                self._write({"answer": _answer(word["ask"], system)})

    def close(self) -> None:
        """End it. May be called again."""
        self.program.stop()

    def _write(self, word: dict[str, Any]) -> None:
        try:
            self.program.stdin.write(json.dumps(word).encode() + b"\n")
            self.program.stdin.flush()
        except OSError:
            return  # it has ended, which `play` sees

    def _read(self) -> None:
        try:
            for line in self.program.stdout:
                self._words.put(json.loads(line))
        except ValueError:
            pass  # closed, or cut off
        self._words.put(None)


def _note_left(house: Cell, text: str, records: list[TraceRecord]) -> None:
    """Something stayed in the storage. What was said before is that of the first time."""
    house.status, house.requirement = Status.FAIL, STORAGE_REQUIREMENT
    house.text = f"{house.text}; {text}" if house.text else text
    house.records = house.records or records


def _departed(scenario: Scenario, text: str, seconds: float) -> dict[str, Any]:
    return {"verdict": "departed", "requirement": scenario.requirement, "text": text, "seconds": seconds, "over": False}


def _answer(ask: str, system: System) -> Any:
    """Do what a scenario asks."""
    match ask:
        case "replace worker":
            system.kill_worker()
            system.start_worker()
            return True
        case "hold cancel":
            system.proxy.hold_cancel()
            return True
        case "hold result":
            system.proxy.hold_result()
            return True
        case "wait for what is held":
            return system.proxy.is_held.wait(_HELD_SECONDS)
        case "answers to cancels":
            said = [one.message for one in system.proxy.recorded() if one.sender == "scheduler"]
            return [int(one.cancel_confirm_type) for one in said if isinstance(one, TaskCancelConfirm)]
        case "have worker leave":
            return system.have_worker_leave(_END_SECONDS)
        case "tasks as sent and as they arrived":
            records = system.proxy.recorded()
            sent = [one for one in records if isinstance(one.message, Task) and one.receiver == "scheduler"]
            arrived = [one for one in records if isinstance(one.message, Task) and one.sender == "scheduler"]
            return [[_fields(one) for one in sent], [_fields(one) for one in arrived]]
        case "objects in the storage":
            return system.objects_left() if system.mix.ours_keep_house else None
        case "wait for the end":
            return system.still_running(_END_SECONDS)
    raise ValueError(f"a scenario asks for {ask!r}")


def _fields(record: TraceRecord) -> dict[str, Any]:
    assert isinstance(record.message, Task)
    task = record.message
    return {
        "source": task.source.hex(),
        "metadata": task.metadata.hex(),
        "func_object_id": task.func_object_id.hex(),
        "function_args": [[int(one.type), one.data.hex()] for one in task.function_args],
        "capabilities": [[one.name, one.value] for one in task.capabilities],
    }
