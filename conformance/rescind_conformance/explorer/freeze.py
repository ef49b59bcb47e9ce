"""Objects as plain values that can be compared and hashed, and the numbers under which they are kept.

A walk meets the same machine in the same state millions of times. Each distinct one is kept once and has a number; that
two are the same is found by their structure, attribute by attribute, whatever they are; or, for a few types that are
met most, by what somebody says is equal for equal ones (`judge_structures`).

What is kept is a pickle, or, of objects that know how to copy themselves (`__deepcopy__`), these. Such a copy may
share with the original what neither of them will ever change. So a part that is found in a copy again, the very same
object, has the structure that it had in the original, and is not looked at a second time (`ValueFreezer`).
"""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from enum import Enum
from operator import attrgetter
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Final, TypeGuard

Frozen = Hashable
Canonical = Mapping[type, Callable[[Any], Any]]
"""For objects that differ in what does not matter: what to look at instead of their attributes."""

_SEEN: Final = "seen before"
_Freeze = Callable[[Any, Any], Frozen]
"""Of a freezer and a value. It does not refer to the freezer itself, so that this is no cycle, and goes when its walk
goes.
"""


class Freezer:
    """Turns objects into nested tuples of plain values. Not thread-safe.

    What is shared within an object stays distinguishable from equal copies, and cycles are followed once.
    `ordered`: dicts that differ only in their order are different.
    """

    def __init__(self, *, ordered: bool = True, canonical: Canonical | None = None) -> None:
        self._ordered = ordered
        self._canonical = dict(canonical or {})
        self._atoms: set[type] = {type(None), bool, int, float, str, bytes, FunctionType, BuiltinFunctionType}
        """What stands for itself."""
        self._handlers: dict[type, _Freeze] = {tuple: Freezer._freeze_all}
        self._seen: dict[int, int] = {}
        self._made: list[Any] = []

    def freeze(self, value: Any) -> Frozen:
        """The value's structure; equal for two values that no code could tell apart but by their identity."""
        self._seen = {}
        self._made = []
        return self._freeze(value)

    def _freeze(self, value: Any) -> Frozen:
        kind = type(value)
        if kind in self._atoms:
            return value  # type: ignore[no-any-return]
        handler = self._handlers.get(kind)
        if handler is None:
            if kind not in self._canonical and self._is_atom(kind):
                self._atoms.add(kind)
                return value  # type: ignore[no-any-return]
            handler = self._handlers[kind] = self._handler(kind)
        return handler(self, value)

    def _is_atom(self, kind: type) -> bool:
        return issubclass(kind, Enum | type) or _is_frozen(kind)

    def _freeze_all(self, values: Iterable[Any]) -> tuple[Frozen, ...]:
        atoms, freeze = self._atoms, self._freeze
        return tuple([value if type(value) in atoms else freeze(value) for value in values])

    def _freeze_dict(self, value: dict[Any, Any]) -> Frozen:
        keys, values = self._freeze_all(value), self._freeze_all(value.values())
        return (keys, values) if self._ordered else frozenset(zip(keys, values, strict=True))

    def _freeze_set(self, value: Iterable[Any]) -> Frozen:
        return frozenset(map(self._freeze, value))

    def _handler(self, kind: type) -> _Freeze:
        """How values of a kind are frozen; those that can change are followed once, and then referred to."""
        if kind in self._canonical:
            look = self._canonical[kind]
            return self._once(kind, lambda freezer, value: freezer._freeze(freezer._keep(look(value))))
        if issubclass(kind, frozenset):
            return Freezer._freeze_set
        if issubclass(kind, set):
            return self._once(kind, Freezer._freeze_set)
        if issubclass(kind, tuple):
            return Freezer._freeze_all
        if kind in (dict, OrderedDict):
            return self._once(kind, type(self)._freeze_dict)
        if kind in (list, deque):
            return self._once(kind, Freezer._freeze_all)
        if kind is MethodType:
            return self._once(kind, lambda freezer, method: (method.__func__, freezer._freeze(method.__self__)))
        parts = [_attributes(kind)]
        if issubclass(kind, dict):
            parts.append(type(self)._freeze_dict)
        elif issubclass(kind, list | deque):
            parts.append(Freezer._freeze_all)
        return self._part(
            kind,
            parts[0] if len(parts) == 1 else lambda freezer, value: tuple([part(freezer, value) for part in parts]),
        )

    def _part(self, kind: type, freeze: _Freeze) -> _Freeze:
        """How objects with attributes of their own are frozen."""
        return self._once(kind, freeze)

    def _once(self, kind: type, freeze: _Freeze) -> _Freeze:
        def frozen(freezer: Freezer, value: Any) -> Frozen:
            seen = freezer._seen
            number = seen.get(id(value))
            if number is not None:
                return (_SEEN, number)
            seen[id(value)] = len(seen)
            return (kind, freeze(freezer, value))

        return frozen

    def _keep(self, value: Any) -> Any:
        """What was made on the way lives until the end: `_seen` knows it by its address."""
        self._made.append(value)
        return value


