"""At how many workers a task can run at once: safety across parties, told at the scheduler.

Two statements are about several parties at one moment: no task runs at two workers (unless the scheduler has declared
one of them lost), and none runs when its owner has been told `canceled` (nor unless the grace of a shutdown is over).
Whether such a moment is ever *reached* depends on the order of steps that do not know of each other, and so on which
of many equivalent orders a walk takes. Whether it *can be* reached does not: it can, unless one step is known to come
before the other. So the explorer asks for knowledge instead. A message of a worker travels with the truth that its
receiver cannot see, whether what it says of the task is so (`Item.honest`); and then

1. a worker starts only what it has been assigned, and has not given back since;
2. what it says last about a task is honest: the task was assigned, and what ran it has ended;
3. its good-bye is honest: nothing runs any more;
4. the scheduler assigns a task only when it has had an honest last word of everyone to whom it assigned it before,
   or has declared them lost; and so it does before it tells the owner `canceled`, unless the grace is over.

From 1 to 3 follows that whoever runs a task has it in *custody*: it was assigned there, and no honest last word was
sent; from 4 that then nobody else has, and that no owner was told `canceled`. Each of the four is checked in a step of
one party, by what that party knows, and so in every equivalent order alike. (A break of one of them is reported even
where, by the luck of the scenario, the second run never begins.) A test compares this with the states themselves.
"""

from __future__ import annotations

from typing import NamedTuple


class Custody(NamedTuple):
    """The task was assigned to this life of a worker so often more than honest last words about it have come."""

    task: bytes
    peer: int
    life: int
    times: int


Custodies = tuple[Custody, ...]


def assign(known: Custodies, task: bytes, peer: int, life: int) -> Custodies:
    """The scheduler has sent the Task."""
    before = _count(known, task, peer, life)
    return tuple(sorted((*_without(known, task, peer, life), Custody(task, peer, life, before + 1))))


def give_back(known: Custodies, task: bytes, peer: int, life: int) -> Custodies:
    """An honest last word has come."""
    before = _count(known, task, peer, life)
    others = _without(known, task, peer, life)
    return tuple(sorted((*others, Custody(task, peer, life, before - 1)))) if before > 1 else others


def lose(known: Custodies, peer: int, life: int) -> Custodies:
    """The worker is declared lost, or has said an honest good-bye."""
    return tuple(each for each in known if (each.peer, each.life) != (peer, life))


def keepers(known: Custodies, task: bytes) -> list[tuple[int, int]]:
    """The workers, and the lives of theirs, that may run the task."""
    return [(each.peer, each.life) for each in known if each.task == task]


def _count(known: Custodies, task: bytes, peer: int, life: int) -> int:
    return sum(each.times for each in known if (each.task, each.peer, each.life) == (task, peer, life))


def _without(known: Custodies, task: bytes, peer: int, life: int) -> Custodies:
    return tuple(each for each in known if (each.task, each.peer, each.life) != (task, peer, life))
