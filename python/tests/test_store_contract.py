"""What every object store does, whatever it is made of: the embedded one, and Scaler's object storage server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from scaler_system import StorageServer, storage_server

from rescind.messages import ObjectStorageAddress
from rescind.payloads import argument_object_id
from rescind.scaler_store import ScalerStore
from rescind.store import ObjectMissing, ObjectStore, SqliteStore, open_store

OWNER, OTHER = b"Client|a|1", b"Client|b|2"

MakeStore = Callable[[], ObjectStore]


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    with storage_server() as started:
        yield started


def embedded(path: Path, _: StorageServer) -> ObjectStore:
    return SqliteStore(path / "objects.sqlite")


def scalers(_: Path, server: StorageServer) -> ObjectStore:
    return ScalerStore(server.address, arrival_seconds=0.01)


@pytest.fixture(params=[embedded, scalers])
def make(request: pytest.FixtureRequest, tmp_path: Path, server: StorageServer) -> Iterator[MakeStore]:
    """Opens the same store once more; nothing is in it."""
    made: list[ObjectStore] = []

    def open_another() -> ObjectStore:
        made.append(request.param(tmp_path, server))
        return made[-1]

    yield open_another
    for each in made[1:]:
        each.close()
    if made:
        for owner in (OWNER, OTHER):
            made[0].release_owner(owner)
        assert made[0].count() == 0
        made[0].close()


@pytest.fixture
def store(make: MakeStore) -> ObjectStore:
    return make()


def test_an_object_is_kept_until_deleted(store: ObjectStore) -> None:
    one, two, never = (argument_object_id(OWNER) for _ in range(3))
    store.put(OWNER, one, b"one")
    store.put(OWNER, two, b"")
    assert (store.get(one), store.get(two), store.count()) == (b"one", b"", 2)
    store.delete(OWNER, [one, never])
    with pytest.raises(ObjectMissing, match="released"):
        store.get(one)
    assert store.count() == 1


def test_putting_twice_keeps_one_the_later(store: ObjectStore) -> None:
    object_id = argument_object_id(OWNER)
    store.put(OWNER, object_id, b"first run")
    store.put(OWNER, object_id, b"second run")
    assert (store.get(object_id), store.count()) == (b"second run", 1)


def test_what_one_opens_another_sees(make: MakeStore) -> None:
    object_id = argument_object_id(OWNER)
    store, elsewhere = make(), make()
    store.put(OWNER, object_id, b"x")
    assert elsewhere.get(object_id) == b"x"
    elsewhere.delete(None, [object_id])
    assert store.count() == 0


def test_no_owner_touches_another_owners_objects(store: ObjectStore) -> None:
    object_id = argument_object_id(OWNER)
    store.put(OWNER, object_id, b"one")
    store.delete(OTHER, [object_id])
    store.release_owner(OTHER)
    assert store.get(object_id) == b"one"
    store.delete(None, [object_id])
    assert store.count() == 0


def test_release_removes_all_and_refuses_what_comes_later(store: ObjectStore) -> None:
    for _ in range(10):
        store.put(OWNER, argument_object_id(OWNER), b"x")
    kept = argument_object_id(OTHER)
    store.put(OTHER, kept, b"x")
    store.release_owner(OWNER)
    store.put(OWNER, argument_object_id(OWNER), b"x")
    assert (store.count(), store.get(kept)) == (1, b"x")
    store.release_owner(OWNER)


def test_release_against_puts_from_threads_leaves_nothing(store: ObjectStore) -> None:
    released = threading.Event()

    def put_many() -> int:
        number = 0
        while number < 20 or not released.is_set():
            store.put(OWNER, argument_object_id(OWNER), b"x" * 100)
            number += 1
        return number

    with ThreadPoolExecutor(4) as threads:
        puts = [threads.submit(put_many) for _ in range(4)]
        try:
            while store.count() < 20:
                pass
            store.release_owner(OWNER)
        finally:
            released.set()
        assert all(put.result() >= 20 for put in puts)
    assert store.count() == 0


def test_threads_read_and_write_large_and_small_objects_at_once(store: ObjectStore) -> None:
    def put_and_get(size: int) -> bool:
        object_id = argument_object_id(OWNER)
        data = size.to_bytes(8, "little") + bytes(size)
        store.put(OWNER, object_id, data)
        return store.get(object_id) == data

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(put_and_get, [10_000_000, *range(100), 20_000_000, *range(100)]))


def test_many_objects_are_deleted_in_one_call(store: ObjectStore) -> None:
    ids = [argument_object_id(OWNER) for _ in range(2500)]
    for each in ids[:50]:
        store.put(OWNER, each, b"x")
    store.delete(OWNER, ids)
    assert store.count() == 0


def test_an_id_of_another_length_is_no_object(store: ObjectStore) -> None:
    store.delete(None, [b"", b"short"])
    with pytest.raises(ObjectMissing):
        store.get(b"short")


def test_a_closed_store_says_so(make: MakeStore) -> None:
    _, store = make(), make()
    store.close()
    store.close()
    with pytest.raises(ValueError, match="closed"):
        store.count()


def test_it_is_opened_by_its_address(tmp_path: Path, server: StorageServer) -> None:
    SqliteStore(tmp_path / "objects").close()
    for address in (ObjectStorageAddress(str(tmp_path / "objects"), 0, "sqlite"), server.address):
        store = open_store(address)
        assert store.count() == 0
        store.close()
