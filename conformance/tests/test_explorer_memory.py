"""What the explorer remembers, held against a walk that computes every step anew."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from dataclasses import fields, replace
from typing import Any

import pytest

from rescind.messages import GraphTask, Task, TaskCancel, TaskCancelConfirm
from rescind_conformance.explorer import payload_store
from rescind_conformance.explorer.cast import Bench, JudgeMemo
from rescind_conformance.explorer.freeze import Cells, Freezer, ValueFreezer
from rescind_conformance.explorer.judge_structures import STRUCTURES
from rescind_conformance.explorer.numbers import Numbers
from rescind_conformance.explorer.packed import FIRST, Layout, State
from rescind_conformance.explorer.scenarios import SCENARIOS
from rescind_conformance.explorer.scheduler_party import SchedulerParty, SchedulerTurn, Turned
from rescind_conformance.explorer.steps import Item
from rescind_conformance.explorer.system import System
from rescind_conformance.explorer.walk import Limits, walk
from rescind_conformance.judge.scheduler import SchedulerJudge
from rescind_conformance.judge.scheduler_books import CANCELED, Books
from rescind_conformance.judge.scheduler_dues import Due, Dues
from rescind_conformance.judge.scheduler_entries import GraphBook, PeerBook, TaskBook

UNJUDGED = Bench()
STATES = 3_000
"""So many are compared."""
Step = tuple[int, State]


class _Forgetful(dict[Any, Any]):
    """Remembers nothing."""

    def __setitem__(self, key: Hashable, value: object) -> None:
        pass


def forgetful(scenario: str, judges: Bench | None) -> System:
    """A system whose scheduler takes each turn anew, and whose judges share nothing."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(JudgeMemo, "__init__", _forgetful_judges)
        system = System(SCENARIOS[scenario], judges=judges)
    system.scheduler._turned = _Forgetful()
    system.scheduler.machines._known = _Forgetful()
    return system


def _forgetful_judges(memo: JudgeMemo) -> None:
    memo.cells = Cells(Freezer(ordered=False))
    memo.records = Numbers()
    memo._known, memo._rests = _Forgetful(), {}
    memo.nobody = memo.intern(())


def plain_steps(system: System, state: State) -> list[Step]:
    """What can happen next, from the machines alone."""
    steps: list[Step] = []
    for position in range(FIRST, len(state)):
        moves = system.configurations.moves(state[position])
        for label, leads_to, actions, _ in moves.must if state[2] else moves.must + moves.may:
            after = (*state[:position], leads_to, *state[position + 1 :])
            steps.append((label, _stored(system, after, system._actions[actions])))
    local = system.scheduler_states[state[0]]
    for step in [] if state[2] else system.scheduler.choices(local):
        turned = system.scheduler.act(local, step)
        if turned is not None:
            steps.append((system.labels.of(step), _reacted(system, state, turned)))
    for position in range(FIRST, len(state)):
        for number, left in system.configurations.moves(state[position]).offers:
            taking = system.configurations.takings[number]
            after = (*state[:position], left, *state[position + 1 :])
            label = system.labels.of(system._taking_step(taking))
            steps.append((label, _reacted(system, after, system.scheduler.take(local, taking))))
    return steps


def _reacted(system: System, state: State, turned: Turned) -> State:
    batches: dict[int, list[tuple[int, Item]]] = {}
    for peer, life, item in turned.effects.sends:
        batches.setdefault(peer, []).append((life, item))
    after = list(state)
    after[0] = system.scheduler_states.of(system.scheduler.judge(system.scheduler_states[state[0]], turned)[0])
    for peer, batch in batches.items():
        number = system.configurations.batches.of(tuple(batch))
        after[FIRST + peer] = system.configurations.append(after[FIRST + peer], number)
    return _stored(system, tuple(after), turned.effects.store)


def _stored(system: System, state: State, actions: Any) -> State:
    store = system.stores[state[1]]
    for action in actions:
        store = payload_store.act(store, action)[0]
    return (state[0], system.stores.of(store), *state[2:])


