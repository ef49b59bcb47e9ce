"""Payloads for workers that do not trust their clients: reading one imports and calls nothing but what is allowed.

A pickle is a program, and `pickle.Unpickler.find_class` alone does not confine it: what may be named may also be
called with any arguments, have its state set, or be filled like a list. So this reader knows only the operations
that plain values need, applies them to plain values only, and calls nothing but the constructors below. Allowed
callables can be named; they are run as the task's function, and by nothing in a payload.
"""

from __future__ import annotations

import functools
import importlib
import io
import operator
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, FunctionType
from typing import Any

EVERYTHING = "*"
_ENTRY = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<name>\*|[^\W\d]\w*(\.[^\W\d]\w*)*)")
_CONSTRUCTORS = {
    ("builtins", "complex"),
    ("builtins", "range"),
    ("builtins", "slice"),
    ("collections", "OrderedDict"),
    ("datetime", "date"),
    ("datetime", "datetime"),
    ("datetime", "time"),
    ("datetime", "timedelta"),
    ("datetime", "timezone"),
    ("decimal", "Decimal"),
}
"""What payloads may call. None of them makes much of little, as Fraction("1e999999999") would, or calls what it is
given."""
_RUN_CHUNK = "rescind.chunk:run_chunk"
"""What `Client.map` has called: it calls what it is given, which can only be allowed or one of the above."""
_BY_VALUE = "cloudpickle"


class NotAllowed(pickle.UnpicklingError):
    """The worker reads only plain values, and runs only what its operator allows; the text names what is neither."""


class AllowList:
    """The callables that a worker runs. Immutable, and thread-safe."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Each of `entries` is `MODULE:NAME`, or `MODULE:*` for what MODULE itself defines and does not hide by `_`.

        A name may have dots, as that of a static method. The modules are imported. Raises `ValueError` for an entry
        that is none, or that names what cannot be imported or be called.
        """
        self.entries = tuple(dict.fromkeys(entries))
        """As they were given."""
        self._names: dict[tuple[str, str], Any] = {}
        self._modules: set[str] = set()
        for entry in (*self.entries, _RUN_CHUNK):
            match = _ENTRY.fullmatch(entry)
            if match is None or "__" in match["name"]:
                raise ValueError(f"{entry!r} cannot be allowed: give MODULE:NAME, as in math:sqrt, or MODULE:*")
            module, name = match["module"], match["name"]
            try:
                found = importlib.import_module(module)
                if name == EVERYTHING:
                    self._modules.add(module)
                else:
                    self._names[module, name] = operator.attrgetter(name)(found)
            except (ImportError, AttributeError) as error:
                raise ValueError(f"{entry} cannot be allowed: {error}") from error
            if name != EVERYTHING and not callable(self._names[module, name]):
                raise ValueError(f"{entry} cannot be allowed: it is no function and no class")

    def load(self, data: bytes) -> Any:
        """A plain value; in it, allowed callables may be named. Raises `NotAllowed`, and what is wrong with `data`."""
        return _Reader(data, self).load()

    def load_function(self, data: bytes) -> Callable[..., Any]:
        """An allowed callable, or a `functools.partial` of one. Raises as `load` does."""
        value = self.load(data)
        if not self.allows(value.func if type(value) is functools.partial else value):
            raise NotAllowed(f"a task's function is what its worker allows, and not {type(value).__name__}")
        function: Callable[..., Any] = value
        return function

    def allows(self, value: Any) -> bool:
        """Whether it is one of the allowed callables."""
        if any(value is each for each in self._names.values()):
            return True
        module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
        return isinstance(module, str) and isinstance(name, str) and self._in_module(module, name) is value

    def find(self, module: str, name: str) -> Any:
        """The allowed callable of that name. Raises `NotAllowed`."""
        if (module, name) in self._names:
            return self._names[module, name]
        found = self._in_module(module, name)
        if found is not None:
            return found
        if module.partition(".")[0] == _BY_VALUE:
            raise NotAllowed(
                "the function travels with its code, as what is defined in __main__ or in another function does: this "
                "worker runs only what its operator allows by name, from modules that are installed there"
            )
        raise NotAllowed(
            f"{module}:{name} is not allowed by this worker; its operator can do so: "
            f"`rescind worker --allow {module}:{name}`"
        )

    def _in_module(self, module: str, name: str) -> Any:
        """What an allowed module itself defines under a plain name; None if there is nothing."""
        if module not in self._modules or name.startswith("_") or "." in name:
            return None
        found = getattr(importlib.import_module(module), name, None)
        if not isinstance(found, FunctionType | BuiltinFunctionType | type):
            return None
        # What the module has imported from elsewhere is not what its name promises.
        return found if (found.__module__, found.__qualname__) == (module, name) else None


