"""What is equal for two judges of a scheduler that judge alike: all that they know, found fast.

Which entries of the books are shared with other copies does not matter, nor in which order they came, nor the names of
tasks, which all judges of a system share.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

from rescind_conformance.explorer.freeze import Frozen, Structure, ValueFreezer
from rescind_conformance.judge.scheduler import SchedulerJudge
from rescind_conformance.judge.scheduler_books import Books
from rescind_conformance.judge.scheduler_dues import Dues
from rescind_conformance.judge.scheduler_entries import GraphBook, PeerBook, TaskBook


def _all_but(names: Collection[str], *others: str) -> Callable[[Any], tuple[Any, ...]]:
    """The values of these attributes but of the others, which are treated on their own."""
    assert {*others} <= {*names}
    return attrgetter(*(name for name in names if name not in others))


def _names(kind: type) -> list[str]:
    return [each.name for each in fields(kind)]


_of_peer: Final = _all_but(_names(PeerBook))
_of_task: Final = _all_but(_names(TaskBook), "message", "terminal", "spared", "tempting")
_of_graph: Final = _all_but(_names(GraphBook), "message", "open", "results")
_of_books: Final = _all_but(
    _names(Books),
    *("peers", "tasks", "graphs", "dropped", "dues", "waiting", "lost", "ended", "may_have_died"),
    *("own_peers", "own_tasks"),
)
_of_judge: Final = _all_but(sorted(vars(SchedulerJudge())), "_books", "_found", "_names")


def _peer(freezer: ValueFreezer, peer: PeerBook) -> Frozen:
    return _of_peer(peer)


def _task(freezer: ValueFreezer, task: TaskBook) -> Frozen:
    stands_for = freezer.stands_for
    messages = (stands_for(task.message), stands_for(task.terminal), stands_for(task.spared))
    return _of_task(task), messages, frozenset(task.tempting.items())


def _graph(freezer: ValueFreezer, graph: GraphBook) -> Frozen:
    message = freezer.stands_for(graph.message)
    return _of_graph(graph), message, frozenset(graph.open), frozenset(graph.results.items())


def _dues(freezer: ValueFreezer, dues: Dues) -> Frozen:
    return freezer.parts(dues.by_task)


def _books(freezer: ValueFreezer, books: Books) -> Frozen:
    books.settle()
    return (
        _of_books(books),
        freezer.parts(books.peers),
        freezer.parts(books.tasks),
        freezer.parts(books.graphs),
        _dues(freezer, books.dues),
        frozenset(books.dropped.items()),
        frozenset(books.waiting),
        frozenset(books.lost),
        tuple(books.ended),
        tuple(books.may_have_died),
    )


def _judge(freezer: ValueFreezer, judge: SchedulerJudge) -> Frozen:
    return _of_judge(judge), _books(freezer, judge._books), tuple(judge._found)


STRUCTURES: Final[Mapping[type, Structure]] = {
    SchedulerJudge: _judge,
    Books: _books,
    PeerBook: _peer,
    TaskBook: _task,
    GraphBook: _graph,
    Dues: _dues,
}
