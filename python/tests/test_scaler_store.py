"""Payloads in Scaler's object storage server: what goes wrong, whose they are, and that Scaler reads them."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cloudpickle
import pytest
from scaler.client.serializer.default import DefaultSerializer
from scaler.client.serializer.mixins import Serializer
from scaler.io.utility import deserialize
from scaler.protocol.capnp import ObjectInstruction, ObjectMetadata
from scaler.utility.exceptions import TaskExceptionNotSerializableError
from scaler.utility.identifiers import ClientID, ObjectID
from scaler.utility.serialization import deserialize_failure, serialize_failure
from scaler_system import StorageServer, storage_server

from rescind import store, wire
from rescind.messages import ObjectInstruction as OurInstruction
from rescind.messages import ObjectStorageAddress
from rescind.object_ledger import ObjectLedger
from rescind.payload_keeper import ScalerPayloads
from rescind.payloads import argument_object_id, load, result_object_id
from rescind.peer_options import parse_storage_address
from rescind.scaler_connection import StorageConnection
from rescind.scaler_payloads import (
    AnnouncedStore,
    Instruction,
    ScalerFormat,
    Word,
    deleted,
    read_instruction,
    serializer_object,
    serializer_object_id,
    write_instruction,
)
from rescind.scaler_store import ScalerStore
from rescind.store import ObjectMissing, StorageNotFound, StoreFailed, UnsupportedStorage, open_store

OWNER, OTHER = b"Client|a|1", b"Client|b|2"
HANG = 20.0
"""Seconds; only bounds how long a failing test takes."""


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    with storage_server() as started:
        yield started


@pytest.fixture
def payloads(server: StorageServer) -> Iterator[ScalerStore]:
    made = ScalerStore(server.address, arrival_seconds=0.01)
    yield made
    for owner in (OWNER, OTHER):
        made.release_owner(owner)
    assert made.count() == 0
    made.close()


# When something is not there


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = ObjectStorageAddress("127.0.0.1", taken.getsockname()[1], "tcp")
        with pytest.raises(StorageNotFound, match=r"nobody listens at tcp://127.*scaler_object_storage_server tcp://"):
            open_store(address)
    with pytest.raises(StorageNotFound, match="nobody listens at ipc:///nowhere"):
        open_store(ObjectStorageAddress("/nowhere", 0, "ipc"))


def test_somebody_else_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr("rescind.scaler_connection._CONNECT_SECONDS", 0.1)
        with pytest.raises(StorageNotFound, match="does not answer as Scaler's object storage server"):
            open_store(ObjectStorageAddress("127.0.0.1", listener.getsockname()[1], "tcp"))


def test_the_package_is_missing(server: StorageServer) -> None:
    script = (
        "import sys; sys.path[:] = eval(sys.argv[1]); sys.modules['scaler.io.ymq'] = None\n"
        "from rescind.messages import ObjectStorageAddress\n"
        "from rescind.store import UnsupportedStorage, open_store\n"
        "try: open_store(ObjectStorageAddress('127.0.0.1', int(sys.argv[2]), 'tcp'))\n"
        "except UnsupportedStorage as error: print(error)\n"
    )
    arguments = [sys.executable, "-c", script, repr(sys.path), str(server.port)]
    said = subprocess.run(arguments, capture_output=True, text=True, timeout=HANG, check=True).stdout
    assert "pip install 'rescind[opengris-scaler]'" in said


def test_the_connection_drops_and_is_made_again() -> None:
    with storage_server() as first:
        kept = ScalerStore(first.address, arrival_seconds=HANG)
        kept.put(OWNER, argument_object_id(OWNER), b"x")
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(kept.get, argument_object_id(OWNER))
            while first.pending() == 0:
                pass
            first.program.stop()
            with pytest.raises(StoreFailed, match="connection is closed by remote end"):
                waiting.result(HANG)
        with pytest.raises(StoreFailed, match="nobody listens"):
            kept.count()
        with storage_server(first.port):
            assert kept.count() == 0
            kept.close()


def test_a_server_that_is_stuck_is_given_up(server: StorageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rescind.scaler_connection._CONNECT_SECONDS", 0.2)
    stuck = ScalerStore(server.address, patience=0.2, arrival_seconds=0.1)
    server.program.pause()
    try:
        for call in (stuck.count, lambda: stuck.get(bytes(32)), lambda: stuck.delete(None, [bytes(32)])):
            with pytest.raises(StoreFailed, match=r"no answer within 0\.2 s|does not answer as"):
                call()
    finally:
        server.program.go_on()
        stuck.close()


def test_an_object_that_does_not_come_is_missing_and_nobody_waits_for_ever(payloads: ScalerStore) -> None:
    late = argument_object_id(OWNER)
    for _ in range(3):
        with pytest.raises(ObjectMissing):
            payloads.get(late)
    assert not payloads._connection._waiting
    # What comes after all is not taken for the answer to another question.
    payloads.put(OWNER, late, b"late")
    other = argument_object_id(OWNER)
    payloads.put(OWNER, other, b"other")
    assert (payloads.get(other), payloads.get(late)) == (b"other", b"late")


def test_an_object_may_still_be_on_its_way(server: StorageServer) -> None:
    """Scaler's client submits a task when its arguments are sent, not when they are stored."""
    reader, writer = ScalerStore(server.address, arrival_seconds=HANG), ScalerStore(server.address)
    object_id = argument_object_id(OWNER)
    with ThreadPoolExecutor(1) as threads:
        before = server.pending()
        read = threads.submit(reader.get, object_id)
        while server.pending() == before:
            pass
        assert reader.count() == 0  # others are not held up
        writer.put(OWNER, object_id, b"at last")
        assert read.result(HANG) == b"at last"
    writer.release_owner(OWNER)
    reader.close()
    writer.close()


