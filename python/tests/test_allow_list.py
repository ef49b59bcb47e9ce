"""What a worker with an allow-list reads and runs, and that payloads run nothing there, however they are made."""

from __future__ import annotations

import builtins
import datetime
import functools
import itertools
import math
import os
import pickle
import random
import sys
import uuid
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import allowed_work
import cloudpickle
import pytest
from allowed_work import Shelf, double
from cluster import running_cluster
from typer.testing import CliRunner

from rescind import Client
from rescind.allow_list import AllowList, NotAllowed
from rescind.chunk import run_chunk
from rescind.cli import app
from rescind.payloads import dump

HANG = 20.0
ALLOWED = AllowList(["allowed_work:double", "allowed_work:Shelf", "allowed_work:Shelf.count", "math:sqrt"])
WHOLE_MODULE = AllowList(["allowed_work:*"])


@pytest.fixture(autouse=True)
def _nothing_happens() -> Any:
    """No test here may have any effect on what payloads can name."""
    allowed_work.settings.clear()
    before = {name: vars(allowed_work)[name] for name in vars(allowed_work)}
    state = (double.__defaults__, double.__code__, dict(double.__dict__), dict(vars(Shelf)))
    yield
    assert allowed_work.settings == []
    assert {name: vars(allowed_work)[name] for name in vars(allowed_work)} == before
    assert (double.__defaults__, double.__code__, dict(double.__dict__), dict(vars(Shelf))) == state


# What is read


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, -1, 255, 256, 65536, 2**31, -(2**63), 2**70, 10**400, 1.5, math.inf, 2 + 3j),
        *("", "text", "é" * 300, "x" * 70_000, b"", b"bytes", b"x" * 300, bytearray(b"array")),
        *((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1], [[2], {}], {}, {"a": 1}, {1: (2, [3])}),
        *(set(), {1, 2}, frozenset({3}), range(5), slice(1, 2), OrderedDict(a=1, b=[2]), Decimal("1.5")),
        *(datetime.date(2026, 1, 2), datetime.timedelta(3, 4), datetime.time(5, 6)),
        *(datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), datetime.datetime(2026, 1, 2)),
        *(double, [double, {"by": math.sqrt}], Shelf, Shelf.count),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_plain_values_are_read_as_they_were_written(value: Any) -> None:
    read = ALLOWED.load(dump(value))
    assert read == value
    assert type(read) is type(value)
    if not isinstance(value, bytearray):  # which protocol 4 has no operation for
        assert ALLOWED.load(pickle.dumps(value, protocol=4)) == value


def test_shared_and_recursive_values_keep_their_shape() -> None:
    shared = [1]
    first, second = ALLOWED.load(dump([shared, shared]))
    assert first is second
    endless: list[Any] = []
    endless.append(endless)
    read = ALLOWED.load(dump(endless))
    assert read[0] is read


@pytest.mark.parametrize(
    "function",
    [double, math.sqrt, Shelf, Shelf.count, functools.partial(double, 3), functools.partial(double, factor=5)],
)
def test_allowed_functions_and_partials_of_them_are_functions(function: Callable[..., Any]) -> None:
    read = ALLOWED.load_function(dump(function))
    if isinstance(function, functools.partial):
        assert isinstance(read, functools.partial)
        assert (read.func, read.args, read.keywords) == (function.func, function.args, function.keywords)
    else:
        assert read is function


def test_calls_by_the_chunk_are_functions() -> None:
    read = ALLOWED.load_function(dump(functools.partial(run_chunk, double)))
    assert read([(1,), (2,)]) == [2, 4]
    with pytest.raises(NotAllowed, match="builtins:eval is not allowed"):
        ALLOWED.load_function(dump(functools.partial(run_chunk, eval)))


def test_a_whole_module_is_what_it_defines_itself() -> None:
    assert WHOLE_MODULE.load_function(dump(double)) is double
    for module, name in (
        ("allowed_work", "run"),
        ("allowed_work", "where"),
        ("allowed_work", "_hidden"),
        ("allowed_work", "VERSION"),
        ("allowed_work", "settings"),
        ("allowed_work", "Any"),
        ("allowed_work", "imported"),
        ("allowed_work", "double_by_another_name"),
        ("allowed_work", "Shelf.count"),
        ("allowed_work", "__builtins__"),
        ("allowed_work", "__loader__"),
        ("subprocess", "run"),
    ):
        with pytest.raises(NotAllowed):
            WHOLE_MODULE.load_function(named(module, name))


# What is refused


def text(value: str) -> bytes:
    return pickle.SHORT_BINUNICODE + bytes([len(value)]) + value.encode()


def name_of(module: str, name: str) -> bytes:
    return text(module) + text(name) + pickle.STACK_GLOBAL


def named(module: str, name: str) -> bytes:
    """A payload that names something."""
    return pickle.PROTO + b"\x05" + name_of(module, name) + pickle.STOP


def payload(*operations: bytes) -> bytes:
    return pickle.PROTO + b"\x05" + b"".join(operations) + pickle.STOP


