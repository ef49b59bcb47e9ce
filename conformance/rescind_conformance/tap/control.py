"""Lines of standard input: what an engineer tells a tap that runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from rescind_conformance.tap.relay import Relay
from rescind_conformance.tap.rules import Action, BadRule, Rules, parse_rule

HELP = """\
hold TaskCancel@W:1 until TaskResult   the next cancel to a worker waits until the result of the same task has passed
hold TaskResult@W                      results of workers wait, and all behind them on that connection, for `release`
release                                what is held goes
delay TaskCancel=0.2                   each TaskCancel, and all behind it on that connection, waits for 0.2 seconds
drop TaskResult@C:1                    the next result to a client is lost
duplicate TaskCancelConfirm            each is sent twice
clear                                  no rules any more, and what is held goes
quit"""


class Control:
    """Reads commands, in the relay's thread."""

    def __init__(self, rules: Rules, relay: Relay, say: Callable[[str], None], descriptor: int = 0) -> None:
        """`say` takes the answers."""
        self._rules = rules
        self._relay = relay
        self._say = say
        self._descriptor = descriptor
        self._buffer = b""
        # A file, or nothing at all, is no place from which somebody speaks.
        with contextlib.suppress(OSError, ValueError):
            relay.watch(descriptor, self._readable)

    def obey(self, line: str) -> None:
        """Do what a line says."""
        word, _, rest = line.strip().partition(" ")
        match word.lower():
            case "":
                return
            case "release":
                count = self._rules.held
                self._rules.release()
                self._say(f"released: {count}")
            case "clear":
                self._rules.clear()
                self._say("no rules any more")
            case "quit":
                self._relay.stop()
            case "delay" | "hold" | "drop" | "duplicate" as action:
                try:
                    self._rules.add(parse_rule(Action(action), rest.strip()))
                except BadRule as error:
                    self._say(str(error))
                else:
                    self._say(f"from now on: {line.strip()}")
            case _:
                self._say(HELP)

    def _readable(self) -> bool:
        # In the background of a terminal, reading from it would stop the whole process.
        with contextlib.suppress(OSError):
            if os.isatty(self._descriptor) and os.tcgetpgrp(self._descriptor) != os.getpgrp():
                return False
        data = os.read(self._descriptor, 65536)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self.obey(line.decode(errors="replace"))
        return bool(data)
