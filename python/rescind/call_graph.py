"""The graph that `Client.get` is given: checked, and without what none of its keys needs (C13.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """A node that is run: the function, and the names of the nodes that are its arguments."""

    function: Callable[..., Any]
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CallGraph:
    """What the keys need: nodes that are run, and nodes that are values, each by its name."""

    calls: dict[str, Call]
    data: dict[str, Any]

    def arguments(self) -> list[str]:
        """The names of the values that a call has as an argument, each once."""
        names = dict.fromkeys(name for call in self.calls.values() for name in call.arguments)
        return [name for name in names if name in self.data]


def plan(graph: Mapping[str, Any], keys: Sequence[str]) -> CallGraph:
    """The part of the graph that `keys` need, as far as it is reached from them.

    Raises `KeyError` for a key or an argument that the graph does not have and for a key that is there twice,
    `TypeError` for an argument that is no string, `graphlib.CycleError` for a cycle.
    """
    if repeated := [key for key, times in Counter(keys).items() if times > 1]:
        raise KeyError(f"each key may be asked for once, not {repeated}")
    found = CallGraph({}, {})
    wanted = dict.fromkeys(reversed(keys), "is asked for")
    while wanted:
        name, why = wanted.popitem()
        if name not in graph:
            raise KeyError(f"{name!r} {why}, and is not in the graph")
        node = graph[name]
        if not (isinstance(node, tuple) and node and callable(node[0])):
            found.data[name] = node
            continue
        for argument in node[1:]:
            if not isinstance(argument, str):
                raise TypeError(
                    f"{argument!r} is an argument of {name!r}, and no name: give the value a name in the graph"
                )
            if argument not in found.calls and argument not in found.data and argument != name:
                wanted.setdefault(argument, f"is an argument of {name!r}")
        found.calls[name] = Call(node[0], node[1:])
    sorter = TopologicalSorter(
        {name: [each for each in call.arguments if each in found.calls] for name, call in found.calls.items()}
    )
    sorter.prepare()
    return found
