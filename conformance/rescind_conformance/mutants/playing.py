"""Plays the suite against mutants, several at once, and notes which cases catch each."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from rescind_conformance.adapter_subjects import shipped_adapter
from rescind_conformance.case import Case, all_cases
from rescind_conformance.findings import Conversation
from rescind_conformance.mutants.catalogue import Mutant
from rescind_conformance.mutants.faulty_copy import Copy, faulty_copy
from rescind_conformance.places import Interrupted
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.recording import Recorder
from rescind_conformance.runner import play_case
from rescind_conformance.subjects import ReferenceScheduler, Subject
from rescind_conformance.verdicts import AtFault, CaseResult

DEADLINE = 4.0
"""Seconds after which what has not come is taken as missing. Mutants hang often, so that this is shorter than the
suite's own; whether it is long enough is seen on the reference itself (`Findings.unsound`)."""


class Outcome(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    """A case of a requirement that it breaks has found a departure from that."""
    ELSEWHERE = "killed elsewhere"
    """It was caught, but by a case of another requirement, or as a departure from another one."""
    SURVIVED = "survived"
    CRASHED = "crashed"
    """It did not start, or not for every case: that says nothing of the suite."""
    HARNESS_ERROR = "harness error"
    """A case could not be played to its end, and no other has found a departure."""


@dataclass(frozen=True, slots=True)
class Played:
    """What one case found of one mutant."""

    case: str
    declared: tuple[str, ...]
    departed: tuple[str, ...]
    """The requirements that it found broken, sorted."""
    harness_error: str
    """Why the case could not be played, in a line; "" if it could."""
    seconds: float


@dataclass(slots=True)
class MutantResult:
    """What was found of one mutant."""

    mutant: Mutant
    played: list[Played] = field(default_factory=list)
    crash: str = ""
    """Why it did not start."""
    seconds: float = 0.0

    @property
    def killers(self) -> list[Played]:
        """The cases of its requirements that have found it to break just these; one that failed itself says nothing."""
        own = set(self.mutant.breaks)
        return [one for one in self.played if own & set(one.declared) & set(one.departed) and not one.harness_error]

    @property
    def outcome(self) -> Outcome:
        """What became of it."""
        if self.killers:
            return Outcome.KILLED
        if self.crash:
            return Outcome.CRASHED
        if any(one.departed and not one.harness_error for one in self.played):
            return Outcome.ELSEWHERE
        return Outcome.HARNESS_ERROR if any(one.harness_error for one in self.played) else Outcome.SURVIVED


@dataclass(frozen=True, slots=True)
class Findings:
    """The result of a run."""

    results: Sequence[MutantResult]
    """In the order of the catalogue."""
    unsound: Sequence[tuple[str, Played]]
    """By role, cases that count as killers and depart from the sound reference, too: nothing can be said."""
    seconds: float


class NotImported(RuntimeError):
    """The processes of the subject did not import what was changed: another copy of the package was in the way."""


@dataclass(frozen=True, slots=True)
class _Game:
    """Cases to be played one after the other against one subject."""

    role: str
    result: MutantResult | None
    """None: the sound reference plays, and its departures go to `unsound`."""
    cases: Sequence[Case]
    to_the_end: bool


def run_mutants(
    mutants: Sequence[Mutant],
    *,
    full: bool = False,
    jobs: int = 1,
    deadline: float = DEADLINE,
    on_result: Callable[[MutantResult], None] = lambda _: None,
) -> Findings:
    """Play each mutant with the cases that are to catch it.

    Where none does, others of the requirements that it breaks are played until one does, and then all others
    of its role until one finds anything at all. With `full` all cases of its role are played.

    Where something was waited for in vain the deadline may have been too short: each such case, and one at
    least, is then played against an unchanged copy of the reference. `on_result` is told of each mutant, one
    call at a time.

    Ends everything that was started, also when it is interrupted. Raises `EditDoesNotApply`, `NotImported`,
    and `SubjectUnavailable` when the reference itself does not start.
    """
    began = time.monotonic()
    cases = {role: all_cases(role) for role in dict.fromkeys(mutant.role for mutant in mutants)}
    results = [MutantResult(mutant) for mutant in mutants]
    games = []
    for result in results:
        of_role = cases[result.mutant.role]
        games.append(_Game(result.mutant.role, result, of_role if full else _order(result.mutant, of_role), full))
    _Players(jobs, deadline, on_result).play(games)
    controls = []
    for role, of_role in cases.items():
        kills = [one for result in results if result.mutant.role == role for one in result.killers]
        doubtful = {one.case for number, one in enumerate(kills) if number == 0 or one.seconds >= deadline}
        played = [case for case in of_role if case.name in doubtful]
        controls += [_Game(role, None, played[part::jobs], True) for part in range(min(jobs, len(played)))]
    control = _Players(jobs, deadline, on_result)
    control.play(controls)
    return Findings(results, control.unsound, time.monotonic() - began)


def _order(mutant: Mutant, cases: Sequence[Case]) -> list[Case]:
    """The cases that are to catch it come first, then the others of its requirements."""
    own = set(mutant.breaks)
    return sorted(cases, key=lambda case: (case.name not in mutant.cases, own.isdisjoint(case.requirements)))


class _Players:
    """Threads that take game after game from one queue."""

    def __init__(self, jobs: int, deadline: float, on_result: Callable[[MutantResult], None]) -> None:
        self._jobs = jobs
        self._deadline = deadline
        self._on_result = on_result
        self._queue: deque[_Game] = deque()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ended = threading.Semaphore(0)
        """Counts the players that have ended."""
        self._error: BaseException | None = None
        self.unsound: list[tuple[str, Played]] = []

    def play(self, games: Iterable[_Game]) -> None:
        """Play them all. Raises what a player raised first."""
        self._queue.extend(games)
        players = [threading.Thread(target=self._job) for _ in range(min(self._jobs, len(self._queue)))]
        try:
            for player in players:
                player.start()  # within: a signal may come before the last has begun
            # Not by joining them: Python 3.11 takes a thread for ended if a signal's exception comes out of `join`.
            for _ in players:
                while not self._ended.acquire(timeout=0.2):  # in pieces, so that a signal is handled
                    pass
        finally:
            self._stop.set()
            for player in players:
                if player.ident is not None:
                    player.join()
        if self._error is not None:
            raise self._error

    def _job(self) -> None:
        try:
            recorder = Recorder()
            try:
                conversation = Conversation(recorder.context, self._deadline, self._stop)
                while (game := self._take()) is not None:
                    self._play(game, conversation, recorder)
            finally:
                recorder.context.destroy(linger=0)
        except Interrupted:
            pass
        except BaseException as error:
            self._error = self._error or error
            self._stop.set()
        finally:
            self._ended.release()

    def _take(self) -> _Game | None:
        with self._lock:
            return self._queue.popleft() if self._queue and not self._stop.is_set() else None

    def _play(self, game: _Game, conversation: Conversation, recorder: Recorder) -> None:
        began = time.monotonic()
        with faulty_copy(game.result.mutant if game.result is not None else None) as copy:
            try:
                self._play_cases(game, copy, conversation, recorder)
                if not copy.was_imported:
                    names = ", ".join(path.name for path in copy.changed)
                    raise NotImported(f"no process of the {game.role} under test has imported {names} of {copy}")
            except SubjectUnavailable as error:
                if game.result is None:
                    raise
                game.result.crash = str(error)
        if game.result is not None:
            game.result.seconds = time.monotonic() - began
            with self._lock:
                self._on_result(game.result)

    def _play_cases(self, game: _Game, copy: Copy, conversation: Conversation, recorder: Recorder) -> None:
        with _open(game.role, copy) as subject:
            for number, case in enumerate(game.cases):
                # Started ahead only where it will be needed for certain.
                upcoming = game.cases[number + 1 :] if game.to_the_end else ()
                found = play_case(conversation, recorder, subject, case, upcoming)
                departed = tuple(sorted(found.departed))
                played = Played(case.name, case.requirements, departed, _reason(found), found.seconds)
                if game.result is None:
                    if played.departed or played.harness_error:
                        with self._lock:
                            self.unsound.append((game.role, played))
                    continue
                game.result.played.append(played)
                following = game.cases[number + 1 : number + 2]
                if not game.to_the_end and _enough(game.result, following):
                    return


def _enough(result: MutantResult, following: Sequence[Case]) -> bool:
    """Whether no more need be played: the cases that are to catch it are over, and it is killed; or it is caught, and
    those of its requirements are over.
    """
    if any(case.name in result.mutant.cases for case in following):
        return False
    own_to_come = any(not set(result.mutant.breaks).isdisjoint(case.requirements) for case in following)
    return result.outcome is Outcome.KILLED or (result.outcome is Outcome.ELSEWHERE and not own_to_come)


def _reason(found: CaseResult) -> str:
    """What a harness error comes to: an adapter's fault begins with it, a traceback ends with it."""
    lines = (found.harness_error or "").strip().splitlines() or [""]
    return lines[0] if found.at_fault is AtFault.ADAPTER else lines[-1]


def _open(role: str, copy: Copy) -> Subject:
    if role == "scheduler":
        return ReferenceScheduler(copy.environment)
    return shipped_adapter(role, "reference", copy.environment)
