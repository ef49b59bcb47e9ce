"""The embedded object store, where it differs from the other (`test_store_contract`), and what payloads are."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rescind.messages import ObjectStorageAddress
from rescind.payloads import (
    RemoteError,
    RemoteTraceback,
    argument_object_id,
    dump,
    dump_exception,
    function_object_id,
    load,
    result_object_id,
)
from rescind.store import (
    ObjectStore,
    ObjectTooLarge,
    SqliteStore,
    StorageNotFound,
    StoreGone,
    UnsupportedStorage,
    open_store,
)

OWNER, OTHER = b"Client|a|1", b"Client|b|2"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "objects.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(path)
    yield made
    made.close()


def test_no_owner_touches_another_owners_objects(store: ObjectStore) -> None:
    store.put(OWNER, b"1", b"one")
    store.put(OTHER, b"1", b"mine now")
    store.delete(OTHER, [b"1"])
    store.release_owner(OTHER)
    assert store.get(b"1") == b"one"


def test_release_removes_all_and_refuses_what_comes_later(store: ObjectStore, path: Path) -> None:
    for number in range(10):
        store.put(OWNER, b"%d" % number, b"x")
    store.put(OTHER, b"kept", b"x")
    store.release_owner(OWNER)
    store.put(OWNER, b"late", b"x")
    elsewhere = SqliteStore(path, create=False)
    elsewhere.put(OWNER, b"later", b"x")
    elsewhere.close()
    assert (store.count(), store.get(b"kept")) == (1, b"x")
    store.release_owner(OWNER)


def test_processes_share_it(store: ObjectStore, path: Path) -> None:
    script = (
        "import sys; sys.path[:] = eval(sys.argv[2])\n"
        "from rescind.store import SqliteStore\n"
        "store = SqliteStore(sys.argv[1], create=False)\n"
        "for n in range(50): store.put(b'o', b'%s-%d' % (sys.argv[3].encode(), n), b'x')\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", script, path, repr(sys.path), name]) for name in "abc"]
    assert [process.wait(20) for process in started] == [0, 0, 0]
    assert store.count() == 150


def test_a_forked_process_has_a_connection_of_its_own(store: ObjectStore) -> None:
    store.put(OWNER, b"parent", b"x")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            store.put(OWNER, b"child", store.get(b"parent"))
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    store.put(OWNER, b"parent again", b"y")
    assert (store.get(b"child"), store.count()) == (b"x", 3)


def test_too_large_an_object_is_refused_with_the_limit(store: SqliteStore) -> None:
    store._largest = 1000
    with pytest.raises(ObjectTooLarge, match=r"1,001 bytes.*up to 1,000"):
        store.put(OWNER, b"1", b"x" * 1001)
    assert store.count() == 0


def test_open_store_by_address(store: ObjectStore, path: Path, tmp_path: Path) -> None:
    store.put(OWNER, b"1", b"one")
    opened = open_store(ObjectStorageAddress(host=str(path), scheme="sqlite"))
    assert opened.get(b"1") == b"one"
    opened.close()
    with pytest.raises(UnsupportedStorage, match=r"'wss'.*supported are 'sqlite'"):
        open_store(ObjectStorageAddress("10.0.0.1", 1234, "wss"))
    with pytest.raises(StorageNotFound, match="one machine"):
        open_store(ObjectStorageAddress(host=str(tmp_path / "elsewhere"), scheme="sqlite"))
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "garbage").write_bytes(b"no database" * 1000)
    with pytest.raises(StorageNotFound, match="not a database"):
        SqliteStore(tmp_path / "garbage")


def test_object_ids() -> None:
    ids = [
        function_object_id(OWNER, b"f"),
        function_object_id(OWNER, b"g"),
        argument_object_id(OWNER),
        argument_object_id(OWNER),
        result_object_id(OWNER),
        result_object_id(OWNER),
    ]
    assert {len(each) for each in ids} == {32}
    assert len({each[:16] for each in ids}) == 1
    assert len({each[16:] for each in ids}) == len(ids)
    assert function_object_id(OWNER, b"f") == ids[0] != function_object_id(OTHER, b"f")


def raised(error: BaseException) -> BaseException:
    def deep() -> None:
        raise error

    try:
        deep()
    except BaseException as caught:
        return caught
    raise AssertionError


def test_values_travel() -> None:
    offset = 3
    assert load(dump(lambda n: n + offset))(4) == 7


def test_an_exception_travels_with_its_traceback() -> None:
    error = raised(KeyError("lost"))
    error.add_note("a note")
    again = load(dump_exception(error))
    assert (type(again), again.args) == (KeyError, ("lost",))
    assert isinstance(again.__cause__, RemoteTraceback)
    assert "in deep" in str(again.__cause__)
    assert "a note" in str(again.__cause__)


class NeedsTwo(Exception):
    """Cannot be made again from its `args`."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


class HoldsALock(Exception):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


class Silent(Exception):
    """Cannot even be described."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __reduce__(self) -> Any:
        raise RuntimeError("no")


class GivesSomethingElse(Exception):
    """Comes back as no exception at all."""

    def __reduce__(self) -> Any:
        return int, ("7",)


@pytest.mark.parametrize("error", [NeedsTwo("a", "b"), HoldsALock(), Silent(), GivesSomethingElse("x")])
def test_an_exception_that_cannot_travel_becomes_a_remote_error(error: Exception) -> None:
    again = load(dump_exception(raised(error)))
    assert type(again) is RemoteError
    assert "in deep" in again.remote_traceback
    assert "in deep" in str(again.__cause__)
    if not isinstance(error, Silent):
        assert str(again) == repr(error)
    assert type(load(dump(again))) is RemoteError


def test_a_store_that_was_removed_is_not_made_again(tmp_path: Path) -> None:
    """S10.3: its scheduler has gone; a thread that opens it for the first time says so, and leaves no file."""
    path = tmp_path / "objects.sqlite"
    made = SqliteStore(path)
    path.unlink()
    with ThreadPoolExecutor(1) as another, pytest.raises(StoreGone, match="has gone with its scheduler"):
        another.submit(made.put, b"C1", b"id", b"data").result()
    made.put(b"C1", b"id", b"data")  # what is open stays open
    assert made.get(b"id") == b"data"
    made.close()
    assert not path.exists()
