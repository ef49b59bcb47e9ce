"""The command `rescind tap`."""

from __future__ import annotations

import contextlib
import random
import signal
from pathlib import Path
from typing import Annotated, TextIO

import typer

from rescind_conformance.command_end import COULD_NOT_RUN, fail
from rescind_conformance.judge.command import conclude_tapped
from rescind_conformance.judge.tapped import TappedCheck
from rescind_conformance.tap.addresses import BadEndpoint, address_of
from rescind_conformance.tap.audience import Judges, Record, Screen
from rescind_conformance.tap.control import Control
from rescind_conformance.tap.relay import Relay
from rescind_conformance.tap.rules import Action, BadRule, Rules, parse_rule
from rescind_conformance.tap.session import Audience, Session

_RULES = "MESSAGE[@PEER][:COUNT][%PERCENT]"


def tap(
    scheduler: Annotated[str, typer.Option(help="Endpoint of the scheduler.")] = "tcp://127.0.0.1:6378",
    listen: Annotated[
        str, typer.Option(help="Endpoint for clients and workers; port 0 takes a free one.")
    ] = "tcp://127.0.0.1:7000",
    record: Annotated[
        Path | None, typer.Option(help="Write a trace into this file; `rescind check` judges it again.")
    ] = None,
    judge: Annotated[bool, typer.Option("--judge", help="Judge clients and workers while it goes on.")] = False,
    all_peers: Annotated[
        bool,
        typer.Option(
            "--all-peers",
            help="With --judge: all of the scheduler's peers connect here, and did so from its start; judge it, too.",
        ),
    ] = False,
    delay: Annotated[
        list[str] | None, typer.Option(help=f"{_RULES}=SECONDS or =LEAST..MOST. May be given again.")
    ] = None,
    hold: Annotated[
        list[str] | None,
        typer.Option(help=f"{_RULES} [until MESSAGE[@PEER]], of the same task. May be given again."),
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(help=f"{_RULES}. May be given again.")] = None,
    duplicate: Annotated[list[str] | None, typer.Option(help=f"{_RULES}. May be given again.")] = None,
    seed: Annotated[int | None, typer.Option(help="For what is random: the same draws again.")] = None,
    heartbeats: Annotated[bool, typer.Option("--heartbeats", help="Show heartbeats and their echoes, too.")] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Show no messages. If nothing else is asked for, bytes pass unread."),
    ] = False,
) -> None:
    """Stand between clients, workers and a scheduler: show, record and judge what they say, and disturb it.

    Clients and workers connect to the tap instead of the scheduler; nothing else changes for them. Each has a
    connection of its own to the scheduler, with its own routing id, and what one end closes is closed at the other.
    Order within a connection never changes: whatever waits makes all that is behind it wait. Payloads do not pass
    through it.

    A rule says which messages: `TaskCancel`, or `*` for all; `@C` of clients, `@W` of workers, `@W1` of one (in both
    directions); `:1` the next one only; `%10` one in ten. Rules can also be written to standard input while it runs,
    a line each, such as `hold TaskCancel@W:1 until TaskResult`; `release` lets go what is held; `help` tells more.

    Exit status: 0 nothing is broken, or not judged; 1 something is; 2 could not run, or not judge to the end.

    Examples:

    `rescind tap --listen tcp://127.0.0.1:7000 --scheduler tcp://127.0.0.1:6378`

    `rescind tap --record run.jsonl --judge --all-peers`

    `rescind tap --hold 'TaskCancel@W:1 until TaskResult' --delay '*=0..0.02' --seed 7`
    """
    try:
        near, far = address_of(listen, to_bind=True), address_of(scheduler)
        wanted = {Action.DELAY: delay, Action.HOLD: hold, Action.DROP: drop, Action.DUPLICATE: duplicate}
        given = [parse_rule(action, text) for action, texts in wanted.items() for text in texts or ()]
    except (BadEndpoint, BadRule) as error:
        fail(str(error))
    if all_peers and not judge:
        fail("--all-peers says what --judge may judge: give --judge, too")
    with contextlib.ExitStack() as stack:
        audience: list[Audience] = []
        if not quiet:
            audience.append(Screen(_line, heartbeats=heartbeats))
        if record is not None:
            audience.append(Record(_opened(record, stack)))
        judges = Judges(TappedCheck(all_peers))
        if judge:
            audience.append(judges)
        rules = Rules(random.Random(seed))
        for one in given:
            rules.add(one)
        session = Session(rules, audience) if audience or given else None
        try:
            relay = Relay(near, far, session)
        except OSError as error:
            fail(f"cannot listen at {listen}: {error.strerror or error}. Choose another --listen")
        rules.on_release = relay.look_again
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: relay.stop())
        if session is not None:
            session.on_failure = relay.stop
            Control(rules, relay, _line)
        _line(f"listening on {relay.endpoint}")
        relay.run()
        if session is not None:
            try:
                session.close()
            except OSError as error:
                fail(f"what passes cannot be written any more: {error.strerror or error}")
    if judge:
        _conclude(judges)


def _opened(path: Path, stack: contextlib.ExitStack) -> TextIO:
    try:
        return stack.enter_context(path.open("w", encoding="utf-8"))
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror or error}")


def _line(text: str) -> None:
    typer.echo(text)


def _conclude(judges: Judges) -> None:
    judges.finish()
    check = judges.check
    for party in check.undecided:
        typer.echo(f"{party} could not be judged to the end: too many orders are possible.")
    conclude_tapped(check, judges.broken)
    raise typer.Exit(1 if judges.broken else COULD_NOT_RUN if check.undecided else 0)