def _attributes(kind: type) -> _Freeze:
    names = _slots(kind)
    at_once = attrgetter(*names) if len(names) > 1 else lambda value: [getattr(value, name) for name in names]

    def slots(freezer: Freezer, value: Any) -> Frozen:
        try:
            return freezer._freeze_all(at_once(value))
        except AttributeError:  # one of them is not set
            return freezer._freeze_all([getattr(value, name, None) for name in names])

    def everything(freezer: Freezer, value: Any) -> Frozen:
        attributes = vars(value)
        return (
            slots(freezer, value),
            freezer._freeze_all([each for item in sorted(attributes.items()) for each in item]),
        )

    return everything if kind.__dictoffset__ else slots


def _slots(kind: type) -> tuple[str, ...]:
    names: list[str] = []
    for base in reversed(kind.__mro__):
        slots = base.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else list(slots)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def _is_frozen(kind: type) -> bool:
    """Whether it is a frozen dataclass: compared by what is in it, which cannot change."""
    parameters = getattr(kind, "__dataclass_params__", None)
    return bool(parameters is not None and parameters.frozen and parameters.eq)


class ValueFreezer(Freezer):
    """For objects of which two act alike if they are equal part by part: neither the order of dicts matters, nor
    what is shared within them. There must be no cycles. Not thread-safe.
    """

    def __init__(self, structures: Mapping[type, Structure] | None = None) -> None:
        """`structures`: for some types what is equal for equal objects, found faster than attribute by attribute."""
        super().__init__(ordered=False)
        self._structures = dict(structures or {})
        self._distinct: dict[Frozen, object] = {}
        """For each distinct part, an object that is equal to nothing else."""
        self._kept: dict[int, tuple[Any, object]] = {}
        """Parts that will not change any more, by their address, at which they are held; and what stands for them."""
        self._fresh: list[tuple[Any, object]] = []

    def freeze(self, value: Any) -> Frozen:
        self._fresh = []
        return self._freeze(value)

    def keep(self) -> None:
        """What was frozen last will not change any more."""
        for part in self._fresh:
            self._kept[id(part[0])] = part

    def parts(self, values: Mapping[Any, Any]) -> Frozen:
        """For a `Structure`: of a dict whose keys are plain, and whose values are parts: what copies share."""
        kept, stands_for = self._kept, self.stands_for
        return frozenset(
            [(key, kept[id(each)][1] if id(each) in kept else stands_for(each)) for key, each in values.items()]
        )

    def stands_for(self, part: Any) -> object:
        """For a `Structure`: an object that stands for all parts that are equal to this one."""
        known = self._kept.get(id(part))
        if known is not None:
            return known[1]
        kind = type(part)
        if kind is tuple:
            structure: Frozen = tuple([self.stands_for(each) for each in part])
        elif kind in self._structures:
            structure = (kind, self._structures[kind](self, part))
        else:
            structure = self._freeze(part)
        stands_for = self._distinct.get(structure)
        if stands_for is None:
            stands_for = self._distinct[structure] = object()
        self._fresh.append((part, stands_for))
        return stands_for

    def _freeze_dict(self, value: dict[Any, Any]) -> Frozen:
        if not value:
            return ()
        atoms, freeze = self._atoms, self._freeze
        return frozenset(
            [
                (key if type(key) in atoms else freeze(key), each if type(each) in atoms else freeze(each))
                for key, each in value.items()
            ]
        )

    def _once(self, kind: type, freeze: _Freeze) -> _Freeze:
        return lambda freezer, value: (kind, freeze(freezer, value))

    def _handler(self, kind: type) -> _Freeze:
        structure = self._structures.get(kind)
        if structure is not None:
            return lambda freezer, value: (kind, structure(freezer, value))
        return super()._handler(kind)


Structure = Callable[[ValueFreezer, Any], Frozen]


class Cells:
    """Keeps one copy of each distinct object, under a number. Not thread-safe."""

    def __init__(self, freezer: Freezer) -> None:
        self._freezer = freezer
        self._numbers: dict[Frozen, int] = {}
        self._kept: list[bytes | list[Any] | tuple[Any]] = []
        self._spare: dict[int, Any] = {}
        """Copies that were given away, and not taken back since; to make them anew takes longer. So whoever gives one
        away must not go on using anything in it that can change.
        """

    def __len__(self) -> int:
        return len(self._kept)

    def intern(self, value: Any) -> int:
        """The number of `value`, which the caller gives away. Equal numbers mean equal structures."""
        frozen = self._freezer.freeze(value)
        number = self._numbers.get(frozen)
        if number is None:
            number = self._numbers[frozen] = len(self._kept)
            self._kept.append(self._keep(value))
        if type(self._kept[number]) is bytes:
            self._spare[number] = value
        return number

    def thaw(self, number: int) -> Any:
        """A copy of the object under `number`, for the caller to change."""
        kept = self._kept[number]
        if isinstance(kept, bytes):
            spare = self._spare.pop(number, None)
            return pickle.loads(kept) if spare is None else spare
        return [each.__deepcopy__({}) for each in kept] if type(kept) is list else copy.deepcopy(kept[0])

    def _keep(self, value: Any) -> bytes | list[Any] | tuple[Any]:
        if isinstance(self._freezer, ValueFreezer) and _copy_themselves(value):
            self._freezer.keep()
            return value
        try:
            return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, AttributeError, TypeError):
            return (value,)  # its class is not found by its name: made in a function, say


def _copy_themselves(value: Any) -> TypeGuard[list[Any]]:
    """Whether these are objects that say themselves what a copy of them shares with them."""
    return type(value) is list and bool(value) and all(hasattr(each, "__deepcopy__") for each in value)