DOUBLE, SHELF = name_of("allowed_work", "double"), name_of("allowed_work", "Shelf")
PARTIAL = name_of("functools", "partial")
ONE = pickle.BININT1 + b"\x01"
PARTIAL_OF_DOUBLE = PARTIAL + DOUBLE + pickle.TUPLE1 + pickle.REDUCE


class Reduces:
    """Pickles to a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def in_another_scope() -> Callable[[], int]:
    return lambda: 1


cloudpickle.register_pickle_by_value(sys.modules[__name__])

ATTACKS: dict[str, bytes] = {
    "os.system": pickle.dumps(Reduces(os.system, "exit 1")),
    "eval": pickle.dumps(Reduces(eval, "1")),
    "exec": pickle.dumps(Reduces(exec, "1")),
    "getattr": pickle.dumps(Reduces(getattr, double, "__globals__")),
    "import": pickle.dumps(Reduces(builtins.__import__, "antigravity")),
    "a name as a function": named("os", "system"),
    "an attribute of an allowed function": named("allowed_work", "double.__globals__"),
    "an attribute of an allowed class": named("allowed_work", "Shelf.__init__"),
    "a way through an allowed class": named("allowed_work", "Shelf.__init__.__globals__"),
    "a module that an allowed one imports": named("allowed_work", "run"),
    "a neighbour": named("allowed_work", "_hidden"),
    "an instance": pickle.dumps(Reduces(Shelf, 1)),
    "an instance by its protocol": payload(SHELF, pickle.EMPTY_TUPLE, pickle.NEWOBJ),
    "an instance by its protocol with keywords": payload(
        SHELF, pickle.EMPTY_TUPLE, pickle.EMPTY_DICT, pickle.NEWOBJ_EX
    ),
    "an instance by object": payload(pickle.MARK, SHELF, pickle.OBJ),
    "an instance by the old operation": payload(pickle.MARK, ONE, b"iallowed_work\nShelf\n"),
    "the state of an allowed class": payload(SHELF, pickle.EMPTY_DICT, text("a"), ONE, pickle.SETITEM, pickle.BUILD),
    "the slots of an allowed function": payload(
        DOUBLE,
        pickle.NONE,
        pickle.EMPTY_DICT,
        text("__defaults__"),
        ONE,
        pickle.TUPLE1,
        pickle.SETITEM,
        pickle.TUPLE2,
        pickle.BUILD,
    ),
    "the attributes of an allowed function": payload(
        DOUBLE, pickle.EMPTY_DICT, text("a"), ONE, pickle.SETITEM, pickle.BUILD
    ),
    "a call of an allowed function": payload(DOUBLE, ONE, pickle.TUPLE1, pickle.REDUCE),
    "a call of a partial": payload(PARTIAL_OF_DOUBLE, ONE, pickle.TUPLE1, pickle.REDUCE),
    "a partial of something else": payload(PARTIAL, name_of("builtins", "range"), pickle.TUPLE1, pickle.REDUCE),
    "a partial of a partial": payload(PARTIAL, PARTIAL, pickle.TUPLE1, pickle.REDUCE),
    "a partial of nothing": payload(PARTIAL, pickle.EMPTY_TUPLE, pickle.REDUCE),
    "a partial of itself": payload(
        PARTIAL_OF_DOUBLE,
        pickle.MEMOIZE,
        pickle.MARK,
        pickle.BINGET + b"\x00",
        pickle.EMPTY_TUPLE,
        pickle.NONE,
        pickle.NONE,
        pickle.TUPLE,
        pickle.BUILD,
    ),
    "a partial with another function": payload(
        PARTIAL_OF_DOUBLE,
        pickle.MARK,
        name_of("builtins", "range"),
        pickle.EMPTY_TUPLE,
        pickle.NONE,
        pickle.NONE,
        pickle.TUPLE,
        pickle.BUILD,
    ),
    "a partial with attributes": payload(
        PARTIAL_OF_DOUBLE,
        pickle.MARK,
        DOUBLE,
        pickle.EMPTY_TUPLE,
        pickle.NONE,
        pickle.EMPTY_DICT,
        text("a"),
        ONE,
        pickle.SETITEM,
        pickle.TUPLE,
        pickle.BUILD,
    ),
    "the state of partial itself": payload(
        PARTIAL, pickle.MARK, DOUBLE, pickle.EMPTY_TUPLE, pickle.NONE, pickle.NONE, pickle.TUPLE, pickle.BUILD
    ),
    "append to a class": payload(SHELF, ONE, pickle.APPEND),
    "extend a class": payload(SHELF, pickle.MARK, ONE, pickle.APPENDS),
    "set an item of a class": payload(SHELF, ONE, ONE, pickle.SETITEM),
    "set items of a class": payload(SHELF, pickle.MARK, ONE, ONE, pickle.SETITEMS),
    "add to a class": payload(SHELF, pickle.MARK, ONE, pickle.ADDITEMS),
    "append to a bytearray": payload(pickle.BYTEARRAY8, bytes(8), ONE, pickle.APPEND),
    "a persistent id": payload(ONE, pickle.BINPERSID),
    "a persistent id as text": payload(b"P1\n"),
    "an extension": payload(pickle.EXT1 + b"\x01"),
    "a buffer from elsewhere": payload(pickle.NEXT_BUFFER),
    "a function by the old operation": payload(b"callowed_work\ndouble\n"),
    "a function with its code": cloudpickle.dumps(in_another_scope()),
    "a method of a value": pickle.dumps("x".join),
    "a fraction": pickle.dumps(Fraction(1, 3)),
    "a constructor of what is large": pickle.dumps(Reduces(bytearray, 10**12)),
    "an object of the library": pickle.dumps(uuid.UUID(int=1)),
    "a path": pickle.dumps(Path("/")),
    "an error": pickle.dumps(ValueError("x")),
    "a bytearray that is not there": payload(pickle.BYTEARRAY8, (1 << 62).to_bytes(8, "little")),
    "a module that is no text": payload(ONE, text("x"), pickle.STACK_GLOBAL),
    "nothing": b"",
    "a stack that is empty": payload(pickle.REDUCE),
    "an argument that is no tuple": payload(name_of("builtins", "range"), pickle.EMPTY_LIST, pickle.REDUCE),
}


@pytest.mark.parametrize("which", ATTACKS)
@pytest.mark.parametrize("allowed", [ALLOWED, WHOLE_MODULE], ids=["names", "module"])
def test_a_payload_runs_and_changes_nothing(which: str, allowed: AllowList) -> None:
    modules = set(sys.modules)
    for load in (allowed.load, allowed.load_function):
        with pytest.raises((pickle.UnpicklingError, IndexError, EOFError)):
            load(ATTACKS[which])
    assert set(sys.modules) == modules, "nothing is imported"


@pytest.mark.parametrize("value", [1, "double", [double], range, print, None, functools.partial])
def test_what_is_no_allowed_function_is_not_run(value: Any) -> None:
    with pytest.raises(NotAllowed):
        ALLOWED.load_function(dump(value))


def test_whatever_bytes_come_nothing_happens() -> None:
    """Random changes of payloads, and random operations: each is read or raises, and changes nothing."""
    draw = random.Random(1)
    seeds = [*ATTACKS.values(), dump([double, {1: (2.5, "x")}, functools.partial(double, factor=2)])]
    operations = [
        *(DOUBLE, SHELF, PARTIAL, PARTIAL_OF_DOUBLE, ONE, text("__code__")),
        *(bytes([each]) for each in itertools.chain(range(40, 150), range(150, 152))),
    ]
    read = 0
    for _ in range(20_000):
        if draw.random() < 0.5:
            data = bytearray(draw.choice(seeds))
            for _ in range(draw.randint(1, 4)):
                if data:
                    data[draw.randrange(len(data))] = draw.randrange(256)
        else:
            data = bytearray(payload(*draw.choices(operations, k=draw.randint(1, 12))))
        try:
            ALLOWED.load(bytes(data))
            read += 1
        except Exception:
            continue
    assert read > 100, "some are read"


# What may be allowed


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("double", "give MODULE:NAME"),
        ("allowed_work.double", "give MODULE:NAME"),
        ("allowed_work:", "give MODULE:NAME"),
        ("allowed_work:dou*", "give MODULE:NAME"),
        ("allowed_work:double.__globals__", "give MODULE:NAME"),
        ("allowed_work:nothing", "has no attribute 'nothing'"),
        ("no_such_module:x", "No module named 'no_such_module'"),
        ("allowed_work:VERSION", "it is no function and no class"),
    ],
)
def test_entries_that_cannot_be_are_told(entry: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("*", r"\*")):
        AllowList([entry])


def test_the_command_says_which_entry_is_wrong() -> None:
    run = CliRunner().invoke(app, ["worker", "--allow", "math:sqr"])
    assert run.exit_code == 2
    assert "math:sqr cannot be allowed" in run.output


def test_a_worker_with_an_allow_list_runs_that_and_nothing_else(tmp_path: Path) -> None:
    with (
        running_cluster(tmp_path, "--processes", "1", "--allow", "math:hypot", "--allow", "builtins:pow") as cluster,
        Client(cluster.endpoint) as client,
    ):
        assert client.submit(math.hypot, 3, 4).result(HANG) == 5
        assert client.submit(pow, 2, exp=5, mod=7).result(HANG) == 4
        assert list(client.map(math.hypot, [3, 6], [4, 8], chunksize=2)) == [5, 10]
        marker = tmp_path / "marker"
        with pytest.raises(NotAllowed, match="posix:system is not allowed by this worker") as caught:
            client.submit(os.system, f"touch {marker}").result(HANG)
        assert "rescind worker --allow posix:system" in str(caught.value)
        with pytest.raises(NotAllowed):
            client.submit(math.hypot, Reduces(os.system, f"touch {marker}")).result(HANG)  # type: ignore[arg-type]
        with pytest.raises(NotAllowed, match="travels with its code"):
            client.submit(in_another_scope()).result(HANG)
        assert client.get({"a": 3, "b": 4, "c": (math.hypot, "a", "b"), "d": (pow, "c", "c")}, ["d"]) == {"d": 3125}
        assert not marker.exists()