def test_a_forked_process_makes_a_connection_of_its_own(payloads: ScalerStore) -> None:
    object_id = argument_object_id(OWNER)
    payloads.put(OWNER, object_id, b"x")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if payloads.get(object_id) == b"x" else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert payloads.get(object_id) == b"x"


@pytest.mark.parametrize("forks", [False, True])
def test_an_interpreter_ends_although_a_store_is_open(server: StorageServer, forks: bool) -> None:
    script = (
        "import os, sys; sys.path[:] = eval(sys.argv[1])\n"
        "from rescind.peer_options import parse_storage_address\n"
        "from rescind.store import open_store\n"
        "store = open_store(parse_storage_address(sys.argv[2]))\n"
        "child = eval(sys.argv[3]) and os.fork()\n"
        "if child: assert os.waitpid(child, 0)[1] == 0\n"
        "print(store.count(), flush=True)\n"
    )
    arguments = [sys.executable, "-c", script, repr(sys.path), server.url, repr(forks)]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=HANG, check=True)
    assert ended.stdout == ("0\n0\n" if forks else "0\n")
    # In a process that was forked while Scaler's thread was at work, Scaler may warn that it waited for it.
    assert forks or ended.stderr == ""


def test_no_connection_is_made_when_the_interpreter_has_closed_them(server: StorageServer) -> None:
    """It would not come, and end the process with an abort."""
    script = (
        "import atexit, sys; sys.path[:] = eval(sys.argv[1])\n"
        "from rescind.peer_options import parse_storage_address\n"
        "from rescind.store import StoreFailed, open_store\n"
        "@atexit.register\n"  # before the store registers its end, and so run after it
        "def ask_late():\n"
        "    try: store.count()\n"
        "    except StoreFailed as error: print(error)\n"
        "store = open_store(parse_storage_address(sys.argv[2]))\n"
    )
    arguments = [sys.executable, "-c", script, repr(sys.path), server.url]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=HANG, check=False)
    said = f"no connection to {server.url}: the interpreter exits\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, said, "")


def test_an_id_that_is_not_the_owners_is_refused(payloads: ScalerStore) -> None:
    for wrong in (argument_object_id(OTHER), b"short"):
        with pytest.raises(ValueError, match="no object id of"):
            payloads.put(OWNER, wrong, b"x")