def compared(scenario: str, judges: Bench | None) -> tuple[list[State], list[State]]:
    """The states that a walk visits, and those that it should."""
    visited: list[State] = []
    walk(
        System(SCENARIOS[scenario], judges=judges), reduction=False, limits=Limits(states=STATES), visit=visited.append
    )
    system = forgetful(scenario, judges)
    known = dict.fromkeys([system.initial])
    waiting = [system.initial]
    for state in waiting:
        following = [after for _, after in plain_steps(system, state)]
        if system.is_at_rest(state) and (goes_on := system.rest(state).goes_on) is not None:
            following.append(goes_on.state)
        waiting += [after for after in dict.fromkeys(following) if after not in known]
        known.update(dict.fromkeys(following))
        if len(waiting) > STATES:
            break
    count = min(len(visited), len(waiting), STATES)
    return visited[:count], waiting[:count]


judged_or_not = pytest.mark.parametrize("judges", [None, UNJUDGED], ids=["judged", "unjudged"])


@judged_or_not
@pytest.mark.parametrize("name", ["contested-id", "three-callers", "closing-losses", "client-leaves", "graph-fails"])
def test_what_is_remembered_is_what_would_be_computed(name: str, judges: Bench | None) -> None:
    """Number by number: both give the same number to what they see first."""
    visited, expected = compared(name, judges)
    assert len(visited) > 500
    assert visited == expected


def test_a_turn_that_is_remembered_without_its_surroundings_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = SchedulerParty._turn

    def careless(party: SchedulerParty, local: Any, what: Hashable, take: Any) -> Any:
        known = party._turned.get((local.machine, what))  # type: ignore[arg-type]
        if known is None:
            known = turn(party, local, what, take)
            party._turned[local.machine, what] = known  # type: ignore[index]
        return known

    monkeypatch.setattr(SchedulerParty, "_turn", careless)
    visited, expected = compared("closing-losses", None)
    assert visited != expected


def test_a_judge_that_changes_what_it_shares_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(books: Books, task_id: bytes) -> Any:
        return books.tasks.get(task_id)

    visited, expected = compared("three-callers", None)
    monkeypatch.setattr(Books, "task", careless)
    careless_walk, still_expected = compared("three-callers", None)
    assert careless_walk != visited
    assert still_expected == expected


def attributes_of(value: Any) -> list[str]:
    return list(vars(value)) if hasattr(value, "__dict__") else [each.name for each in fields(value)]


def changed(value: Any) -> Any:
    """Something else of the same type."""
    match value:
        case dict():
            return {**value, b"other": _ADDED.get(type(next(iter(value.values()), None)))}
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return value + "x"
        case bytes():
            return value + b"x"
        case list():
            return [*value, b"x"]
        case tuple():
            return (*value, "x")
        case None:
            return TaskCancelConfirm(b"T1", CANCELED)
        case Task() | GraphTask():
            return replace(value, task_id=b"other")
        case Books():
            other = value.copy()
            other.closing = not value.closing
            return other
        case Dues():
            return Dues({b"T2": (Due("C2", TaskCancel(b"T2"), "S1.1"),)})
        case _:
            raise AssertionError(value)


_ADDED: dict[type, Any] = {
    PeerBook: PeerBook(),
    TaskBook: TaskBook("C1", Task(b"other")),
    GraphBook: GraphBook("C1", GraphTask(b"other")),
    type(None): None,
    str: "",
    tuple: (),
}
_NOT_LOOKED_AT = {"_names", "own_peers", "own_tasks"}
"""Names are shared; what the books own is what no other judge shares."""
_LIKE_NOTHING = {"failed": 1, "asked_force": True}
"""What is None, and no message otherwise."""


def filled() -> SchedulerJudge:
    """A judge that has something in its books."""
    judge = SchedulerJudge({b"T1": "T1"})
    books = judge._books
    books.peers["C1"] = PeerBook("client")
    books.tasks[b"T1"] = TaskBook("C1", Task(b"T1"), tempting={("C1", ("TaskCancel", True)): "S1.1"})
    books.graphs[b"G1"] = GraphBook("C1", GraphTask(b"G1"), open={b"T1": None}, results={b"T1": (b"r",)})
    books.dues.add(Due("C1", TaskCancelConfirm(b"T1", CANCELED), "S1.1"))
    return judge


