"""The connections of live orders, held against ZeroMQ's own ROUTER."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import zmq

from rescind_conformance.explorer.plain_dealer import Dealers, PlainDealer

MILLISECONDS = 10_000
"""A bound for what would otherwise hang."""
LARGE = os.urandom(1_000_000)
"""More than the system takes at once."""


@pytest.fixture(params=["ipc", "tcp"])
def router(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as made:
        made.linger, made.rcvtimeo = 0, MILLISECONDS
        made.bind(f"ipc://{os.path.relpath(tmp_path)}/r" if request.param == "ipc" else "tcp://127.0.0.1:0")
        yield made


def connected(dealers: Dealers, endpoint: str, routing_id: bytes) -> PlainDealer:
    dealer = dealers.dealer()
    dealer.setsockopt(zmq.IDENTITY, routing_id)
    dealer.connect(endpoint)
    dealers.register(dealer)
    return dealer


def heard(dealers: Dealers, count: int) -> list[tuple[PlainDealer, Sequence[bytes]]]:
    """So many messages, as they come."""
    found: list[tuple[PlainDealer, Sequence[bytes]]] = []
    while len(found) < count:
        ready = dealers.poll(MILLISECONDS)
        assert ready
        found += [(dealer, frames) for dealer in ready for frames in dealer.receive()]
    return found


def test_messages_of_any_length_go_both_ways_in_order(router: zmq.Socket[bytes]) -> None:
    sent: list[tuple[bytes, ...]] = []
    dealers = Dealers(sent.append)
    endpoint = router.get_string(zmq.LAST_ENDPOINT)
    with closing(connected(dealers, endpoint, b"C1")) as one, closing(connected(dealers, endpoint, b"W1")) as other:
        one.send(b"")
        one.send(b"x" * 255)
        other.send_multipart([b"y" * 256, b"z"])
        assert heard_by(dealers, router, 3) == {
            b"C1": [[b""], [b"x" * 255]],
            b"W1": [[b"y" * 256, b"z"]],
        }
        assert sent == [(b"",), (b"x" * 255,), (b"y" * 256, b"z")]
        for routing_id in (b"W1", b"C1"):
            router.send_multipart([routing_id, b"for ", routing_id])
            router.send_multipart([routing_id, LARGE])
        answers = heard(dealers, 4)
        assert [frames for dealer, frames in answers if dealer is one] == [(b"for ", b"C1"), (LARGE,)]
        assert [frames for dealer, frames in answers if dealer is other] == [(b"for ", b"W1"), (LARGE,)]


def heard_by(dealers: Dealers, router: zmq.Socket[bytes], count: int) -> dict[bytes, list[list[bytes]]]:
    """So many messages by their senders, as the router gets them; meanwhile the dealers get on with the handshake."""
    found: dict[bytes, list[list[bytes]]] = {}
    for _ in range(MILLISECONDS):
        for dealer in dealers.poll(1):
            list(dealer.receive())
        while router.poll(0):
            sender, *frames = router.recv_multipart()
            found.setdefault(sender, []).append(frames)
        if sum(map(len, found.values())) >= count:
            break
    return found


def test_what_the_system_does_not_take_at_once_is_sent_later(router: zmq.Socket[bytes]) -> None:
    dealers = Dealers(lambda frames: None)
    with closing(connected(dealers, router.get_string(zmq.LAST_ENDPOINT), b"C1")) as dealer:
        dealer.send(LARGE)
        dealer.send(b"after it")
        assert heard_by(dealers, router, 2) == {b"C1": [[LARGE], [b"after it"]]}


def test_the_last_word_arrives_though_the_connection_is_closed(router: zmq.Socket[bytes]) -> None:
    dealers = Dealers(lambda frames: None)
    dealer = connected(dealers, router.get_string(zmq.LAST_ENDPOINT), b"W1")
    dealer.send(b"first")
    assert heard_by(dealers, router, 1) == {b"W1": [[b"first"]]}
    dealer.send(b"last")
    dealer.close(linger=1000)
    assert dealer.closed
    assert dealer not in dealers
    assert router.recv_multipart() == [b"W1", b"last"]


def test_where_nobody_listens_nothing_comes(tmp_path: Path) -> None:
    dealers = Dealers(lambda frames: None)
    dealer = connected(dealers, f"ipc://{os.path.relpath(tmp_path)}/nobody", b"C1")
    dealer.send(b"lost")
    assert dealers.poll(1) == []
    dealer.close()


def test_a_connection_that_has_ended_is_silent(router: zmq.Socket[bytes]) -> None:
    dealers = Dealers(lambda frames: None)
    dealer = connected(dealers, router.get_string(zmq.LAST_ENDPOINT), b"C1")
    dealer.send(b"a word")
    assert heard_by(dealers, router, 1) == {b"C1": [[b"a word"]]}
    router.close()
    while dealer.fileno() >= 0:
        assert dealers.poll(MILLISECONDS) == [dealer]
        assert list(dealer.receive()) == []
    dealer.send(b"lost")
    assert dealers.poll(1) == []