def test_what_is_put_while_its_owner_is_released(payloads: ScalerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    set_object = StorageConnection.set_object

    def release_first(connection: StorageConnection, object_id: bytes, data: bytes) -> None:
        payloads.release_owner(OWNER)
        set_object(connection, object_id, data)

    monkeypatch.setattr(StorageConnection, "set_object", release_first)
    payloads.put(OWNER, argument_object_id(OWNER), b"x")
    assert payloads.count() == 0


def test_one_that_does_not_remember_releases_nothing(server: StorageServer) -> None:
    forgetful = ScalerStore(server.address, remembers=False)
    object_id = argument_object_id(OWNER)
    forgetful.put(OWNER, object_id, b"x")
    forgetful.release_owner(OWNER)
    assert forgetful.get(object_id) == b"x"
    forgetful.delete(OTHER, [object_id])
    assert forgetful.count() == 1
    forgetful.delete(OWNER, [object_id])
    assert forgetful.count() == 0
    forgetful.close()


@pytest.mark.parametrize(
    "text", ["127.0.0.1:6379", "tcp://127.0.0.1", "tcp://127.0.0.1:0", "tcp://127.0.0.1:65536", "tls://h:1", "ipc://"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="no address of an object storage server"):
        parse_storage_address(text)


def test_addresses() -> None:
    assert parse_storage_address("tcp://[::1]:80") == ObjectStorageAddress("[::1]", 80, "tcp")
    assert parse_storage_address("ipc:///tmp/s") == ObjectStorageAddress("/tmp/s", 0, "ipc")


# Whose they are


def test_the_ledger() -> None:
    ledger = ObjectLedger()
    one, two, alien = argument_object_id(OWNER), argument_object_id(OWNER), argument_object_id(OTHER)
    assert ledger.note(OWNER, [one, two, alien, b"short"])
    assert ledger.note(OTHER, [alien])
    ledger.forget([two, two, b"unknown"])
    assert len(ledger) == 2
    assert ledger.release(OWNER) == [one]
    assert ledger.release(OWNER) == []
    assert not ledger.note(OWNER, [one])
    assert (len(ledger), ledger.is_released(OWNER), ledger.is_released(OTHER)) == (1, True, False)


def test_the_ledger_remembers_a_bounded_number_of_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rescind.object_ledger._RELEASED_OWNERS", 2)
    ledger = ObjectLedger()
    for owner in (b"1", b"2", b"1", b"3"):
        ledger.release(owner)
    assert [ledger.is_released(owner) for owner in (b"1", b"2", b"3")] == [True, False, True]


def test_the_scheduler_keeps_the_books(server: StorageServer, payloads: ScalerStore) -> None:
    keeper = ScalerPayloads(server.address)
    mine, result, given_up, others = (
        *(argument_object_id(OWNER), result_object_id(OWNER), argument_object_id(OWNER)),
        argument_object_id(OTHER),
    )
    for owner, each in ((OWNER, mine), (OWNER, result), (OWNER, given_up), (OTHER, others)):
        payloads.put(owner, each, b"x")
    for owner in (OWNER, OTHER):
        keeper.on_instruction(write_instruction(Word.CREATE, owner, [mine, others]), lambda _: True)
    keeper.on_instruction(write_instruction(Word.CREATE, OWNER, [result]), lambda owner: owner == OWNER)
    # Nobody speaks for another, and nobody deletes what is another's.
    keeper.on_instruction(write_instruction(Word.DELETE, OTHER, [others]), lambda owner: owner == OWNER)
    keeper.on_instruction(write_instruction(Word.DELETE, OWNER, [given_up, others]), lambda _: True)
    keeper.on_instruction(b"no message", lambda _: True)
    keeper.release_owner(OWNER)
    gone = [read_instruction(frame) for frame in keeper.news_for_workers()]
    assert gone[0] is not None
    assert set(gone[0].object_ids) == {mine, result, given_up}
    assert list(keeper.news_for_workers()) == []
    keeper.close()
    assert (payloads.count(), payloads.get(others)) == (1, b"x")


def test_what_could_not_be_deleted_is_deleted_later(caplog: pytest.LogCaptureFixture) -> None:
    with storage_server() as first:
        keeper = ScalerPayloads(first.address)
    keeper.release_objects([one := argument_object_id(OWNER)])
    deadline = time.monotonic() + HANG
    while "stay in the store" not in caplog.text:
        assert time.monotonic() < deadline
    with storage_server(first.port) as again:
        elsewhere = ScalerStore(again.address)
        elsewhere.put(OWNER, one, b"x")
        keeper.release_objects([argument_object_id(OWNER)])
        keeper.close()
        assert elsewhere.count() == 0
        elsewhere.close()


def test_a_clients_store_tells_the_scheduler(payloads: ScalerStore) -> None:
    told: list[bytes] = []
    announced = AnnouncedStore(payloads, OWNER, told.append)
    object_id = argument_object_id(OWNER)
    announced.put(OWNER, object_id, b"x")
    assert (announced.count(), announced.get(object_id)) == (2, b"x")
    announced.delete(OWNER, [object_id])
    assert [read_instruction(frame) for frame in told] == [
        Instruction(Word.CREATE, OWNER, (serializer_object_id(OWNER),)),
        Instruction(Word.CREATE, OWNER, (object_id,)),
        Instruction(Word.DELETE, OWNER, (object_id,)),
    ]
    announced.release_owner(OWNER)
    assert payloads.count() == 0


def test_the_word_comes_before_the_object(payloads: ScalerStore) -> None:
    """If the client ends in between, somebody knows of it."""

    def ends(_: bytes) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        AnnouncedStore(payloads, OWNER, ends)
    assert payloads.count() == 0


# As Scaler reads them


def test_instructions_are_scalers() -> None:
    client = ClientID(OWNER)
    serializer, other = ObjectID.generate_serializer_object_id(client), ObjectID.generate_object_id(client)
    frame = write_instruction(Word.CREATE, OWNER, [serializer, other], [7, 8])
    assert wire.decode(frame) == OurInstruction()
    read: Any = deserialize(frame)
    types = ObjectMetadata.ObjectContentType
    assert read.instructionType == ObjectInstruction.ObjectInstructionType.create
    assert bytes(read.objectUser) == OWNER
    metadata = read.objectMetadata
    assert [bytes(each) for each in metadata.objectIds] == [serializer, other]
    assert list(metadata.objectTypes) == [types.serializer, types.object]
    assert (len(metadata.objectNames), list(metadata.objectSizes)) == (2, [7, 8])
    assert serializer_object_id(OWNER) == serializer


def test_many_deletions_fit_into_what_is_received() -> None:
    ids = [argument_object_id(OWNER) for _ in range(25_000)]
    frames = list(deleted(OWNER, ids))
    assert all(wire.decode(frame) == OurInstruction() for frame in frames)
    read = [read_instruction(frame) for frame in frames]
    assert [each for instruction in read if instruction for each in instruction.object_ids] == ids


@pytest.mark.parametrize("frame", [b"", b"no message", wire.encode(OurInstruction())[:-3]])
def test_what_is_no_instruction(frame: bytes) -> None:
    assert read_instruction(frame) is None


class Reversing(Serializer):  # type: ignore[misc]
    """What a user of Scaler's client may choose."""

    @staticmethod
    def serialize(obj: Any) -> bytes:
        return bytes(reversed(pickle.dumps(obj)))

    @staticmethod
    def deserialize(payload: bytes) -> Any:
        return pickle.loads(bytes(reversed(payload)))


def test_each_client_has_its_serializer(payloads: ScalerStore) -> None:
    format_ = ScalerFormat(payloads)
    payloads.put(OWNER, serializer_object_id(OWNER), serializer_object())
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    payloads.put(OTHER, serializer_object_id(OTHER), cloudpickle.dumps(Reversing()))
    for _ in range(2):
        assert format_.of(OWNER).load(DefaultSerializer.serialize([1])) == [1]
        assert format_.of(OTHER).load(Reversing.serialize([2])) == [2]
    assert DefaultSerializer.deserialize(format_.of(OWNER).dump("result")) == load(format_.of(OWNER).dump("result"))
    assert Reversing.deserialize(format_.of(OTHER).dump("result")) == "result"
    with pytest.raises(ObjectMissing) as caught:
        format_.of(b"nobody").load(b"")
    assert "serializer" in caught.value.__notes__[0]


class NeedsTwo(Exception):
    """Cannot be made again from its `args`."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)
        self.two = two


class HoldsALock(Exception):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


class GivesSomethingElse(Exception):
    """Comes back as no exception at all."""

    def __reduce__(self) -> Any:
        return int, ("7",)


def raised(error: BaseException) -> BaseException:
    def deep() -> None:
        try:
            raise LookupError("first")
        except LookupError as cause:
            raise error from cause

    try:
        deep()
    except BaseException as caught:
        return caught
    raise AssertionError


def test_scaler_reads_our_exceptions(payloads: ScalerStore) -> None:
    format_ = ScalerFormat(payloads)
    again = deserialize_failure(format_.dump_exception(raised(NeedsTwo("a", "b"))))
    assert (type(again), str(again), again.two) == (NeedsTwo, "ab", "b")
    assert isinstance(again.__cause__, LookupError)
    names = []
    trace = again.__traceback__
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert names[-1] == "deep"
    unpicklable = deserialize_failure(format_.dump_exception(raised(HoldsALock())))
    assert isinstance(unpicklable, TaskExceptionNotSerializableError)
    assert "HoldsALock('locked')" in str(unpicklable)
    assert "in deep" in str(unpicklable)
    no_exception = deserialize_failure(format_.dump_exception(raised(GivesSomethingElse("x"))))
    assert isinstance(no_exception, TaskExceptionNotSerializableError)


def test_we_read_scalers_exceptions() -> None:
    assert str(load(serialize_failure(ValueError("x")))) == "x"
    assert isinstance(load(serialize_failure(HoldsALock())), TaskExceptionNotSerializableError)


def test_other_kinds_of_storage_are_named() -> None:
    with pytest.raises(UnsupportedStorage, match=r"'tls'.*supported are"):
        open_store(ObjectStorageAddress("h", 1, "tls"))
    assert not store.is_of_scaler(ObjectStorageAddress("h", 1, "tls"))