PARTS: dict[str, Callable[[SchedulerJudge], Any]] = {
    "judge": lambda judge: judge,
    "books": lambda judge: judge._books,
    "peer": lambda judge: judge._books.peers["C1"],
    "task": lambda judge: judge._books.tasks[b"T1"],
    "graph": lambda judge: judge._books.graphs[b"G1"],
}


@pytest.mark.parametrize("part", PARTS)
def test_a_judge_is_told_by_each_of_its_attributes(part: str) -> None:
    """Whatever else is equal, and also if what it was copied from is remembered."""
    freezer = ValueFreezer(STRUCTURES)
    before = freezer.freeze([filled()])
    assert freezer.freeze([filled()]) == before
    for name in attributes_of(PARTS[part](filled())):
        other = filled()
        value = getattr(PARTS[part](other), name)
        setattr(PARTS[part](other), name, _LIKE_NOTHING[name] if name in _LIKE_NOTHING else changed(value))
        assert (freezer.freeze([other]) != before) is (name not in _NOT_LOOKED_AT), name


def test_parts_that_stay_are_looked_at_once_and_others_again() -> None:
    freezer = ValueFreezer(STRUCTURES)
    judge = filled()
    before = freezer.freeze([judge])
    freezer.keep()
    copied = copy.deepcopy(judge)
    assert freezer.freeze([copied]) == before
    copied._books.held(b"T1").losses += 1
    assert freezer.freeze([copied]) != before
    copied._books.held(b"T1").losses -= 1
    copied._books.dues.excuse(copied._books.dues.by_task[b"T1"][0])
    assert freezer.freeze([copied]) != before
    assert freezer.freeze([judge]) == before


def test_the_order_in_which_entries_came_does_not_matter() -> None:
    freezer, one, other = ValueFreezer(STRUCTURES), filled(), filled()
    for judge, names in ((one, "AB"), (other, "BA")):
        judge._books.peers |= {name: PeerBook(name) for name in names}
    assert freezer.freeze([one]) == freezer.freeze([other])
    other._books.peers["A"], other._books.peers["B"] = other._books.peers["B"], other._books.peers["A"]
    assert freezer.freeze([one]) != freezer.freeze([other])


def test_states_are_packed_and_unpacked() -> None:
    layout = Layout(3)
    state = (70_000, 9, 1, 2**20 - 1, 0, 2**20 - 2)
    assert layout.unpack(layout.pack(state)) == state


def test_a_packed_state_says_to_whom_something_is_on_its_way() -> None:
    """The reduction looks at these bits alone."""
    system = System(SCENARIOS["three-callers"])
    known = system.configurations.known
    seen: set[int] = set()
    frontier = [system.pack(system.initial)]
    for packed in frontier:
        for _, adds, _ in system.ahead(packed, False)[0]:
            state = system.unpack(packed + adds)
            assert system.pack(state) == packed + adds
            waiting = [peer for peer, number in enumerate(state[FIRST:]) if known[number].down]
            first = system._first_waiting[packed + adds & system._layout.waiting]
            assert first == (system._layout.peers[waiting[0]] if waiting else 0)
            if packed + adds not in seen and len(seen) < STATES:
                seen.add(packed + adds)
                frontier.append(packed + adds)
    assert len(seen) > 500


def test_there_is_room_for_so_many_numbers_only() -> None:
    numbers: Numbers[str] = Numbers(["a"], most=2)
    assert [numbers.of("b"), numbers.of("a")] == [1, 0]
    with pytest.raises(OverflowError, match="no room for more than 2"):
        numbers.of("c")


def test_a_turn_knows_no_judges() -> None:
    """Or it could not be remembered for all of them."""
    assert not hasattr(SchedulerTurn, "judge")
    assert "judge" not in SchedulerTurn.__init__.__code__.co_names