class _Operations(dict[int, Callable[[Any], None]]):
    def __missing__(self, operation: int) -> Callable[[Any], None]:
        raise NotAllowed(
            "this worker reads plain values only: numbers, text, bytes, lists, tuples, dicts, sets, dates, and what it "
            f"allows by name; the payload has something else (operation {bytes([operation])!r})"
        )


class _Reader(pickle._Unpickler):
    """Reads what protocols 4 and 5 write for plain values; the interpreter's own, but for what could do harm."""

    # The interpreter's class has no types for these.
    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, data: bytes, allowed: AllowList) -> None:
        super().__init__(io.BytesIO(data))
        self._allowed = allowed
        self._constructors: list[Any] = [functools.partial]
        """Those that the payload has named."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("functools", "partial"):
            return functools.partial
        if (module, name) in _CONSTRUCTORS:
            found = getattr(importlib.import_module(module), name)
            self._constructors.append(found)
            return found
        return self._allowed.find(module, name)

    def _reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack[-1]
        if not any(function is each for each in self._constructors) or type(arguments) is not tuple:
            what = getattr(function, "__qualname__", type(function).__name__)
            raise NotAllowed(f"a payload must not call what it names: {what}")
        if function is functools.partial:
            self._check_partial(arguments[0] if arguments else None)
        self.stack[-1] = function(*arguments)

    def _build(self) -> None:
        """Set the state of a partial, which is pickled so; nothing else may be changed."""
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is not functools.partial or type(state) is not tuple or len(state) != 4:
            raise NotAllowed(f"a payload must not change the state of an object: {type(target).__name__}")
        function, arguments, keywords, attributes = state
        self._check_partial(function)
        if type(arguments) is not tuple or type(keywords) not in (dict, type(None)) or attributes:
            raise NotAllowed("a payload has a functools.partial that is none")
        target.__setstate__((function, arguments, keywords, None))  # type: ignore[attr-defined]

    def _check_partial(self, function: Any) -> None:
        if not self._allowed.allows(function):
            raise NotAllowed(f"a functools.partial must be of what is allowed, and not of a {type(function).__name__}")

    def _append(self) -> None:
        value = self.stack.pop()
        self._target(list).append(value)

    def _extend(self) -> None:
        values = self.pop_mark()
        self._target(list).extend(values)

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._target(dict)[key] = value

    def _set_items(self) -> None:
        items = self.pop_mark()
        self._target(dict).update(zip(items[::2], items[1::2], strict=True))

    def _add_items(self) -> None:
        items = self.pop_mark()
        self._target(set).update(items)

    def _bytearray(self) -> None:
        # The interpreter's own reserves the whole before it looks whether it is there.
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    def _target(self, kind: type) -> Any:
        target = self.stack[-1]
        if type(target) is not kind and not (kind is dict and type(target) is OrderedDict):
            raise NotAllowed(f"a payload must not change what is no {kind.__name__}: {type(target).__name__}")
        return target

    dispatch = _Operations(
        {
            operation[0]: pickle._Unpickler.dispatch[operation[0]]
            for operation in (
                *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE),
                *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.LONG4, pickle.BINFLOAT),
                *(pickle.SHORT_BINUNICODE, pickle.BINUNICODE, pickle.BINUNICODE8),
                *(pickle.SHORT_BINBYTES, pickle.BINBYTES, pickle.BINBYTES8),
                *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
                *(pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.EMPTY_SET, pickle.FROZENSET),
                *(pickle.MEMOIZE, pickle.BINGET, pickle.LONG_BINGET, pickle.BINPUT, pickle.LONG_BINPUT),
                *(pickle.STACK_GLOBAL,),
            )
        }
        | {
            pickle.REDUCE[0]: _reduce,
            pickle.BUILD[0]: _build,
            pickle.APPEND[0]: _append,
            pickle.APPENDS[0]: _extend,
            pickle.SETITEM[0]: _set_item,
            pickle.SETITEMS[0]: _set_items,
            pickle.ADDITEMS[0]: _add_items,
            pickle.BYTEARRAY8[0]: _bytearray,
        }
    )
