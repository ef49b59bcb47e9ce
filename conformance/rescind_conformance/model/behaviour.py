"""A behaviour that TLC has found, told in short: for each step its action and what it changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

Value: TypeAlias = "str | tuple[Value, ...] | frozenset[Value] | dict[str, Value]"
"""A value of TLA+: strings, numbers and booleans as text; sequences, sets; records and functions of strings."""
_TOKEN = re.compile(r'\s*(<<|>>|\[|\]|\{|\}|\(|\)|,|\|->|:>|@@|"[^"]*"|-?\w+)')
_STEP = re.compile(r"^(\d+): <(\w+)(.*)>$")
_QUEUES = {"toScheduler": "to scheduler", "toPeer": "from scheduler"}
_HIDDEN = frozenset({"left", "told", "asked"})
"""Bookkeeping of the model, and of what looks at it."""


def tell(steps: list[str]) -> list[str]:
    """A line for each step. `steps` is what TLC wrote: the action, and the values of all variables after it."""
    lines: list[str] = []
    before: dict[str, Value] = {}
    for step in steps:
        head, _, body = step.partition("\n")
        named = _STEP.match(head)
        if named is None or not body.strip():
            lines.append(_ending(head))
            continue
        after = _variables(body)
        if before:
            action = named[2]
            lines.append(
                f"{int(named[1]) - 1:>4}  {action:<12} {'; '.join(_changes(before, after)) or 'nothing changes'}"
            )
        before = after
    return lines


def _ending(head: str) -> str:
    number, _, rest = head.partition(": ")
    if rest.startswith("Stuttering"):
        return "      and then nothing more happens"
    return f"      and again from step {number}, without end"


def _changes(before: dict[str, Value], after: dict[str, Value]) -> Iterator[str]:
    for name in sorted(after.keys() - _HIDDEN):
        yield from _difference(name, before[name], after[name])


def _difference(path: str, before: Value, after: Value) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        for key, value in before.items():
            yield from _difference(f"{path}.{key}", value, after[key])
    elif path.partition(".")[0] in _QUEUES and isinstance(before, tuple) and isinstance(after, tuple):
        name, _, peer = path.partition(".")
        gone = len(before) - next(n for n in range(len(before), -1, -1) if before[len(before) - n :] == after[:n])
        yield from (f"{peer} {_QUEUES[name]}, taken: {_message(message)}" for message in before[:gone])
        yield from (f"{peer} {_QUEUES[name]}: {_message(message)}" for message in after[len(before) - gone :])
    else:
        yield f"{path}: {_message(before)} -> {_message(after)}"


def _message(value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return " ".join(_message(part) for part in value) or "nothing"
    if isinstance(value, frozenset):
        return "{" + ", ".join(sorted(_message(part) for part in value)) + "}"
    return ", ".join(f"{key} {_message(part)}" for key, part in value.items())


def _variables(body: str) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for part in re.split(r"^/\\ ", body, flags=re.MULTILINE):
        name, equals, text = part.partition(" = ")
        if equals:
            found[name.strip()] = parse(text)
    return found


def parse(text: str) -> Value:
    """A value as TLC writes it. Raises `ValueError` for what is none."""
    tokens = _TOKEN.findall(text)
    value, rest = _value(tokens, 0)
    if rest != len(tokens):
        raise ValueError(f"not a value: {text!r}")
    return value


def _value(tokens: list[str], at: int) -> tuple[Value, int]:
    if at >= len(tokens):
        raise ValueError("a value is cut off")
    token = tokens[at]
    if token == "<<":
        items, at = _items(tokens, at + 1, ">>")
        return tuple(items), at
    if token == "{":
        items, at = _items(tokens, at + 1, "}")
        return frozenset(items), at
    if token in "[(":
        return _function(tokens, at + 1, "]" if token == "[" else ")")
    if token in {">>", "}", "]", ")", ",", "|->", ":>", "@@"}:
        raise ValueError(f"no value begins with {token}")
    return token.strip('"'), at + 1


def _items(tokens: list[str], at: int, end: str) -> tuple[list[Value], int]:
    items: list[Value] = []
    while tokens[at] != end:
        item, at = _value(tokens, at)
        items.append(item)
        at += tokens[at] == ","
    return items, at + 1


def _function(tokens: list[str], at: int, end: str) -> tuple[Value, int]:
    pairs: dict[str, Value] = {}
    while tokens[at] != end:
        key = tokens[at].strip('"')
        pairs[key], at = _value(tokens, at + 2)
        at += tokens[at] in {",", "@@"}
    return pairs, at + 1
